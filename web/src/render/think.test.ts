import { describe, expect, test } from "vitest";
import { separate } from "./think";

describe("reasoning in the content", () => {
  test.each([
    ["<think>\nhm\n</think>\n\nYes", false, "hm", "Yes", false],
    ["\n<thinking>hm</thinking>Yes", false, "hm", "Yes", false],
    ["<think>hm", true, "hm", "", true],
    ["<think>hm", false, "hm", "", false],
    ["<think>hm</th", true, "hm", "", true],
    ["<thi", true, "", "", false],
    ["<thi", false, "", "<thi", false],
    ["<this>", true, "", "<this>", false],
    ["<think></think>Yes", false, "", "Yes", false],
    ["hm\nhm\n</think>\nYes", false, "hm\nhm", "Yes", false],
    ["Use the `</think>` tag", false, "", "Use the `</think>` tag", false],
    ["Look:\n```\n</think>\n```", false, "", "Look:\n```\n</think>\n```", false],
    ["Yes <think>no</think>", false, "", "Yes <think>no</think>", false],
    ["", true, "", "", false],
  ])("%j (streaming: %s)", (content, streaming, thinking, answer, open) => {
    expect(separate(content, streaming)).toEqual({ thinking, answer, open });
  });

  test("comes out the same however it is cut, and never flashes as answer", () => {
    const content = "<think>one < two\n</thin> no\n</think>\n\nThe **answer**.";
    for (let end = 0; end <= content.length; end += 1) {
      const { answer } = separate(content.slice(0, end), true);
      expect("The **answer**.".startsWith(answer), `at ${end}: ${answer}`).toBe(true);
    }
    expect(separate(content, false)).toEqual({
      thinking: "one < two\n</thin> no",
      answer: "The **answer**.",
      open: false,
    });
  });
});
