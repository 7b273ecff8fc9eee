/** One exchange with the daemon, without any care for the session: `http.ts` adds that. */
import { isAbort, readProblem, tooSlow, unreachable } from "./problem";

export type Method = "GET" | "POST" | "PATCH" | "DELETE";
export type Query = Record<string, string | number | boolean | null | undefined>;

export interface Exchange {
  body?: unknown;
  /** What is null or undefined is left out. */
  query?: Query;
  signal?: AbortSignal | undefined;
}

/** Until the head of the answer is there. */
const PATIENCE_MS = 30_000;

/** Relative to the document, so that the page works under whatever path a proxy gives it. */
export function urlOf(path: string, query: Query = {}): string {
  const pairs = Object.entries(query).flatMap(([name, value]) => (value == null ? [] : [[name, String(value)]]));
  const search = new URLSearchParams(pairs).toString();
  return path.replace(/^\/+/, "") + (search ? `?${search}` : "");
}

/** The answer, when it is a good one. Throws Problem, or AbortError when `signal` says so. */
export async function send(method: Method, path: string, { body, query, signal }: Exchange = {}): Promise<Response> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), PATIENCE_MS);
  const giveUp = () => deadline.abort();
  if (signal?.aborted) giveUp();
  signal?.addEventListener("abort", giveUp);
  try {
    const response = await fetch(urlOf(path, query), {
      method,
      headers: { accept: "application/json", ...(body === undefined ? {} : { "content-type": "application/json" }) },
      body: body === undefined ? null : JSON.stringify(body),
      cache: "no-store",
      credentials: "same-origin",
      signal: deadline.signal,
    });
    if (!response.ok) throw await readProblem(response);
    return response;
  } catch (error) {
    if (error instanceof TypeError) throw unreachable();
    if (isAbort(error) && !signal?.aborted) throw tooSlow();
    throw error;
  } finally {
    // The signal stays connected: who aborts while the body is read, wants that to end too.
    clearTimeout(timer);
  }
}

/** The body of an answer; undefined for an empty one. */
export async function read<T>(response: Response): Promise<T> {
  const text = await response.text().catch((error: unknown) => {
    throw isAbort(error) ? error : unreachable();
  });
  return (text ? JSON.parse(text) : undefined) as T;
}
