import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { login, logout, page, refreshSession, useAuth, watchSession, whoAmI } from "./auth";
import { ANNA, Answer, fakeDaemon, made, problem } from "./testing";
import type { Me } from "./types";

const ADDRESS: Me = { ...ANNA, kind: "address", id: "10.0.0.1", user_id: null, session_id: null };
const tokensOf = (id: string) => ({ user: { id, name: id, role: "user" }, expires_in: 900 });
const REFUSED = problem(401, "unauthenticated", "The credentials are missing or not valid.");

let end = () => {};

beforeEach(() => {
  useAuth.setState({ state: "unknown", reason: null, me: null, life: null });
  vi.spyOn(page, "reload").mockImplementation(() => undefined);
});

afterEach(() => {
  end();
  end = () => {};
  vi.useRealTimers();
});

describe("whoAmI", () => {
  it("finds the session of the cookie", async () => {
    fakeDaemon({ "GET gate/auth/me": ANNA });
    await expect(whoAmI()).resolves.toEqual(ANNA);
    expect(useAuth.getState()).toMatchObject({ state: "in", me: ANNA });
  });

  it("renews a session whose access token has ended", async () => {
    let isFresh = false;
    fakeDaemon({
      "GET gate/auth/me": () => (isFresh ? ANNA : REFUSED),
      "POST gate/auth/refresh": () => {
        isFresh = true;
        return tokensOf("u1");
      },
    });
    await whoAmI();
    expect(useAuth.getState().state).toBe("in");
  });

  it("takes an address that is let in for nobody", async () => {
    const calls = fakeDaemon({ "GET gate/auth/me": ADDRESS, "POST gate/auth/refresh": REFUSED });
    await expect(whoAmI()).resolves.toBeNull();
    expect(made(calls, { path: "gate/auth/refresh" })).toHaveLength(1);
    expect(useAuth.getState()).toMatchObject({ state: "out", reason: null });
  });

  it("says that a session has ended when there was one", async () => {
    localStorage.setItem("llmgate.session", JSON.stringify({ renewAt: 1, endsAt: 2 }));
    fakeDaemon({ "GET gate/auth/me": REFUSED, "POST gate/auth/refresh": REFUSED });
    await whoAmI();
    expect(useAuth.getState()).toMatchObject({ state: "out", reason: "ended" });
    expect(localStorage.getItem("llmgate.session")).toBeNull();
  });

  it("does not take a daemon that is away for a session that has ended", async () => {
    fakeDaemon({ "GET gate/auth/me": new TypeError("Failed to fetch") });
    await expect(whoAmI()).rejects.toMatchObject({ code: "unreachable" });
    expect(useAuth.getState().state).toBe("unknown");
  });
});

describe("login and logout", () => {
  it("asks for cookies, and never keeps a token", async () => {
    const calls = fakeDaemon({ "POST gate/auth/login": tokensOf("u1"), "GET gate/auth/me": ANNA });
    await login("anna", "secret");
    expect(calls[0]?.body).toEqual({ name: "anna", password: "secret", cookie: true });
    expect(useAuth.getState().state).toBe("in");
    expect(Object.keys(localStorage)).toEqual(["llmgate.session"]);
  });

  it("reloads the page for another user than before, so that nothing of the first is left", async () => {
    useAuth.setState({ state: "out", me: { ...ANNA, user_id: "u2" } });
    fakeDaemon({ "POST gate/auth/login": tokensOf("u1"), "GET gate/auth/me": ANNA });
    await login("anna", "secret");
    expect(page.reload).toHaveBeenCalledOnce();
    expect(useAuth.getState().state).toBe("out");
  });

  it("says so when the browser keeps no cookies", async () => {
    fakeDaemon({ "POST gate/auth/login": tokensOf("u1"), "GET gate/auth/me": REFUSED });
    await expect(login("anna", "secret")).rejects.toMatchObject({ code: "cookie_refused" });
  });

  it("drops all that is in memory", async () => {
    useAuth.setState({ state: "in", me: ANNA });
    location.hash = "#/c/01ABC";
    fakeDaemon({ "POST gate/auth/logout": new Answer(204) });
    await logout();
    expect(useAuth.getState()).toMatchObject({ state: "out", reason: "left", me: null });
    expect(location.hash).toBe("#/login");
    expect(page.reload).toHaveBeenCalledOnce();
  });

  it("stays logged in when the daemon was not told", async () => {
    useAuth.setState({ state: "in", me: ANNA });
    fakeDaemon({ "POST gate/auth/logout": new TypeError("Failed to fetch") });
    await expect(logout()).rejects.toMatchObject({ code: "unreachable" });
    expect(useAuth.getState().state).toBe("in");
  });

  it("is heard by other tabs", async () => {
    useAuth.setState({ state: "in", me: ANNA, life: { renewAt: Date.now() + 1e6, endsAt: Date.now() + 2e6 } });
    end = watchSession();
    const other = new BroadcastChannel("llmgate.session");
    const reloaded = new Promise<void>((resolve) => vi.mocked(page.reload).mockImplementation(resolve));
    other.postMessage("left");
    await reloaded;
    other.close();
    expect(useAuth.getState()).toMatchObject({ state: "out", reason: "left" });
  });
});

describe("watchSession", () => {
  it("renews the session before it ends", async () => {
    vi.useFakeTimers();
    const calls = fakeDaemon({ "POST gate/auth/refresh": tokensOf("u1") });
    const now = Date.now();
    useAuth.setState({ state: "in", me: ANNA, life: { renewAt: now + 60_000, endsAt: now + 80_000 } });
    end = watchSession();
    await vi.advanceTimersByTimeAsync(59_000);
    expect(calls).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(calls).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(900_000 * 0.75);
    expect(calls).toHaveLength(2);
  });

  it("renews at once what ends nobody knows when", async () => {
    vi.useFakeTimers();
    const calls = fakeDaemon({ "POST gate/auth/refresh": tokensOf("u1") });
    useAuth.setState({ state: "in", me: ANNA });
    end = watchSession();
    await vi.advanceTimersByTimeAsync(0);
    expect(calls).toHaveLength(1);
  });

  it("tries again after a failure, and leaves a hidden page alone", async () => {
    vi.useFakeTimers();
    const calls = fakeDaemon({ "POST gate/auth/refresh": new TypeError("Failed to fetch") });
    useAuth.setState({ state: "in", me: ANNA });
    end = watchSession();
    await vi.advanceTimersByTimeAsync(15_100);
    expect(calls).toHaveLength(2);
    vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(calls).toHaveLength(2);
  });
});

describe("refreshSession", () => {
  it("takes over what another tab has just renewed", async () => {
    const now = Date.now();
    const stored = { renewAt: now + 60_000, endsAt: now + 80_000 };
    localStorage.setItem("llmgate.session", JSON.stringify(stored));
    const request = (_: string, work: () => Promise<void>) => work();
    vi.stubGlobal("navigator", { locks: { request } });
    const calls = fakeDaemon({});
    await refreshSession();
    vi.unstubAllGlobals();
    expect(calls).toHaveLength(0);
    expect(useAuth.getState().life).toEqual(stored);
  });
});
