import { describe, expect, test } from "vitest";
import { grammars, highlight } from "./code-engine";
import { languageOf } from "./languages";

describe("languages", () => {
  test.each([
    ["py", "Python", "python"],
    ["JSX title=x", "JavaScript", "javascript"],
    ["c++", "C++", "cpp"],
    ["{.js}", "Text", null],
    ["md", "Markdown", null],
    ["", "Text", null],
    ["brainfuck", "brainfuck", null],
    ["__proto__", "__proto__", null],
    ["x".repeat(99), "x".repeat(30), null],
  ])("%j is %j", (info, label, grammar) => {
    expect(languageOf(info)).toEqual({ label, grammar });
  });

  test("all have a grammar", () => {
    expect(grammars().every((name) => languageOf(name).grammar === name)).toBe(true);
    expect(grammars().length).toBeGreaterThan(20);
  });
});

describe("colours", () => {
  test("are given up for what would take too long", () => {
    expect(highlight("x = 1", "python")).not.toBeNull();
    expect(highlight("x".repeat(2_001), "python")).toBeNull();
    expect(highlight("- \n".repeat(6_000), "yaml")).toBeNull();
    expect(highlight("x", "nothing")).toBeNull();
  });
});
