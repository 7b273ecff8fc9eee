import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { useAuth } from "../api/auth";
import { ANNA, Answer, fakeDaemon, made, problem, type Told } from "../api/testing";
import type { ApiKey, Session } from "../api/types";
import type { AccountPart } from "../route";
import Account from "./account";
import { ABOUT, show, TOKENS } from "./testing";

beforeEach(() => useAuth.setState({ state: "in", reason: null, me: ANNA, life: null }));

function open(part: AccountPart, answers: Record<string, Told>) {
  const calls = fakeDaemon({ "GET gate/about": ABOUT, "GET gate/auth/me": ANNA, ...answers });
  return { calls, view: show(<Account part={part} />) };
}

const press = (name: string | RegExp) => userEvent.click(screen.getByRole("button", { name }));
const faultsIn = async (container: Element) =>
  (await axe.run(container, { rules: { "color-contrast": { enabled: false } } })).violations.map((found) => found.id);

const FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const session = (id: string, current: boolean): Session => ({
  id,
  client: FIREFOX,
  address: `10.0.0.${id}`,
  created_at: "2026-11-01T08:00:00Z",
  last_used_at: "2026-11-02T08:00:00Z",
  expires_at: "2026-12-01T08:00:00Z",
  current,
});

describe("sessions", () => {
  it("tells this one, and ends another after a question", async () => {
    let sessions = [session("1", true), session("2", false)];
    const { calls, view } = open("sessions", {
      "GET gate/auth/sessions": () => ({ data: sessions, next: null }),
      "POST gate/auth/sessions/2/revoke": () => {
        sessions = [session("1", true)];
        return session("2", false);
      },
    });
    expect(await screen.findAllByText(/Firefox on Linux/)).toHaveLength(2);
    expect(screen.getAllByText("This one")).toHaveLength(1);
    await expect(faultsIn(view.container)).resolves.toEqual([]);
    await press("End the session of Firefox on Linux at 10.0.0.2");
    expect(screen.getByRole("alertdialog", { name: "End this session?" })).toBeTruthy();
    expect(made(calls, { method: "POST" })).toHaveLength(0);
    await press("End");
    await waitFor(() => expect(screen.getAllByText(/Firefox on Linux/)).toHaveLength(1));
  });

  it("ends all others", async () => {
    const { calls } = open("sessions", {
      "GET gate/auth/sessions": { data: [session("1", true), session("2", false), session("3", false)], next: null },
      "POST gate/auth/sessions/2/revoke": session("2", false),
      "POST gate/auth/sessions/3/revoke": session("3", false),
    });
    await screen.findByText("End all others");
    await press("End all others");
    await press("End");
    await waitFor(() => expect(made(calls, { method: "POST" })).toHaveLength(2));
  });

  it("says why it cannot be shown", async () => {
    open("sessions", { "GET gate/auth/sessions": problem(403, "forbidden", "That is not for you.") });
    expect((await screen.findByRole("alert")).textContent).toContain("That is not for you.");
  });
});

describe("the password", () => {
  it("is changed, and the fields are empty again", async () => {
    const { calls } = open("password", { "POST gate/auth/password": TOKENS });
    await userEvent.type(screen.getByLabelText("Current password"), "old secret");
    await userEvent.type(screen.getByLabelText("New password"), "new secret!");
    await press("Change password");
    await waitFor(() => expect(screen.getByLabelText("New password")).toHaveProperty("value", ""));
    const body = { current_password: "old secret", password: "new secret!", cookie: true };
    expect(made(calls, { path: "gate/auth/password" })[0]?.body).toEqual(body);
  });

  it("shows at the field what is wrong, and loses nothing", async () => {
    const wrong = problem(403, "forbidden", "The current password is wrong.", { param: "current_password" });
    const { view } = open("password", { "POST gate/auth/password": wrong });
    await userEvent.type(screen.getByLabelText("Current password"), "no idea");
    await userEvent.type(screen.getByLabelText("New password"), "new secret!");
    await press("Change password");
    expect((await screen.findByRole("alert")).textContent).toBe("The current password is wrong.");
    expect(screen.getByLabelText("Current password").getAttribute("aria-invalid")).toBe("true");
    expect(screen.getByLabelText("New password")).toHaveProperty("value", "new secret!");
    await expect(faultsIn(view.container)).resolves.toEqual([]);
  });
});

const key = (id: string, more: Partial<ApiKey> = {}): ApiKey => ({
  id,
  name: `${id}-7gq2m4`,
  level: 3,
  state: "active",
  models: null,
  expires_at: null,
  created_at: "2026-11-01T08:00:00Z",
  last_used_at: null,
  last4: "abcd",
  ...more,
});
const MODELS = {
  data: [
    { name: "tiny", loaded: false },
    { name: "big", loaded: true },
  ],
  next: null,
};

describe("API keys", () => {
  it("are created, and the secret is shown once with a call that works", async () => {
    const { calls } = open("keys", {
      "GET gate/keys": { data: [], next: null },
      "GET gate/models": MODELS,
      "POST gate/keys": new Answer(201, { ...key("my-laptop", { models: ["big"] }), key: "llmg_secret" }),
    });
    await screen.findByText("No keys yet");
    await press("Create a key");
    const dialog = within(screen.getByRole("dialog", { name: "Create an API key" }));
    expect(dialog.getByText(/An ending of your own is added/)).toBeTruthy();
    await userEvent.type(dialog.getByLabelText("Name"), "My Laptop");
    expect(dialog.getByText(/It will be called my-laptop-…/)).toBeTruthy();
    await userEvent.selectOptions(dialog.getByLabelText("Expires"), "Never");
    await userEvent.selectOptions(dialog.getByLabelText("Priority"), "Priority 4");
    await userEvent.click(dialog.getByRole("switch", { name: "All models" }));
    await userEvent.click(await dialog.findByLabelText("big"));
    await userEvent.click(dialog.getByRole("button", { name: "Create" }));
    expect(await screen.findByText("llmg_secret")).toBeTruthy();
    expect(made(calls, { method: "POST" })[0]?.body).toEqual({ name: "my-laptop", level: 4, models: ["big"] });
    expect(screen.getByText(/^curl/).textContent).toContain('{"model":"big"');
    expect(screen.getByText(/^curl/).textContent).toContain("Authorization: Bearer llmg_secret");
    await press("I have stored it");
    expect(screen.queryByText("llmg_secret")).toBeNull();
  });

  it("keep what was typed when one cannot be made", async () => {
    const most = problem(409, "conflict", "You have 5 API keys, and may have no more.", { hint: "Revoke one." });
    open("keys", { "GET gate/keys": { data: [], next: null }, "GET gate/models": MODELS, "POST gate/keys": most });
    await screen.findByText("No keys yet");
    await press("Create a key");
    await userEvent.type(screen.getByLabelText("Name"), "editor");
    await press("Create");
    expect((await screen.findByRole("alert")).textContent).toContain("Revoke one.");
    expect(screen.getByLabelText("Name")).toHaveProperty("value", "editor");
  });

  it("are revoked after a question, and old ones are out of the way", async () => {
    let keys = [key("old", { state: "revoked" }), key("editor")];
    const { view } = open("keys", {
      "GET gate/keys": () => ({ data: keys, next: null }),
      "POST gate/keys/editor/revoke": () => {
        keys = keys.map((one) => ({ ...one, state: "revoked" as const }));
        return keys[1];
      },
    });
    await screen.findByText("Revoked and expired (1)");
    await expect(faultsIn(view.container)).resolves.toEqual([]);
    await press("Revoke editor-7gq2m4");
    await press("Revoke");
    await screen.findByText("Revoked and expired (2)");
  });
});

describe("usage", () => {
  const row = (name: string, tokens: number) => ({
    name,
    requests: 2,
    input_tokens: tokens,
    output_tokens: tokens,
  });
  const rowsBy = {
    day: [row(new Date().toISOString().slice(0, 10), 1000)],
    model: [row("tiny", 600), row("big", 400)],
    key: [row("sessions", 1000)],
  };

  it("is drawn and told, for the range that is chosen", async () => {
    const { calls, view } = open("usage", {
      "GET gate/usage": ({ query }: { query: { by: keyof typeof rowsBy } }) => ({ data: rowsBy[query.by], next: null }),
    });
    expect((await screen.findByRole("img")).getAttribute("aria-label")).toContain("1,000 read and 1,000 written");
    expect(await screen.findByRole("row", { name: /tiny 2 600 600/ })).toBeTruthy();
    expect(await screen.findByRole("row", { name: /Logged in, without a key 2/ })).toBeTruthy();
    await expect(faultsIn(view.container)).resolves.toEqual([]);
    await userEvent.click(screen.getByRole("radio", { name: "7 days" }));
    await waitFor(() => expect(calls.filter((call) => call.query.days === "7")).toHaveLength(3));
    expect(view.container.querySelectorAll(".chart-input")).toHaveLength(7);
  });

  it("says when there is none", async () => {
    open("usage", { "GET gate/usage": { data: [], next: null } });
    expect(await screen.findByText("Nothing in the last 30 days")).toBeTruthy();
  });
});

it("goes to the heading of each part", async () => {
  vi.spyOn(console, "error");
  open("password", {});
  expect(document.activeElement).toBe(screen.getByRole("heading", { name: "Password" }));
  expect(screen.getByRole("link", { name: "Password" }).getAttribute("aria-current")).toBe("page");
  expect(document.title).toBe("Password · llmgate");
});
