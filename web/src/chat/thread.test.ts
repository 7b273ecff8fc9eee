import { describe, expect, it } from "vitest";
import { answer, question } from "./testing";
import { branch, isUnfinished, leafBelow, leafIn, merged, withoutEmpty } from "./thread";

/*  Q1 ─ A1 ─ Q2 ─ A2
 *     └ A1b ─ Q3 ─ A3
 *  Q1b ─ A4                */
const TREE = [
  question("Q1", null),
  answer("A1", "Q1"),
  question("Q2", "A1"),
  answer("A2", "Q2"),
  answer("A1b", "Q1"),
  question("Q3", "A1b"),
  answer("A3", "Q3"),
  question("Q1b", null),
  answer("A4", "Q1b"),
];

function ids(leaf: string | null, messages = TREE): string[] {
  return branch(messages, leaf).map((entry) => entry.message.id);
}

describe("branch", () => {
  it("is the way from the beginning to the leaf", () => {
    expect(ids("A2")).toEqual(["Q1", "A1", "Q2", "A2"]);
    expect(ids("A3")).toEqual(["Q1", "A1b", "Q3", "A3"]);
  });

  it("goes on to the newest below a message in the middle", () => {
    expect(ids("Q1")).toEqual(["Q1", "A1b", "Q3", "A3"]);
    expect(ids("A1")).toEqual(["Q1", "A1", "Q2", "A2"]);
  });

  it("is the newest one when the leaf is not there", () => {
    expect(ids(null)).toEqual(["Q1b", "A4"]);
    expect(ids("gone")).toEqual(["Q1b", "A4"]);
    expect(ids(null, [])).toEqual([]);
  });

  it("tells what stands in the same place", () => {
    const [first, second] = branch(TREE, "A3");
    expect(first).toMatchObject({ siblings: ["Q1", "Q1b"], position: 0 });
    expect(second).toMatchObject({ siblings: ["A1", "A1b"], position: 1 });
  });

  it("begins with a message whose parent is not there", () => {
    const messages = [question("Q2", "gone"), answer("A2", "Q2")];
    expect(ids("A2", messages)).toEqual(["Q2", "A2"]);
    expect(branch(messages, "A2")[0]?.siblings).toEqual(["Q2"]);
  });

  it("comes to an end in a circle", () => {
    const messages = [question("Q1", "A1"), answer("A1", "Q1")];
    expect(ids("A1", messages).length).toBeLessThanOrEqual(2);
  });
});

describe("leaves", () => {
  it("are below the message that was chosen", () => {
    expect(leafBelow(TREE, "A1")).toBe("A2");
    expect(leafBelow(TREE, "Q1")).toBe("A3");
    expect(leafBelow(TREE, "A4")).toBe("A4");
    expect(leafBelow(TREE, "gone")).toBe("gone");
  });

  it("count only when they are there", () => {
    expect(leafIn(TREE, "gone", "A2", "A3")).toBe("A2");
    expect(leafIn(TREE, null, undefined)).toBeNull();
  });
});

describe("merged", () => {
  it("adds what is new and replaces what is known", () => {
    const changed = answer("A2", "Q2", { content: "corrected" });
    expect(merged(TREE, changed)).toHaveLength(TREE.length);
    expect(merged(TREE, changed)[3]?.content).toBe("corrected");
    expect(merged(TREE, question("Q9", "A2")).at(-1)?.id).toBe("Q9");
  });
});

describe("withoutEmpty", () => {
  it("leaves what says something", () => {
    const empty = answer("A1", "Q1", { content: "", outcome: "failed" });
    const thought = answer("A2", "Q1", { content: "", thinking: "hm", outcome: "stopped" });
    const silent = answer("A3", "Q1", { content: "" });
    expect(withoutEmpty([question("Q1", null, ""), empty, thought, silent]).map(({ id }) => id)).toEqual([
      "Q1",
      "A2",
      "A3",
    ]);
  });
});

describe("isUnfinished", () => {
  it.each([
    [answer("A", "Q", { outcome: "stopped" }), null, true],
    [answer("A", "Q", { outcome: "failed" }), null, true],
    [answer("A", "Q", { outcome: "stopped", content: "" }), null, false],
    [answer("A", "Q", { output_tokens: 100 }), 100, true],
    [answer("A", "Q", { output_tokens: 99 }), 100, false],
    [answer("A", "Q", { output_tokens: 99 }), null, false],
    [question("Q", null), 1, false],
  ])("%#", (message, longest, expected) => {
    expect(isUnfinished(message, longest)).toBe(expected);
  });
});
