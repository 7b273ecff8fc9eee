import type { ProblemDocument } from "./types";

/** An error as the daemon tells it, or as we tell that it could not be asked. */
export class Problem extends Error {
  /** The HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** Permanent; "unreachable" and "timeout" are ours. */
  readonly code: string;
  readonly detail: string;
  readonly hint: string | null;
  /** Seconds. */
  readonly retryAfter: number | null;
  readonly requestId: string | null;
  /** The field of the request that is at fault. */
  readonly param: string | null;

  constructor(document: ProblemDocument, retryAfter: number | null = null) {
    super(document.detail || document.title);
    this.name = "Problem";
    this.status = document.status;
    this.code = document.code;
    this.detail = document.detail || document.title;
    this.hint = document.hint || null;
    this.retryAfter = retryAfter ?? document.retry_after ?? null;
    this.requestId = document.request_id || null;
    this.param = document.param || null;
  }

  /** What is wrong and what to do about it, for people. */
  get text(): string {
    return this.hint ? `${this.detail} ${this.hint}` : this.detail;
  }

  /** Whether it may be over by itself: nothing is wrong with what was asked. */
  get isPassing(): boolean {
    return this.status === 0 || this.status >= 500;
  }
}

/** Whatever was thrown, as something that can be shown. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const detail = error instanceof Error && error.message ? error.message : "Something went wrong in this page.";
  return new Problem({ title: "Failure", status: 0, code: "page_failure", detail });
}

export function isAbort(error: unknown): boolean {
  return typeof error === "object" && error !== null && "name" in error && error.name === "AbortError";
}

export function unreachable(): Problem {
  return new Problem({
    title: "Unreachable",
    status: 0,
    code: "unreachable",
    detail: "The gateway cannot be reached.",
    hint: "Check your connection, then try again.",
  });
}

export function tooSlow(): Problem {
  return new Problem({
    title: "Timeout",
    status: 0,
    code: "timeout",
    detail: "The gateway did not answer in time.",
    hint: "Try again in a moment.",
  });
}

/** The problem that this answer tells. A proxy between us and the daemon may answer something else than JSON. */
export async function readProblem(response: Response): Promise<Problem> {
  const retryAfter = secondsOf(response.headers.get("retry-after"));
  const document: unknown = await response.json().catch(() => null);
  if (isProblem(document)) return new Problem(document, retryAfter);
  const { status } = response;
  const code = status === 401 ? "unauthenticated" : "unexpected_answer";
  const detail = `The gateway, or a proxy before it, answered with an error (${status}).`;
  return new Problem({ title: "Error", status, code, detail }, retryAfter);
}

function secondsOf(header: string | null): number | null {
  return header && /^\d{1,9}$/.test(header) ? Number(header) : null;
}

function isProblem(value: unknown): value is ProblemDocument {
  if (typeof value !== "object" || value === null) return false;
  const { code, status, title } = value as Partial<ProblemDocument>;
  return typeof code === "string" && typeof status === "number" && typeof title === "string";
}
