import { beforeEach, describe, expect, it } from "vitest";
import { Problem } from "../api/problem";
import type { ServerFrame, Start } from "../api/types";
import { Lines } from "./lines";
import { Streams } from "./streams";
import { answer, FakeClock, Script, settled } from "./testing";

const START = { type: "start", ref: "r1" } as unknown as Start;

interface Asked {
  method: string;
  path: string;
  body: unknown;
  signal: AbortSignal;
  feed: ReadableStreamDefaultController<Uint8Array>;
}

let clock: FakeClock;
let frames: ServerFrame[];
let asked: Asked[];
let refusal: Problem | null;
let streams: Streams;

beforeEach(() => {
  clock = new FakeClock();
  frames = [];
  asked = [];
  refusal = null;
  const open = (method: string, path: string, body: unknown, signal: AbortSignal) => {
    if (refusal) return Promise.reject(refusal);
    const stream = new ReadableStream<Uint8Array>({
      start: (feed) => {
        asked.push({ method, path, body, signal, feed });
        signal.addEventListener("abort", () => feed.error(new DOMException("aborted", "AbortError")));
      },
    });
    return Promise.resolve(new Response(stream));
  };
  streams = new Streams({ clock, random: () => 1, open, frame: (frame) => frames.push(frame) });
});

function problem(status: number, code: string): Problem {
  return new Problem({ title: "No", status, code, detail: "No." });
}

async function say(text: string, at = asked.length - 1): Promise<void> {
  asked[at]?.feed.enqueue(new TextEncoder().encode(text));
  await drained();
}

/** Streams of the browser hand on in several steps, some of them macrotasks. */
async function drained(): Promise<void> {
  for (let round = 0; round < 5; round++) {
    await settled();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

describe("a stream", () => {
  it("hands on the frames of its lines, however they are cut", async () => {
    const script = new Script("T1", "r1");
    streams.start(START);
    await drained();
    expect(asked[0]).toMatchObject({ method: "POST", path: "gate/chat", body: START });
    const text = `${JSON.stringify(script.accepted())}\n\n${JSON.stringify(script.token("a"))}\n`;
    await say(text.slice(0, 40));
    await say(text.slice(40));
    expect(frames.map((frame) => frame.type)).toEqual(["accepted", "token"]);
    expect(streams.turns()).toEqual(["T1"]);
    await say(`${JSON.stringify(script.done(answer("A1", "Q1")))}\n`);
    asked[0]?.feed.close();
    await drained();
    expect(streams.turns()).toEqual([]);
    expect(asked).toHaveLength(1);
  });

  it("is taken up again where it broke", async () => {
    const script = new Script("T1", "r1");
    streams.start(START);
    await drained();
    await say(`${JSON.stringify(script.accepted())}\n`);
    asked[0]?.feed.close();
    await drained();
    clock.pass(500);
    await drained();
    expect(asked[1]).toMatchObject({ method: "GET", path: "gate/chat/T1" });
  });

  it("is asked for again with the same ref when nothing was heard", async () => {
    streams.start(START);
    await drained();
    asked[0]?.feed.error(new TypeError("network"));
    await drained();
    clock.pass(500);
    await drained();
    expect(asked[0]?.body).toEqual(START);
    expect(asked[1]).toMatchObject({ method: "POST", body: { ...START, again: true } });
  });

  it("is given up when it is silent", async () => {
    streams.attach("T1");
    await drained();
    clock.pass(15_000);
    await say("\n");
    clock.pass(15_000);
    expect(asked[0]?.signal.aborted).toBe(false);
    clock.pass(5_000);
    expect(asked[0]?.signal.aborted).toBe(true);
    await drained();
    clock.pass(500);
    await drained();
    expect(asked).toHaveLength(2);
  });

  it("tells that a turn was refused", async () => {
    refusal = new Problem({ title: "Full", status: 503, code: "queue_full", detail: "Full.", retry_after: 7 });
    streams.start(START);
    await drained();
    expect(frames).toMatchObject([{ type: "refused", ref: "r1", error: { code: "queue_full", retry_after: 7 } }]);
  });

  it("waits for a daemon that a proxy does not reach, but not for ever", async () => {
    refusal = problem(502, "unexpected_answer");
    streams.start(START);
    for (let attempt = 0; attempt < 12; attempt++) {
      await drained();
      clock.pass(30_000);
    }
    await drained();
    expect(frames).toMatchObject([{ type: "refused", ref: "r1" }]);
  });

  it("tells that a turn is gone", async () => {
    refusal = problem(404, "not_found");
    streams.attach("T1");
    await drained();
    expect(frames).toEqual([{ type: "gone", turn: "T1" }]);
  });

  it("ends when it is closed, without another word", async () => {
    streams.attach("T1");
    await drained();
    streams.close();
    await drained();
    clock.pass(60_000);
    await drained();
    expect(asked).toHaveLength(1);
    expect(frames).toEqual([]);
    expect(clock.waiting).toBe(0);
  });

  it("is one for each turn", async () => {
    streams.attach("T1");
    await drained();
    streams.attach("T1");
    await drained();
    expect(asked[0]?.signal.aborted).toBe(true);
    expect(streams.turns()).toEqual(["T1"]);
  });
});

describe("lines", () => {
  it("have an end", () => {
    const lines = new Lines();
    expect(lines.push("a\nb")).toEqual(["a"]);
    expect(lines.push("c\n\n")).toEqual(["bc"]);
    expect(() => lines.push("x".repeat(33 * 1024 * 1024))).toThrow(RangeError);
  });
});
