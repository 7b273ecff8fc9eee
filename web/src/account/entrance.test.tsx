import { act, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { useAuth } from "../api/auth";
import { ANNA, fakeDaemon, made, problem, type Told } from "../api/testing";
import { routeOf } from "../route";
import Entrance from "./entrance";
import { forgetInvitation, takeInvitations, useInvitation } from "./invitation";
import { ABOUT, show, TOKENS } from "./testing";

beforeEach(() => {
  useAuth.setState({ state: "out", reason: null, me: null, life: null });
  useInvitation.setState({ token: "" });
  history.replaceState(null, "", "#/");
});

function open(path: string, answers: Record<string, Told> = {}) {
  history.replaceState(null, "", `#${path}`);
  const calls = fakeDaemon({
    "GET gate/about": ABOUT,
    "GET gate/auth/me": ANNA,
    "POST gate/auth/login": TOKENS,
    ...answers,
  });
  return { calls, view: show(<Entrance route={routeOf(path)} />) };
}

const type = async (label: string, text: string) => userEvent.type(await screen.findByLabelText(label), text);
const press = (name: string) => userEvent.click(screen.getByRole("button", { name }));

describe("the login", () => {
  it("logs in, for password managers to understand", async () => {
    const { calls } = open("/c/01ABC");
    await type("Name", " anna ");
    await type("Password", "a secret");
    expect(screen.getByLabelText("Name").getAttribute("autocomplete")).toBe("username");
    expect(screen.getByLabelText("Password").getAttribute("autocomplete")).toBe("current-password");
    await press("Log in");
    await waitFor(() => expect(useAuth.getState().state).toBe("in"));
    const [call] = made(calls, { path: "gate/auth/login" });
    expect(call?.body).toEqual({ name: "anna", password: "a secret", cookie: true });
    // The way back is the address itself.
    expect(location.hash).toBe("#/c/01ABC");
  });

  it("says what is wrong in words, and keeps what was typed", async () => {
    open("/login", { "POST gate/auth/login": problem(401, "unauthenticated", "The name or the password is wrong.") });
    await type("Name", "anna");
    await type("Password", "a guess");
    await press("Log in");
    expect((await screen.findByRole("alert")).textContent).toContain("The name or the password is wrong.");
    expect(screen.getByLabelText("Name")).toHaveProperty("value", "anna");
    expect(screen.getByLabelText("Password")).toHaveProperty("value", "a guess");
  });

  it("counts down until it may be tried again", async () => {
    const more = { hint: "Try again in 3 s.", retry_after: 3 };
    open("/login", { "POST gate/auth/login": problem(429, "too_many_attempts", "Too many failed attempts.", more) });
    await type("Name", "anna");
    await type("Password", "a guess");
    vi.useFakeTimers({ shouldAdvanceTime: true });
    const user = userEvent.setup({ advanceTimers: vi.advanceTimersByTime });
    await user.click(screen.getByRole("button", { name: "Log in" }));
    const button = await screen.findByRole("button", { name: "Try again in 3 s" });
    expect(button).toHaveProperty("disabled", true);
    act(() => void vi.advanceTimersByTime(1_500));
    expect(button.textContent).toBe("Try again in 2 s");
    act(() => void vi.advanceTimersByTime(2_000));
    expect(button.textContent).toBe("Log in");
    expect(button).toHaveProperty("disabled", false);
    vi.useRealTimers();
  });

  it("says that a session has ended, and shows the password when asked", async () => {
    useAuth.setState({ reason: "ended" });
    open("/c/01ABC");
    expect(await screen.findByText(/Your session has ended\. Log in to go on where you were/)).toBeTruthy();
    await press("Show the password");
    expect(screen.getByLabelText("Password").getAttribute("type")).toBe("text");
  });

  it("tells what the operator has to set where cookies are not allowed", async () => {
    open("/login", { "GET gate/about": { ...ABOUT, cookies: false } });
    expect(await screen.findByText(/allow_insecure_cookies = true/)).toBeTruthy();
    expect(screen.getByText(/public_url = "https:/)).toBeTruthy();
    expect(screen.queryByLabelText("Password")).toBeNull();
  });

  it("says so when the gateway is away, and tries again", async () => {
    let isAway = true;
    open("/login", { "GET gate/about": () => (isAway ? new TypeError("Failed to fetch") : ABOUT) });
    await screen.findByText("The gateway cannot be reached.");
    isAway = false;
    await press("Try again");
    expect(await screen.findByLabelText("Password")).toBeTruthy();
  });

  it.each(["/login", "/register", "/setup"])("has no faults that axe finds at %s", async (path) => {
    const { view } = open(path, { "GET gate/about": { ...ABOUT, setup_needed: path === "/setup" } });
    await screen.findByLabelText("Name");
    const { violations } = await axe.run(view.container, { rules: { "color-contrast": { enabled: false } } });
    expect(violations.map((found) => found.id)).toEqual([]);
  });
});

describe("the registration", () => {
  it("takes the token from the link and out of the address at once", () => {
    history.replaceState(null, "", "#/register?token=llmr_abc");
    const end = takeInvitations();
    expect(location.hash).toBe("#/register");
    expect(useInvitation.getState().token).toBe("llmr_abc");
    location.hash = "#/register?token=llmr_def";
    window.dispatchEvent(new HashChangeEvent("hashchange"));
    expect(location.hash).toBe("#/register");
    expect(useInvitation.getState().token).toBe("llmr_def");
    end();
  });

  it("finds the token again after a reload, until it is used or another page is shown", () => {
    const reloaded = () => {
      useInvitation.setState({ token: "" });
      takeInvitations()();
      return useInvitation.getState().token;
    };
    history.replaceState(null, "", "#/register?token=llmr_abc");
    takeInvitations()();
    expect(location.href).not.toContain("llmr_abc");
    expect(reloaded()).toBe("llmr_abc");
    forgetInvitation();
    expect(reloaded()).toBe("");
    history.replaceState(null, "", "#/register?token=llmr_abc");
    takeInvitations()();
    history.replaceState(null, "", "#/login");
    reloaded();
    history.replaceState(null, "", "#/register");
    expect(reloaded()).toBe("");
    expect(sessionStorage).toHaveLength(0);
  });

  it("makes the account and logs in with the password just set", async () => {
    useInvitation.setState({ token: "llmr_abc" });
    const { calls } = open("/register", { "POST gate/auth/register": { id: "u1", name: "anna", role: "user" } });
    await type("Name", "anna");
    await type("Password", "long enough");
    expect(screen.getByLabelText("Password").getAttribute("autocomplete")).toBe("new-password");
    await press("Create account");
    await waitFor(() => expect(useAuth.getState().state).toBe("in"));
    const [call] = made(calls, { path: "gate/auth/register" });
    expect(call?.body).toEqual({ token: "llmr_abc", name: "anna", password: "long enough" });
    expect(useInvitation.getState().token).toBe("");
    await waitFor(() => expect(location.hash).toBe("#/"));
  });

  it("shows a fault at its field, and repeats only the login when that is what failed", async () => {
    useInvitation.setState({ token: "llmr_abc" });
    let registered = 0;
    let isAway = true;
    const { calls } = open("/register", {
      "POST gate/auth/register": () => {
        registered += 1;
        return registered === 1
          ? problem(400, "invalid_request", "This is not a usable user name.", { param: "name" })
          : { id: "u1", name: "anna", role: "user" };
      },
      "POST gate/auth/login": () => (isAway ? new TypeError("Failed to fetch") : TOKENS),
    });
    await type("Name", "anna");
    await type("Password", "long enough");
    await press("Create account");
    expect((await screen.findByRole("alert")).textContent).toBe("This is not a usable user name.");
    await press("Create account");
    await screen.findByText("The gateway cannot be reached.");
    isAway = false;
    await press("Create account");
    await waitFor(() => expect(useAuth.getState().state).toBe("in"));
    expect(made(calls, { path: "gate/auth/register" })).toHaveLength(2);
  });

  it("says that it is closed", async () => {
    open("/register", { "GET gate/about": { ...ABOUT, registration: false } });
    expect((await screen.findByRole("alert")).textContent).toContain("Registration is closed");
  });
});

describe("the first set-up", () => {
  it("is where everybody is led while there is no administrator", async () => {
    open("/login", { "GET gate/about": { ...ABOUT, setup_needed: true } });
    await waitFor(() => expect(location.hash).toBe("#/setup"));
  });

  it("makes the administrator", async () => {
    const { calls } = open("/setup", {
      "GET gate/about": { ...ABOUT, setup_needed: true },
      "POST gate/auth/setup": { id: "u1", name: "root", role: "admin" },
    });
    await type("Setup token", "the token");
    await type("Name", "root");
    await type("Password", "long enough");
    await press("Create administrator");
    await waitFor(() => expect(useAuth.getState().state).toBe("in"));
    expect(made(calls, { path: "gate/auth/login" })[0]?.body).toMatchObject({ name: "root", password: "long enough" });
  });

  it("is over when there is one", async () => {
    open("/setup");
    expect(await screen.findByText("This gateway is set up already.")).toBeTruthy();
  });
});
