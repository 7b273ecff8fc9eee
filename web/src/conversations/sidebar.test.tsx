import { act, fireEvent, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { queryClient } from "../api/queries";
import { begun } from "../chat/turn";
import { type Turn, useTurns } from "../chat/turns";
import { DEFAULTS, usePreferences } from "../options/preferences";
import { run } from "../options/shortcuts";
import { Sidebar } from "./sidebar";
import { type Answers, type Asked, conversation, daemon, page, renderPage } from "./testing";

const ABOUT = { conversations: true, conversation_days: 30 };
const DAY = 86_400_000;

function ago(days: number): string {
  return new Date(Date.now() - days * DAY).toISOString();
}

const BREAD = conversation("BREAD", "How to bake bread");
const RUST = conversation("RUST", "Rust or Go?", ago(4));
const OLD = conversation("OLD", "Holiday plans", ago(400));

function listed(search: string) {
  const all = [BREAD, RUST, OLD];
  return page(search === "" ? all : all.filter((one) => one.title.toLowerCase().includes(search) || one === OLD));
}

function open(answers: Answers = {}, onNavigate?: () => void): Asked[] {
  const asked = daemon({
    "GET gate/about": ABOUT,
    "GET gate/conversations": ({ query }: Asked) => listed(query.get("search") ?? ""),
    ...answers,
  });
  renderPage(<Sidebar onNavigate={onNavigate} />);
  return asked;
}

const link = (name: string | RegExp) => screen.findByRole("link", { name });

async function optionsOf(title: string): Promise<void> {
  await userEvent.click(screen.getByRole("button", { name: `Options of “${title}”` }));
}

/** jsdom shows no popovers. */
function menuItem(name: string | RegExp): HTMLElement {
  return screen.getByRole("menuitem", { name, hidden: true });
}

beforeEach(() => {
  location.hash = "#/";
  usePreferences.setState(DEFAULTS);
  useTurns.setState({ turns: {} });
  queryClient.clear();
});

describe("the list", () => {
  it("is grouped by age, with the shown one marked", async () => {
    location.hash = "#/c/RUST";
    open();
    expect((await link("Rust or Go?")).getAttribute("aria-current")).toBe("page");
    expect((await link("How to bake bread")).getAttribute("href")).toBe("#/c/BREAD");
    const headings = screen.getAllByRole("heading").map((heading) => heading.textContent);
    expect(headings.slice(0, 2)).toEqual(["Today", "Last 7 days"]);
    expect(headings[2]).toMatch(/^[A-Z][a-z]+ 20\d\d$/);
    expect(within(screen.getByRole("region", { name: "Today" })).getAllByRole("link")).toHaveLength(1);
  });

  it("has nothing to complain about for axe", async () => {
    open();
    await link("Rust or Go?");
    const { violations } = await axe.run(document.body, {
      rules: { "color-contrast": { enabled: false }, region: { enabled: false } },
    });
    expect(violations.map((violation) => violation.id)).toEqual([]);
  });

  it("says when it is empty, and how to go on when it cannot be read", async () => {
    let refuses = true;
    open({ "GET gate/conversations": () => (refuses ? 403 : page([])) });
    await screen.findByText("The daemon has refused.");
    refuses = false;
    await userEvent.click(screen.getByRole("button", { name: "Try again" }));
    await screen.findByText("No conversations yet");
  });

  it("reads on at its end", async () => {
    const asked = open({
      "GET gate/conversations": ({ query }: Asked) => (query.get("after") ? page([OLD]) : page([BREAD], "CURSOR")),
    });
    await userEvent.click(await screen.findByRole("button", { name: "Show more" }));
    await link("Holiday plans");
    expect(asked.filter((one) => one.query.get("after") === "CURSOR")).toHaveLength(1);
    expect(screen.queryByRole("button", { name: "Show more" })).toBeNull();
  });

  it("reads on by itself when its end comes into sight", async () => {
    let seen: IntersectionObserverCallback | undefined;
    class Observer {
      constructor(callback: IntersectionObserverCallback) {
        seen = callback;
      }
      observe() {}
      disconnect() {}
    }
    vi.stubGlobal("IntersectionObserver", Observer);
    open({
      "GET gate/conversations": ({ query }: Asked) => (query.get("after") ? page([OLD]) : page([BREAD], "CURSOR")),
    });
    await link("How to bake bread");
    act(() => seen?.([{ isIntersecting: true } as IntersectionObserverEntry], {} as IntersectionObserver));
    await link("Holiday plans");
    vi.unstubAllGlobals();
  });

  it("shows what runs, and what waits at which place", async () => {
    open();
    await link("Rust or Go?");
    const turn = (ref: string, conversation: string, rest: Partial<Turn>): Turn => ({
      ...begun({ ref, chat: conversation, conversation, model: "m", parent: null } as Parameters<typeof begun>[0], 0),
      ...rest,
    });
    const line = { ahead: 2, level: 3, submittedLevel: 3, aged: false, grew: false, due: null, lost: false };
    act(() =>
      useTurns.setState({
        turns: { a: turn("a", "RUST", { phase: "answering" }), b: turn("b", "BREAD", { phase: "queued", line }) },
      }),
    );
    await link("Rust or Go?, being answered");
    await link(/How to bake bread, in line: ?3rd/);
    act(() => useTurns.setState({ turns: { a: turn("a", "RUST", { phase: "ended" }) } }));
    await link("Rust or Go?");
  });

  it("is not there where nothing is kept", async () => {
    open({ "GET gate/about": { ...ABOUT, conversations: false } });
    await screen.findByText(/keeps no conversations/);
    expect(screen.queryByRole("searchbox")).toBeNull();
    expect(screen.queryByRole("button", { name: "Temporary chat" })).toBeNull();
  });
});

describe("searching", () => {
  it("asks the daemon once, marks what was found, and Esc clears", async () => {
    const asked = open();
    await link("Rust or Go?");
    const field = screen.getByRole("searchbox", { name: "Search conversations" });
    for (const value of ["b", "br", "bread"]) fireEvent.change(field, { target: { value } });
    await waitFor(() => expect(screen.queryByRole("link", { name: "Rust or Go?" })).toBeNull());
    expect(asked.map((one) => one.query.get("search")).filter(Boolean)).toEqual(["bread"]);
    expect((await screen.findByText("bread")).tagName).toBe("MARK");
    expect(screen.getByText("in its messages")).toBeTruthy();
    await screen.findByText("2 conversations found");
    await userEvent.type(field, "{Escape}");
    expect((field as HTMLInputElement).value).toBe("");
    await link("Rust or Go?");
  });

  it("says when nothing was found", async () => {
    open({ "GET gate/conversations": ({ query }: Asked) => (query.get("search") ? page([]) : page([BREAD])) });
    await link("How to bake bread");
    act(() => void run("search"));
    await waitFor(() => expect(document.activeElement).toBe(screen.getByRole("searchbox")));
    await userEvent.keyboard("xyz");
    await screen.findByText(/has “xyz” in it/);
  });
});

describe("new chats", () => {
  it.each([
    ["New chat", false],
    ["Temporary chat", true],
  ])("%s", async (name, temporary) => {
    location.hash = "#/c/RUST";
    usePreferences.setState({ temporary: !temporary });
    const navigated = vi.fn();
    open({}, navigated);
    await link("Rust or Go?");
    await userEvent.click(screen.getByRole("button", { name }));
    expect(location.hash).toBe("#/");
    expect(usePreferences.getState().temporary).toBe(temporary);
    expect(navigated).toHaveBeenCalledOnce();
  });
});

describe("the keyboard", () => {
  it("moves through the list and back to the search", async () => {
    open();
    const first = await link("How to bake bread");
    const field = screen.getByRole("searchbox");
    field.focus();
    await userEvent.keyboard("{ArrowDown}");
    expect(document.activeElement).toBe(first);
    await userEvent.keyboard("{ArrowDown}{ArrowDown}{ArrowDown}");
    expect(document.activeElement).toBe(screen.getByRole("link", { name: "Holiday plans" }));
    await userEvent.keyboard("{Home}");
    expect(document.activeElement).toBe(first);
    await userEvent.keyboard("{ArrowUp}");
    expect(document.activeElement).toBe(field);
  });

  it("stops at one link of the list with Tab", async () => {
    location.hash = "#/c/RUST";
    open();
    await link("Rust or Go?");
    const stops = screen.getAllByRole("link").filter((one) => one.tabIndex === 0);
    expect(stops.map((one) => one.textContent)).toEqual(["Rust or Go?"]);
  });

  it("goes to the conversations before and after", async () => {
    location.hash = "#/c/RUST";
    open();
    await link("Rust or Go?");
    act(() => void run("next"));
    expect(location.hash).toBe("#/c/OLD");
    act(() => void run("next"));
    expect(location.hash).toBe("#/c/OLD");
    act(() => void run("previous"));
    act(() => void run("previous"));
    expect(location.hash).toBe("#/c/BREAD");
  });
});

describe("renaming", () => {
  it("happens in place; Enter saves", async () => {
    let rust = RUST;
    const asked = open({
      "PATCH gate/conversations/RUST": ({ body }: Asked) => {
        rust = { ...RUST, ...(body as { title: string }) };
        return rust;
      },
      "GET gate/conversations": () => page([BREAD, rust]),
    });
    await link("Rust or Go?");
    await optionsOf("Rust or Go?");
    await userEvent.click(menuItem(/^Rename/));
    const field = screen.getByRole("textbox", { name: "New title of “Rust or Go?”" });
    expect(document.activeElement).toBe(field);
    await userEvent.clear(field);
    await userEvent.type(field, "  Go! {Enter}");
    expect(document.activeElement).toBe(await link("Go!"));
    expect(asked.find((one) => one.method === "PATCH")?.body).toEqual({ title: "Go!" });
  });

  it("is given up with Esc, and not sent when nothing has changed", async () => {
    const asked = open();
    (await link("Rust or Go?")).focus();
    await userEvent.keyboard("{F2}Something{Escape}");
    expect(document.activeElement).toBe(await link("Rust or Go?"));
    await userEvent.keyboard("{F2}{Enter}");
    expect(asked.filter((one) => one.method === "PATCH")).toEqual([]);
  });

  it("is taken back, and said, when the daemon refuses", async () => {
    open({ "PATCH gate/conversations/RUST": 409 });
    (await link("Rust or Go?")).focus();
    await userEvent.keyboard("{F2}Go!{Enter}");
    await screen.findByText(/Not renamed. The daemon has refused./);
    await link("Rust or Go?");
  });
});

describe("deleting", () => {
  it("asks first, and then shows a new chat instead", async () => {
    location.hash = "#/c/RUST";
    let deleted = false;
    const asked = open({
      "DELETE gate/conversations/RUST": () => {
        deleted = true;
        return 204;
      },
      "GET gate/conversations": () => page(deleted ? [BREAD, OLD] : [BREAD, RUST, OLD]),
    });
    (await link("Rust or Go?")).focus();
    await userEvent.keyboard("{Delete}");
    const dialog = screen.getByRole("alertdialog", { name: "Delete this conversation?" });
    expect(document.activeElement).toBe(within(dialog).getByRole("button", { name: "Cancel" }));
    await userEvent.click(within(dialog).getByRole("button", { name: "Delete" }));
    await waitFor(() => expect(screen.queryByRole("alertdialog")).toBeNull());
    expect(asked.filter((one) => one.method === "DELETE")).toHaveLength(1);
    expect(location.hash).toBe("#/");
    expect(screen.queryByRole("link", { name: "Rust or Go?" })).toBeNull();
    expect(screen.getAllByText("Conversation deleted").length).toBeGreaterThan(0);
    expect(document.activeElement).toBe(screen.getByRole("link", { name: "Holiday plans" }));
  });

  it("can be cancelled, and stays where it is when the daemon refuses", async () => {
    location.hash = "#/c/BREAD";
    open({ "DELETE gate/conversations/RUST": 409 });
    await link("Rust or Go?");
    await optionsOf("Rust or Go?");
    await userEvent.click(menuItem(/^Delete/));
    await userEvent.keyboard("{Enter}");
    expect(screen.queryByRole("alertdialog")).toBeNull();
    await optionsOf("Rust or Go?");
    await userEvent.click(menuItem(/^Delete/));
    await userEvent.click(screen.getByRole("button", { name: "Delete" }));
    await within(screen.getByRole("alertdialog")).findByText("The daemon has refused.");
    expect(location.hash).toBe("#/c/BREAD");
    await link("Rust or Go?");
  });
});

describe("exporting", () => {
  it("says why it did not work", async () => {
    const asked = open({ "GET gate/conversations/RUST/export": 403 });
    await link("Rust or Go?");
    await optionsOf("Rust or Go?");
    await userEvent.click(menuItem("Export as Markdown"));
    await screen.findByText("The daemon has refused.");
    expect(asked.at(-1)?.query.get("format")).toBe("markdown");
  });
});
