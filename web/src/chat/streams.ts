import { isAbort, type Problem, problemOf } from "../api/problem";
import type { ProblemDocument, ServerFrame, Start } from "../api/types";
import { type Clock, delayAfter } from "./clock";
import { frameOf, readLines } from "./lines";

/** An empty line comes every 5 s: after this the stream is dead. */
const SILENT_MS = 20_000;
/** After so many failures without one frame the turn is given up: its grace is long over. */
const MOST_FAILURES = 8;

export interface StreamsEnvironment {
  clock: Clock;
  random(): number;
  /** Throws Problem. */
  open(method: "GET" | "POST", path: string, body: unknown, signal: AbortSignal): Promise<Response>;
  frame(frame: ServerFrame): void;
}

interface Stream {
  abort: AbortController;
  /** Known as soon as the first frame has come. */
  turn: string | null;
  ended: boolean;
}

export function documentOf(problem: Problem): ProblemDocument {
  return {
    title: problem.detail,
    status: problem.status,
    code: problem.code,
    detail: problem.detail,
    hint: problem.hint,
    retry_after: problem.retryAfter,
    request_id: problem.requestId,
  };
}

/** Whether asking again is of no use. What the daemon itself says about a new turn ("the line is full") is its answer;
 * what a proxy says while the daemon restarts is not. */
function isFinal(problem: Problem, accepted: boolean): boolean {
  const isTheDaemons = problem.status !== 0 && problem.code !== "unexpected_answer";
  return !problem.isPassing || (isTheDaemons && !accepted);
}

/** Turns over plain HTTP, for who has no WebSocket: each is a stream of lines, and is taken up again when it breaks. */
export class Streams {
  private readonly streams = new Set<Stream>();

  constructor(private readonly env: StreamsEnvironment) {}

  start(start: Start): void {
    const stream = this.add(null);
    void this.follow(stream, start);
  }

  attach(turn: string): void {
    // Whoever attaches again has lost the thread of the stream that there is.
    for (const stream of this.streams) if (stream.turn === turn) this.drop(stream);
    void this.follow(this.add(turn), null);
  }

  stop(turn: string): void {
    const stopping = this.env.open("POST", `gate/chat/${turn}/stop`, undefined, new AbortController().signal);
    // A turn that has ended meanwhile says so in its own stream.
    void stopping.catch(() => undefined);
  }

  /** The turns that are followed here. */
  turns(): string[] {
    return [...this.streams].flatMap((stream) => stream.turn ?? []);
  }

  close(): void {
    for (const stream of this.streams) this.drop(stream);
  }

  private add(turn: string | null): Stream {
    const stream = { abort: new AbortController(), turn, ended: false };
    this.streams.add(stream);
    return stream;
  }

  private drop(stream: Stream): void {
    this.streams.delete(stream);
    stream.abort.abort();
  }

  private async follow(stream: Stream, start: Start | null): Promise<void> {
    let failures = 0;
    while (!stream.ended && !stream.abort.signal.aborted && failures <= MOST_FAILURES) {
      try {
        const heard = await this.once(stream, start && failures > 0 ? { ...start, again: true } : start);
        failures = heard ? 1 : failures + 1;
      } catch (error) {
        if (isAbort(error) && stream.abort.signal.aborted) return;
        const problem = problemOf(error);
        if (isFinal(problem, stream.turn !== null)) return this.refused(stream, start, documentOf(problem));
        failures += 1;
        if (failures > MOST_FAILURES) return this.refused(stream, start, documentOf(problem));
      }
      if (!stream.ended) await this.pause(stream, delayAfter(failures, this.env.random()));
    }
    this.streams.delete(stream);
  }

  /** Reads until the connection ends; whether any frame has come. */
  private async once(stream: Stream, start: Start | null): Promise<boolean> {
    let heard = false;
    const broken = new AbortController();
    const give = () => broken.abort();
    stream.abort.signal.addEventListener("abort", give);
    const alive = this.watchdog(give);
    try {
      const response = await this.request(stream, start, broken.signal);
      const take = (line: string) => {
        const frame = frameOf(line);
        // Whoever was told to let go must not hear any more of it.
        if (!frame || stream.abort.signal.aborted) return;
        heard = true;
        this.take(stream, frame);
      };
      if (response.body) await readLines(response.body, take, alive.again);
    } catch (error) {
      if (stream.abort.signal.aborted) throw error;
      // A stream that broke in the middle says nothing about whether there is a daemon.
      if (!heard && !isAbort(error)) throw error;
    } finally {
      alive.stop();
      stream.abort.signal.removeEventListener("abort", give);
    }
    return heard;
  }

  private request(stream: Stream, start: Start | null, signal: AbortSignal): Promise<Response> {
    if (stream.turn !== null) return this.env.open("GET", `gate/chat/${stream.turn}`, undefined, signal);
    return this.env.open("POST", "gate/chat", start, signal);
  }

  private take(stream: Stream, frame: ServerFrame): void {
    if ("seq" in frame) stream.turn = frame.turn;
    if (frame.type === "done" || frame.type === "gone" || frame.type === "refused") {
      stream.ended = true;
    }
    this.env.frame(frame);
  }

  private refused(stream: Stream, start: Start | null, error: ProblemDocument): void {
    stream.ended = true;
    this.streams.delete(stream);
    if (stream.turn !== null) this.env.frame({ type: "gone", turn: stream.turn });
    else this.env.frame({ type: "refused", ref: start?.ref ?? null, error });
  }

  private watchdog(dead: () => void): { again: () => void; stop: () => void } {
    const arm = () => this.env.clock.later(SILENT_MS, dead);
    let stop = arm();
    return {
      again: () => {
        stop();
        stop = arm();
      },
      stop: () => stop(),
    };
  }

  private pause(stream: Stream, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.env.clock.later(ms, resolve);
      stream.abort.signal.addEventListener("abort", () => {
        cancel();
        resolve();
      });
    });
  }
}
