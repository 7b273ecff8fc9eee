import { describe, expect, it } from "vitest";
import { type Circumstances, historyOf, newRef, startOf } from "./starting";
import { answer, question } from "./testing";
import { branch } from "./thread";

const MESSAGES = [question("Q1", null), answer("A1", "Q1"), question("Q2", "A1"), answer("A2", "Q2")];
const PICTURE = { media_type: "image/png", data: "aaaa" };

function circumstances(values: Partial<Circumstances> = {}): Circumstances {
  return {
    ref: "r1",
    conversation: "C1",
    temporary: false,
    model: "m",
    settings: { system: "Be brief.", parameters: { temperature: 0 } },
    entries: branch(MESSAGES, "A2"),
    pictures: {},
    ...values,
  };
}

describe("a start in a kept conversation", () => {
  it("goes below the end of the branch", () => {
    const wish = { kind: "send" as const, text: "and?", pictures: [PICTURE], edited: null };
    expect(startOf(wish, circumstances())).toEqual({
      type: "start",
      ref: "r1",
      conversation: "C1",
      parent: "A2",
      mode: "send",
      content: "and?",
      images: [PICTURE],
      model: "m",
      system: "Be brief.",
      parameters: { temperature: 0 },
      keep: true,
      history: [],
    });
    expect(startOf(wish, circumstances({ conversation: null, entries: [] })).parent).toBeNull();
  });

  it("goes below the last message that the daemon has", () => {
    const failed = answer("A2", "Q2", { content: "", outcome: "failed" });
    const entries = branch([...MESSAGES.slice(0, 3), failed], "A2");
    const start = startOf({ kind: "send", text: "and?", pictures: [], edited: null }, circumstances({ entries }));
    expect(start.parent).toBe("Q2");
  });

  it("takes the place of another question", () => {
    const edit = (message: ReturnType<typeof question>) =>
      startOf({ kind: "send", text: "new", pictures: [], edited: message }, circumstances()).parent;
    expect(edit(question("Q2", "A1"))).toBe("A1");
    expect(edit(question("Q1", null))).toBeNull();
  });

  it("names what is answered again, or gone on with", () => {
    const again = startOf({ kind: "regenerate", question: question("Q2", "A1") }, circumstances());
    expect(again).toMatchObject({ mode: "regenerate", parent: "Q2", content: "" });
    const on = startOf({ kind: "continue", answer: answer("A2", "Q2") }, circumstances());
    expect(on).toMatchObject({ mode: "continue", parent: "A2", content: "" });
  });
});

describe("a start in a temporary chat", () => {
  const temporary = circumstances({ conversation: null, temporary: true, pictures: { Q1: [PICTURE] } });
  const said = (id: string, role: "user" | "assistant") => ({
    role,
    content: `${role === "user" ? "question" : "answer"} ${id}`,
    images: id === "Q1" ? [PICTURE] : [],
  });

  it("brings all that was said", () => {
    const start = startOf({ kind: "send", text: "and?", pictures: [], edited: null }, temporary);
    expect(start).toMatchObject({ keep: false, conversation: null, parent: null, mode: "send", content: "and?" });
    expect(start.history).toEqual([
      said("Q1", "user"),
      said("A1", "assistant"),
      said("Q2", "user"),
      said("A2", "assistant"),
    ]);
  });

  it("leaves out what comes after an edited question", () => {
    const start = startOf({ kind: "send", text: "new", pictures: [], edited: question("Q2", "A1") }, temporary);
    expect(start.history).toEqual([said("Q1", "user"), said("A1", "assistant")]);
  });

  it("asks the question once more", () => {
    const start = startOf({ kind: "regenerate", question: question("Q1", null) }, temporary);
    expect(start).toMatchObject({ mode: "send", content: "question Q1", images: [PICTURE], history: [] });
  });

  it("ends with the answer that is gone on with", () => {
    const start = startOf({ kind: "continue", answer: answer("A2", "Q2") }, temporary);
    expect(start).toMatchObject({ mode: "continue", content: "" });
    expect(start.history.at(-1)).toEqual(said("A2", "assistant"));
  });
});

describe("historyOf", () => {
  it("keeps the newest that fit", () => {
    const long = (id: string) => question(id, null, "x".repeat(600_000));
    expect(historyOf([long("1"), long("2"), long("3")], {})).toHaveLength(2);
    const many = Array.from({ length: 1200 }, (_, index) => question(String(index), null));
    const kept = historyOf(many, {});
    expect(kept).toHaveLength(1000);
    expect(kept.at(-1)?.content).toBe("question 1199");
  });

  it("leaves the oldest pictures out when they are too large together", () => {
    const large = { media_type: "image/png", data: "a".repeat(12 * 1024 * 1024) };
    const kept = historyOf([question("1", null), question("2", null)], { "1": [large], "2": [large] });
    expect(kept.map((said) => said.images.length)).toEqual([0, 1]);
  });

  it("leaves out what says nothing", () => {
    expect(historyOf([question("1", null), answer("2", "1", { content: "" })], {})).toHaveLength(1);
  });
});

describe("newRef", () => {
  it("is what the daemon takes, and never the same", () => {
    expect(newRef()).toMatch(/^[A-Za-z0-9._-]{1,64}$/);
    expect(newRef()).not.toBe(newRef());
  });
});
