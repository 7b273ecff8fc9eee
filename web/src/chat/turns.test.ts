import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Start } from "../api/types";
import { answer, FakeClock, Script, settled } from "./testing";
import type { Begin } from "./turn";
import { type Effects, isRunning, Turns, useTurns, type Wire } from "./turns";

const START = { type: "start", ref: "r1", mode: "send" } as unknown as Start;
const BEGIN: Begin = {
  ref: "r1",
  chat: "chat",
  conversation: null,
  wish: { kind: "send", text: "hi", pictures: [], edited: null },
  before: null,
  model: "m",
  parent: "r1.question",
  content: "",
};

let clock: FakeClock;
let turns: Turns;
let wire: { [Name in keyof Wire]: ReturnType<typeof vi.fn> };
let effects: { [Name in keyof Effects]: ReturnType<typeof vi.fn> };
let draws: number;

beforeEach(() => {
  clock = new FakeClock();
  draws = 0;
  wire = { start: vi.fn(() => true), attach: vi.fn(), stop: vi.fn() };
  effects = {
    accepted: vi.fn(),
    ended: vi.fn(),
    refused: vi.fn(),
    withdrawn: vi.fn(),
    gone: vi.fn(() => Promise.resolve()),
    titled: vi.fn(),
  };
  useTurns.setState({ turns: {}, latest: {}, status: "online" });
  turns = new Turns(
    clock,
    (draw) => {
      draws++;
      draw();
    },
    effects as unknown as Effects,
  );
  turns.use(wire as unknown as Wire);
});

function shown() {
  return useTurns.getState().turns.r1;
}

function begin(): Script {
  turns.begin(START, BEGIN);
  return new Script("T1", "r1");
}

describe("turns", () => {
  it("are shown at once, and as accepted", () => {
    const script = begin();
    expect(shown()?.phase).toBe("sending");
    expect(useTurns.getState().latest).toEqual({ chat: "r1" });
    expect(wire.start).toHaveBeenCalledWith(START);
    const frame = script.accepted();
    turns.frame(frame);
    expect(effects.accepted).toHaveBeenCalledWith(expect.objectContaining({ id: "T1" }), frame);
  });

  it("are drawn few times, however many words come", () => {
    const script = begin();
    turns.frame(script.accepted());
    clock.pass(1000);
    const before = draws;
    for (let word = 0; word < 100; word++) {
      turns.frame(script.token("word "));
      clock.pass(10);
    }
    clock.pass(100);
    expect(draws - before).toBeLessThanOrEqual(12);
    expect(shown()?.content).toBe("word ".repeat(100));
  });

  it("show their end without delay", () => {
    const script = begin();
    turns.frame(script.accepted());
    turns.frame(script.token("all"));
    turns.frame(script.done(answer("A1", "Q1")));
    expect(shown()?.phase).toBe("ended");
    expect(effects.ended).toHaveBeenCalledOnce();
    turns.frame(script.token("late"));
    expect(shown()?.content).toBe("all");
  });

  it("are attached to again after a gap, once", () => {
    const script = begin();
    turns.frame(script.accepted());
    script.token("lost");
    turns.frame(script.token("b"));
    turns.frame(script.token("c"));
    expect(wire.attach.mock.calls).toEqual([["T1"]]);
    turns.frame(script.snapshot({ content: "lostbc" }));
    clock.pass(100);
    expect(shown()).toMatchObject({ content: "lostbc", astray: false });
  });

  it("are taken up again with the connection", () => {
    const script = begin();
    turns.frame(script.accepted());
    turns.resumed([]);
    expect(wire.attach).toHaveBeenCalledWith("T1");
    // What comes before the snapshot belongs to the time before.
    turns.frame(script.token("a"));
    expect(wire.attach).toHaveBeenCalledOnce();
    turns.frame(new Script("T1", "r1").snapshot({ content: "abc" }));
    clock.pass(100);
    expect(shown()?.content).toBe("abc");
  });

  it("are asked for again when it is not known whether they were heard", () => {
    wire.start.mockReturnValue(false);
    begin();
    turns.resumed([]);
    expect(wire.start).toHaveBeenCalledTimes(2);
    turns.frame(new Script("T1", "r1").snapshot({ state: "queued", ahead: 1 }));
    expect(effects.accepted).toHaveBeenCalledWith(expect.objectContaining({ id: "T1" }), null);
    turns.resumed([]);
    expect(wire.start).toHaveBeenCalledTimes(2);
  });

  it("say so when they are asked for again, and only then", () => {
    wire.start.mockReturnValueOnce(false);
    begin();
    turns.resumed([]);
    expect(wire.start).toHaveBeenLastCalledWith(START);
    turns.resumed([]);
    expect(wire.start).toHaveBeenLastCalledWith({ ...START, again: true });
  });

  it("of several chats run beside each other", () => {
    const one = begin();
    turns.begin({ ...START, ref: "r2" }, { ...BEGIN, ref: "r2", chat: "other" });
    const two = new Script("T2", "r2");
    turns.frame(one.accepted());
    turns.frame(two.accepted({ conversation: "C2", message: "A2" }));
    turns.frame(two.token("two"));
    turns.frame(one.token("one"));
    clock.pass(100);
    const { turns: all } = useTurns.getState();
    expect([all.r1?.content, all.r2?.content]).toEqual(["one", "two"]);
  });

  it("that are gone are forgotten when the conversation was read again", async () => {
    const script = begin();
    turns.frame(script.accepted());
    turns.frame({ type: "gone", turn: "T1" });
    expect(effects.gone).toHaveBeenCalledOnce();
    expect(shown()).toBeDefined();
    await settled();
    expect(shown()).toBeUndefined();
  });

  it("that are refused are forgotten", () => {
    begin();
    const error = { title: "Full", status: 503, code: "queue_full", detail: "The line is full." };
    turns.frame({ type: "refused", ref: "r1", error });
    expect(effects.refused).toHaveBeenCalledWith(expect.objectContaining({ ref: "r1" }), error);
    expect(shown()).toBeUndefined();
    turns.resumed([]);
    expect(wire.start).toHaveBeenCalledOnce();
  });

  it("of other tabs can be followed, once", () => {
    const running = { turn: "T9", ref: "r9", conversation: "C9", message: "A9", state: "answering" as const };
    turns.follow(running, "C9");
    turns.follow(running, "C9");
    expect(wire.attach.mock.calls).toEqual([["T9"]]);
    turns.frame(
      new Script("T9", "r9").snapshot({ conversation: "C9", parent: "Q9", message: "A9", content: "so far" }),
    );
    clock.pass(100);
    expect(useTurns.getState().turns.r9).toMatchObject({ content: "so far", parent: "Q9" });
    expect(effects.accepted).not.toHaveBeenCalled();
  });

  it("hand on titles", () => {
    turns.frame({ type: "title", conversation: "C1", title: "Rain" });
    expect(effects.titled).toHaveBeenCalledWith("C1", "Rain");
  });
});

describe("stopping", () => {
  it("is said once the daemon knows the turn", () => {
    const script = begin();
    turns.stop("r1");
    expect(wire.stop).not.toHaveBeenCalled();
    expect(shown()?.stopping).toBe(true);
    turns.frame(script.accepted());
    expect(wire.stop.mock.calls).toEqual([["T1"]]);
    turns.resumed([]);
    expect(wire.stop).toHaveBeenCalledTimes(2);
  });

  it("takes back what was never sent", () => {
    useTurns.setState({ status: "waiting" });
    begin();
    turns.stop("r1");
    expect(effects.withdrawn).toHaveBeenCalledOnce();
    expect(shown()).toBeUndefined();
    turns.resumed([]);
    expect(wire.start).toHaveBeenCalledOnce();
  });

  it("leaves what has ended", () => {
    const script = begin();
    turns.frame(script.accepted());
    turns.frame(script.done(answer("A1", "Q1")));
    turns.stop("r1");
    turns.stopAll("chat");
    expect(wire.stop).not.toHaveBeenCalled();
    expect(isRunning(shown())).toBe(false);
  });
});
