/** For tests: a daemon that answers as it is told. */
import { vi } from "vitest";
import type { Me, ProblemDocument } from "./types";

export interface Call {
  method: string;
  path: string;
  query: Record<string, string>;
  body: unknown;
}

export class Answer {
  constructor(
    readonly status: number,
    readonly body: unknown = undefined,
    readonly headers: Record<string, string> = {},
  ) {}
}

/** Who is logged in. */
export const ANNA: Me = {
  kind: "session",
  id: "u1",
  name: "anna",
  role: "user",
  level: 3,
  user_id: "u1",
  session_id: "s1",
  models: null,
};

/** An answer: JSON, an Answer, an Error (the network fails), or what makes one of a call. */
export type Told = unknown | ((call: Call) => unknown);

export function problem(status: number, code: string, detail: string, more: Partial<ProblemDocument> = {}): Answer {
  const { retry_after, ...rest } = more;
  const headers = retry_after ? { "retry-after": String(retry_after) } : {};
  return new Answer(status, { title: code, status, code, detail, ...rest }, { ...headers, "x-problem": "yes" });
}

/** Answer what is asked for, named like "GET gate/models". Returns the calls so far; what has no answer is 404. */
export function fakeDaemon(answers: Record<string, Told>): Call[] {
  const calls: Call[] = [];
  vi.stubGlobal("fetch", async (input: string, init: RequestInit = {}) => {
    const url = new URL(input, "http://gateway/");
    const call: Call = {
      method: init.method ?? "GET",
      path: input.split("?")[0] ?? "",
      query: Object.fromEntries(url.searchParams),
      body: typeof init.body === "string" ? JSON.parse(init.body) : undefined,
    };
    calls.push(call);
    init.signal?.throwIfAborted();
    const told = answers[`${call.method} ${call.path}`];
    const answer: unknown = typeof told === "function" ? await told(call) : told;
    init.signal?.throwIfAborted();
    if (answer instanceof Error) throw answer;
    if (answer instanceof Answer) return response(answer);
    return answer === undefined ? response(problem(404, "not_found", "Not found.")) : response(new Answer(200, answer));
  });
  return calls;
}

function response({ status, body, headers }: Answer): Response {
  return new Response(body === undefined ? null : JSON.stringify(body), { status, headers });
}

export function made<T>(calls: readonly T[], wanted: Partial<Call>): T[] {
  const pairs = Object.entries(wanted);
  return calls.filter((call) => pairs.every(([name, value]) => (call as Record<string, unknown>)[name] === value));
}
