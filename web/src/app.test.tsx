import { act, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { ABOUT, TOKENS } from "./account/testing";
import { page, useAuth } from "./api/auth";
import { queryClient } from "./api/queries";
import { ANNA, Answer, fakeDaemon, made, problem, type Told } from "./api/testing";
import { App } from "./app";
import { usePreferences } from "./options/preferences";

// Each part has its own tests; this one is about the frame around them.
vi.mock("./chat/chat", () => ({
  Chat: ({ conversationId }: { conversationId: string | null }) => <p>Chat {conversationId ?? "new"}</p>,
}));

const REFUSED = problem(401, "unauthenticated", "The credentials are missing or not valid.");

beforeEach(() => {
  queryClient.clear();
  useAuth.setState({ state: "unknown", reason: null, me: null, life: null });
  usePreferences.setState({ sidebar: true, theme: "system" });
  history.replaceState(null, "", "#/");
});

function open(path: string, answers: Record<string, Told> = {}) {
  history.replaceState(null, "", `#${path}`);
  const calls = fakeDaemon({
    "GET gate/about": ABOUT,
    "GET gate/auth/me": ANNA,
    "POST gate/auth/login": TOKENS,
    "POST gate/auth/refresh": TOKENS,
    "GET gate/conversations": { data: [], next: null },
    "GET gate/models": { data: [], next: null },
    ...answers,
  });
  render(<App />);
  return calls;
}

function narrow(): void {
  const deaf = () => undefined;
  vi.spyOn(window, "matchMedia").mockImplementation(
    (query) =>
      ({
        matches: query.includes("width"),
        addEventListener: deaf,
        removeEventListener: deaf,
      }) as unknown as MediaQueryList,
  );
}

describe("who is logged in", () => {
  it("sees what the address says", async () => {
    open("/c/01ABC");
    expect(await screen.findByText("Chat 01ABC")).toBeTruthy();
    act(() => {
      location.hash = "#/account/password";
    });
    act(() => void window.dispatchEvent(new HashChangeEvent("hashchange")));
    expect(await screen.findByRole("heading", { name: "Password" })).toBeTruthy();
  });

  it("is led away from the login, and told of pages that do not exist", async () => {
    open("/login");
    expect(await screen.findByText("Chat new")).toBeTruthy();
    expect(location.hash).toBe("#/");
    act(() => {
      location.hash = "#/nothing";
    });
    act(() => void window.dispatchEvent(new HashChangeEvent("hashchange")));
    expect(await screen.findByText("There is no such page")).toBeTruthy();
  });

  it("hides the sidebar and shows it again, and the page remembers that", async () => {
    open("/");
    await userEvent.click(await screen.findByRole("button", { name: "Hide the sidebar" }));
    expect(usePreferences.getState().sidebar).toBe(false);
    expect(document.querySelector("aside")?.hasAttribute("inert")).toBe(true);
    await userEvent.click(screen.getByRole("button", { name: "Show the sidebar" }));
    expect(usePreferences.getState().sidebar).toBe(true);
  });

  it("opens the sidebar for who searches", async () => {
    usePreferences.setState({ sidebar: false });
    open("/");
    await screen.findByText("Chat new");
    await userEvent.keyboard("{Control>}k{/Control}");
    expect(usePreferences.getState().sidebar).toBe(true);
    await waitFor(() => expect((document.activeElement as HTMLInputElement).type).toBe("search"));
  });

  it("chooses the theme, and logs out", async () => {
    vi.spyOn(page, "reload").mockImplementation(() => undefined);
    const calls = open("/", { "POST gate/auth/logout": new Answer(204) });
    const user = await screen.findByRole("button", { name: /^anna/ });
    await userEvent.click(user);
    await userEvent.click(screen.getByRole("menuitemradio", { name: "Dark" }));
    expect(usePreferences.getState().theme).toBe("dark");
    await userEvent.click(user);
    await userEvent.click(screen.getByRole("menuitem", { name: "Log out" }));
    await waitFor(() => expect(page.reload).toHaveBeenCalledOnce());
    expect(made(calls, { path: "gate/auth/logout" })).toHaveLength(1);
    expect(await screen.findByRole("heading", { name: "Log in" })).toBeTruthy();
  });
});

describe("on a phone", () => {
  it("has the sidebar in a drawer, that closes with Esc and gives the focus back", async () => {
    narrow();
    open("/");
    const button = await screen.findByRole("button", { name: "Open the menu" });
    await userEvent.click(button);
    const drawer = screen.getByRole("dialog", { name: "Conversations and account" });
    expect(within(drawer).getByRole("button", { name: /^anna/ })).toBeTruthy();
    await userEvent.keyboard("{Escape}");
    expect(screen.queryByRole("dialog")).toBeNull();
    expect(document.activeElement).toBe(button);
  });

  it("closes the drawer when something was chosen in it, or beside it", async () => {
    narrow();
    open("/");
    await userEvent.click(await screen.findByRole("button", { name: "Open the menu" }));
    await userEvent.click(screen.getByRole("button", { name: /^anna/ }));
    await userEvent.click(screen.getByRole("menuitem", { name: "Usage" }));
    expect(location.hash).toBe("#/account/usage");
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    await userEvent.click(screen.getByRole("button", { name: "Open the menu" }));
    await userEvent.pointer({ keys: "[MouseLeft]", target: screen.getByRole("dialog") });
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  });
});

describe("who is not logged in", () => {
  it("logs in, and is where he wanted to go", async () => {
    let isIn = false;
    open("/c/01ABC", {
      "GET gate/auth/me": () => (isIn ? ANNA : REFUSED),
      "POST gate/auth/refresh": REFUSED,
      "POST gate/auth/login": () => {
        isIn = true;
        return TOKENS;
      },
    });
    await userEvent.type(await screen.findByLabelText("Name"), "anna");
    await userEvent.type(screen.getByLabelText("Password"), "a secret");
    await userEvent.click(screen.getByRole("button", { name: "Log in" }));
    expect(await screen.findByText("Chat 01ABC")).toBeTruthy();
  });

  it("can try again when the gateway is away", async () => {
    let isAway = true;
    open("/", { "GET gate/auth/me": () => (isAway ? new TypeError("Failed to fetch") : ANNA) });
    const button = await screen.findByRole("button", { name: "Try again" });
    isAway = false;
    await userEvent.click(button);
    expect(await screen.findByText("Chat new")).toBeTruthy();
  });
});
