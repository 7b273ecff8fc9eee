import { describe, expect, test } from "vitest";
import { isAffordable } from "./budget";

describe("what is taken for Markdown", () => {
  test.each([
    ["a long paragraph", "Words with **bold** in them and some that are not. ".repeat(100), true],
    ["a long list", "- **Item** with *words*\n".repeat(400), true],
    ["a large table", `| a | b |\n|---|---|\n${"| **x** | `y` |\n".repeat(450)}`, true],
    ["a quote in a list in a quote", "> - > 1. > - x\n", true],
    ["many quotes in each other", ">".repeat(30), false],
    ["many lists in each other", "- ".repeat(30), false],
    ["a list of a hundred levels", `${" ".repeat(200)}- x`, false],
    ["a hundred thousand characters", "x".repeat(100_001), false],
    ["a paragraph of marks", "*a ".repeat(500), false],
    ["a table of marks", "| *a *b *c |\n".repeat(700), false],
    ["a table of cells", "|".repeat(5_001), false],
    ["a heap of tags", "<!--".repeat(1_001), false],
    ["a heap of brackets", "[".repeat(6_001), false],
  ])("%s", (_, text, expected) => {
    expect(isAffordable(text)).toBe(expected);
  });
});
