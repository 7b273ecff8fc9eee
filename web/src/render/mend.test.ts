import { describe, expect, test } from "vitest";
import { mend } from "./mend";

describe("the end of a text that is being written", () => {
  test.each([
    ["plain text", "plain text"],
    ["some **bold", "some **bold**"],
    ["some **bold ", "some **bold**"],
    ["some **bold*", "some **bold**"],
    ["some **bold**", "some **bold**"],
    ["some **", "some "],
    ["*it **bo", "*it **bo***"],
    ["a * b", "a * b"],
    ["snake_case_na", "snake_case_na"],
    ["_it", "_it_"],
    ["`co", "`co`"],
    ["`co*de", "`co*de`"],
    ["``a`b", "``a`b``"],
    ["x `", "x "],
    ["~~gone", "~~gone~~"],
    ["see [text](http://exa", "see text"],
    ["see ![alt](http://exa", "see alt"],
    ["see [text](http://example.com)", "see [text](http://example.com)"],
    ["see [te", "see [te"],
    ["\\*not", "\\*not"],
    ["- **a", "- **a**"],
    ["**a\n- b", "**a\n- b"],
    ["text\n-", "text"],
    ["text\n--", "text"],
    ["text\n=", "text"],
    ["text\n##", "text"],
    ["text\n``", "text"],
    ["text\n```py", "text"],
    ["**", ""],
    ["text\n\\", "text"],
    ["text\n$$", "text"],
    ["| a | b", "| a | b|\n|---|---|"],
    ["| a | b |\n|--", "| a | b |\n|---|---|"],
    ["| a | b |\n|---|---|\n| **c", "| a | b |\n|---|---|\n| **c**"],
    ["|", "|"],
    ["42", "42"],
  ])("%j is shown as %j", (text, expected) => {
    expect(mend(text)).toBe(expected);
  });
});
