import { describe, expect, it } from "vitest";
import { answer, Script } from "./testing";
import { begun, remaining, step, type Turn } from "./turn";

const NOW = 1_000_000;

function fresh(content = ""): Turn {
  return begun(
    { ref: "r1", chat: "c", conversation: null, wish: null, before: null, model: "m", parent: "r1.question", content },
    NOW,
  );
}

function run(turn: Turn, frames: Parameters<typeof step>[1][], now = NOW): Turn {
  return frames.reduce((before, frame) => step(before, frame, now), turn);
}

describe("a turn", () => {
  it("goes from the line to its end", () => {
    const script = new Script("T1", "r1");
    let turn = run(fresh(), [script.accepted(), script.queued(2)]);
    expect(turn).toMatchObject({ id: "T1", conversation: "C1", message: "A1", parent: "Q1", phase: "queued" });
    expect(turn.line).toMatchObject({ ahead: 2, grew: false });
    turn = step(turn, script.started(true), NOW);
    expect(turn).toMatchObject({ phase: "started", loading: true });
    turn = run(turn, [script.next("thinking", { text: "hm" }), script.next("thinking", { text: "m" })]);
    expect(turn).toMatchObject({ phase: "thinking", thinking: "hmm", loading: false });
    turn = run(turn, [script.token("Hel"), script.token("lo")]);
    expect(turn).toMatchObject({ phase: "answering", content: "Hello" });
    turn = step(turn, script.next("thinking", { text: "!" }), NOW);
    expect(turn.phase).toBe("answering");
    turn = step(turn, script.done(answer("A1", "Q1", { outcome: "stopped" })), NOW);
    expect(turn).toMatchObject({ phase: "ended", ending: { outcome: "stopped" } });
    expect(step(turn, script.token("late"), NOW)).toBe(turn);
  });

  it("goes back into the line when its server was lost", () => {
    const script = new Script("T1", "r1");
    const turn = run(fresh(), [script.accepted(), script.queued(0), script.started(), script.queued(1)]);
    expect(turn).toMatchObject({ phase: "queued", line: { ahead: 1 } });
  });

  it("goes on behind what an answer had already", () => {
    const script = new Script("T1", "r1");
    const turn = run(fresh("It was "), [script.accepted(), script.token("red.")]);
    expect(turn).toMatchObject({ content: "It was red.", begins: "It was " });
  });

  it("is astray after a gap or a repetition, until the snapshot", () => {
    const script = new Script("T1", "r1");
    const start = run(fresh(), [script.accepted(), script.token("a")]);
    const missed = script.token("b");
    const gap = step(start, script.token("c"), NOW);
    expect(gap).toMatchObject({ astray: true, content: "a" });
    expect(step(gap, script.token("d"), NOW)).toMatchObject({ astray: true, content: "a" });
    const again = step(gap, script.snapshot({ content: "abcd" }), NOW);
    expect(again).toMatchObject({ astray: false, content: "abcd", phase: "answering" });
    expect(step(again, script.token("e"), NOW).content).toBe("abcde");
    expect(step(again, missed, NOW).astray).toBe(true);
  });

  it("is told its end after a snapshot of one that has ended", () => {
    const script = new Script("T1", "r1");
    const turn = step(fresh(), script.snapshot({ state: "ended", content: "all" }), NOW);
    expect(turn.phase).toBe("answering");
    expect(step(turn, script.done(answer("A1", "Q1")), NOW).phase).toBe("ended");
  });

  it("ends even when frames were missed", () => {
    const script = new Script("T1", "r1");
    script.accepted();
    expect(step(fresh(), script.done(answer("A1", "Q1")), NOW).phase).toBe("ended");
  });
});

describe("the line", () => {
  it("tells that the number has grown, for good", () => {
    const script = new Script("T1", "r1");
    const turn = run(fresh(), [script.accepted(), script.queued(1), script.queued(3)]);
    expect(turn.line).toMatchObject({ ahead: 3, grew: true });
    expect(step(turn, script.queued(2), NOW).line?.grew).toBe(true);
  });

  it("keeps its estimate over news that do not change it much", () => {
    const script = new Script("T1", "r1");
    let turn = run(fresh(), [script.accepted(), script.queued(3, { estimated_wait: 40 })]);
    turn = step(turn, script.queued(2, { estimated_wait: 36 }), NOW + 5000);
    expect(turn.line && remaining(turn.line, NOW + 5000)).toBe(35);
    turn = step(turn, script.queued(2, { estimated_wait: 90 }), NOW + 6000);
    expect(turn.line && remaining(turn.line, NOW + 6000)).toBe(90);
    turn = step(turn, script.queued(2, { estimated_wait: null }), NOW + 7000);
    expect(turn.line && remaining(turn.line, NOW + 7000)).toBeNull();
  });

  it("counts from when the daemon says that it began", () => {
    const script = new Script("T1", "r1");
    const turn = run(fresh(), [script.accepted(), script.queued(1, { waited: 12 })]);
    expect(turn.since).toBe(NOW - 12_000);
  });

  it("is restored from a snapshot", () => {
    const script = new Script("T1", "r1");
    const turn = step(fresh(), script.snapshot({ state: "queued", ahead: 4, waited: 7, estimated_wait: 20 }), NOW);
    expect(turn).toMatchObject({ phase: "queued", since: NOW - 7000, line: { ahead: 4 } });
    expect(turn.line && remaining(turn.line, NOW)).toBe(20);
  });
});
