import { beforeEach, describe, expect, it, vi } from "vitest";
import { useAuth } from "./auth";
import { isAbort, open, Problem, problemOf, request, urlOf } from "./http";
import { ANNA, Answer, fakeDaemon, made, problem } from "./testing";

const TOKENS = { user: { id: "u1", name: "anna", role: "user" }, expires_in: 900 };
const REFUSED = problem(401, "unauthenticated", "The credentials are missing or not valid.");

beforeEach(() => {
  useAuth.setState({ state: "in", reason: null, me: ANNA, life: null });
  vi.useRealTimers();
});

async function failureOf(promise: Promise<unknown>): Promise<Problem> {
  const error: unknown = await promise.then(
    () => null,
    (failure: unknown) => failure,
  );
  if (!(error instanceof Problem)) throw new Error(`no Problem: ${String(error)}`);
  return error;
}

describe("urlOf", () => {
  it("stays relative, and leaves out what is not there", () => {
    expect(urlOf("/gate/x", { a: "b c", none: null, gone: undefined, no: false })).toBe("gate/x?a=b+c&no=false");
    expect(urlOf("gate/x")).toBe("gate/x");
  });
});

describe("request", () => {
  it("sends JSON and reads JSON", async () => {
    const calls = fakeDaemon({ "POST gate/keys": { id: "k" } });
    await expect(request("POST", "gate/keys", { body: { name: "x" } })).resolves.toEqual({ id: "k" });
    expect(calls).toEqual([{ method: "POST", path: "gate/keys", query: {}, body: { name: "x" } }]);
  });

  it("gives undefined for an empty answer", async () => {
    fakeDaemon({ "DELETE gate/conversations/a": new Answer(204) });
    await expect(request("DELETE", "gate/conversations/a")).resolves.toBeUndefined();
  });

  it("tells what the daemon says is wrong", async () => {
    fakeDaemon({ "GET gate/x": problem(429, "too_many_attempts", "Too many.", { hint: "Wait.", retry_after: 7 }) });
    const failure = await failureOf(request("GET", "gate/x"));
    expect(failure).toMatchObject({ status: 429, code: "too_many_attempts", hint: "Wait.", retryAfter: 7 });
    expect(failure.text).toBe("Too many. Wait.");
    expect(failure.isPassing).toBe(false);
  });

  it("understands a proxy that answers no JSON", async () => {
    vi.stubGlobal("fetch", async () => new Response("<h1>Bad gateway</h1>", { status: 502 }));
    const failure = await failureOf(request("GET", "gate/x"));
    expect(failure).toMatchObject({ status: 502, code: "unexpected_answer", isPassing: true });
    expect(failure.detail).toContain("502");
  });

  it("says so when nobody answers", async () => {
    fakeDaemon({ "GET gate/x": new TypeError("Failed to fetch") });
    await expect(failureOf(request("GET", "gate/x"))).resolves.toMatchObject({ status: 0, code: "unreachable" });
  });

  it("does not wait for ever", async () => {
    vi.useFakeTimers();
    const silent = (_: string, { signal }: RequestInit) =>
      new Promise((_, reject) => {
        signal?.addEventListener("abort", () => reject(new DOMException("Aborted", "AbortError")));
      });
    vi.stubGlobal("fetch", silent);
    const failure = failureOf(request("GET", "gate/x"));
    await vi.advanceTimersByTimeAsync(30_000);
    await expect(failure).resolves.toMatchObject({ code: "timeout" });
  });

  it("hands an abort on as it is", async () => {
    fakeDaemon({ "GET gate/x": {} });
    const abort = new AbortController();
    abort.abort();
    const error = await request("GET", "gate/x", { signal: abort.signal }).catch((failure: unknown) => failure);
    expect(isAbort(error)).toBe(true);
  });
});

describe("an ended access token", () => {
  it("is renewed once for all who wait, and they are repeated", async () => {
    let isFresh = false;
    const calls = fakeDaemon({
      "GET gate/a": () => (isFresh ? { data: "a" } : REFUSED),
      "GET gate/b": () => (isFresh ? { data: "b" } : REFUSED),
      "POST gate/auth/refresh": () => {
        isFresh = true;
        return TOKENS;
      },
    });
    const answers = await Promise.all([request("GET", "gate/a"), request("GET", "gate/b")]);
    expect(answers).toEqual([{ data: "a" }, { data: "b" }]);
    expect(made(calls, { path: "gate/auth/refresh" })).toHaveLength(1);
    expect(useAuth.getState().state).toBe("in");
  });

  it("is renewed before a request when it is known to have ended", async () => {
    const past = Date.now() - 1000;
    useAuth.setState({ life: { renewAt: past, endsAt: past } });
    const calls = fakeDaemon({ "GET gate/a": {}, "POST gate/auth/refresh": TOKENS });
    await open("GET", "gate/a");
    expect(calls.map((call) => call.path)).toEqual(["gate/auth/refresh", "gate/a"]);
  });

  it("leaves nobody logged in when it cannot be renewed", async () => {
    fakeDaemon({ "GET gate/a": REFUSED, "POST gate/auth/refresh": REFUSED });
    await expect(failureOf(request("GET", "gate/a"))).resolves.toMatchObject({ status: 401 });
    expect(useAuth.getState()).toMatchObject({ state: "out", reason: "ended", me: ANNA });
  });

  it("says nothing about the session when the daemon cannot be reached", async () => {
    fakeDaemon({ "GET gate/a": REFUSED, "POST gate/auth/refresh": new TypeError("Failed to fetch") });
    await expect(failureOf(request("GET", "gate/a"))).resolves.toMatchObject({ code: "unreachable" });
    expect(useAuth.getState().state).toBe("in");
  });

  it("is not tried a second time", async () => {
    const calls = fakeDaemon({ "GET gate/a": REFUSED, "POST gate/auth/refresh": TOKENS });
    await expect(failureOf(request("GET", "gate/a"))).resolves.toMatchObject({ status: 401 });
    expect(calls).toHaveLength(3);
    expect(useAuth.getState().state).toBe("out");
  });
});

describe("problemOf", () => {
  it("makes something that can be shown of anything", () => {
    expect(problemOf(new Error("broken")).text).toBe("broken");
    expect(problemOf("?").text).toBe("Something went wrong in this page.");
  });
});
