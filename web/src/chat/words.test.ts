import { describe, expect, it } from "vitest";
import { answer } from "./testing";
import { begun, isStuck, type Line } from "./turn";
import { elapsed, facts, ordinal, outlook, place, roughly, spoken, took } from "./words";

describe("words", () => {
  it.each([
    [1, "1st"],
    [2, "2nd"],
    [3, "3rd"],
    [4, "4th"],
    [11, "11th"],
    [12, "12th"],
    [13, "13th"],
    [21, "21st"],
    [112, "112th"],
  ])("counts %i", (count, expected) => {
    expect(ordinal(count)).toBe(expected);
  });

  it.each([
    [0, "a few seconds"],
    [4.9, "a few seconds"],
    [12.4, "about 12 s"],
    [41, "about 40 s"],
    [88, "about 90 s"],
    [100, "about 2 min"],
    [3500, "about 58 min"],
    [3600, "about an hour"],
    [7300, "about 2 hours"],
  ])("estimates %d s", (seconds, expected) => {
    expect(roughly(seconds)).toBe(expected);
  });

  it.each([
    [-3, "0 s"],
    [9.7, "9 s"],
    [65, "1:05"],
    [3665, "1:01:05"],
  ])("tells that %d s have passed", (seconds, expected) => {
    expect(elapsed(seconds)).toBe(expected);
  });

  it("tells how long something took", () => {
    expect([took(0.04), took(9.96), took(64.6)]).toEqual(["0.0 s", "10 s", "1:05"]);
  });

  it("tells the place in the line", () => {
    expect([place(0), place(2)]).toEqual(["You are next", "You are 3rd in line"]);
  });
});

describe("outlook", () => {
  const line: Line = { ahead: 0, level: 3, submittedLevel: 3, aged: false, grew: false, due: null, lost: false };
  const DOWN = "The server takes no requests at the moment. Your question keeps its place for now.";
  const NEXT = "Your question begins as soon as the server takes the next one.";
  const ROOM = "The model begins with you as soon as there is room.";

  it.each<[string, Partial<Line>, number, boolean, string]>([
    ["it is early", {}, 9, false, ROOM],
    ["nothing was ever estimated, and nothing is in memory", {}, 10, false, DOWN],
    ["nothing was ever estimated, by a server that is there", {}, 10, true, NEXT],
    ["the estimate went away, and nothing is in memory", { lost: true }, 1, false, DOWN],
    ["the estimate went away, from a server that is there", { lost: true }, 1, true, NEXT],
    ["the estimate is over for a moment", { due: 0 }, 9, true, ROOM],
    ["the estimate has been over for long", { due: 0 }, 10, false, NEXT],
    [
      "others are ahead",
      { ahead: 2 },
      60,
      false,
      "Others with a higher priority go first, so this number can also grow.",
    ],
    ["others are ahead, and the server is gone", { ahead: 2, lost: true }, 1, false, DOWN],
  ])("when %s", (_, values, waited, inMemory, expected) => {
    const now = { ...line, ...values };
    expect(outlook(now, isStuck(now, waited, waited * 1000), inMemory)).toBe(expected);
  });
});

describe("spoken", () => {
  const turn = begun(
    { ref: "r", chat: "c", conversation: null, wish: null, before: null, model: "m", parent: null, content: "" },
    0,
  );
  const line = { ahead: 2, level: 3, submittedLevel: 3, aged: false, grew: false, due: null, lost: false };

  it("is what changes, and no word of the answer", () => {
    expect(spoken(turn)).toBeNull();
    expect(spoken({ ...turn, phase: "queued", line })).toBe("In line, 2 ahead");
    expect(spoken({ ...turn, phase: "queued", line: { ...line, ahead: 0 } })).toBe("In line, next");
    expect(spoken({ ...turn, phase: "started", loading: true })).toBe("Loading m");
    expect(spoken({ ...turn, phase: "answering", content: "words" })).toBe("Answering");
    const ending = { outcome: "stopped" as const, error: null, usage: null };
    expect(spoken({ ...turn, phase: "ended", ending })).toBe("Stopped");
    expect(spoken({ ...turn, phase: "ended", ending, line })).toBe("Left the line");
    expect(spoken({ ...turn, phase: "ended", ending: { ...ending, outcome: "completed" } })).toBe("Answer ready");
  });
});

describe("facts", () => {
  it("are those that are known", () => {
    const usage = {
      input_tokens: 10,
      output_tokens: 1234,
      waited: 2,
      first_token: 2.5,
      duration: 30,
      tokens_per_second: 41.2,
    };
    const message = answer("A", "Q", { input_tokens: 10, output_tokens: 1234, duration: 30 });
    const all = Object.fromEntries(facts(message, usage).map(({ name, value }) => [name, value]));
    expect(all).toMatchObject({ Model: "llama3.2", "Tokens written": "1,234", Speed: "41 tokens/s", Duration: "30 s" });
    expect(facts(answer("A", "Q"), null).map(({ name }) => name)).toEqual(["Model", "Time"]);
  });
});
