import { describe, expect, test } from "vitest";
import { revealAll, revealHidden, withoutOverrides } from "./reveal";

describe("characters that cannot be seen", () => {
  test.each([
    ["a\u202eb", "a⟨U+202E⟩b"],
    ["a\u2066b\u2069", "a⟨U+2066⟩b⟨U+2069⟩"],
    ["a\u200bb\u200dc", "a⟨U+200B⟩b⟨U+200D⟩c"],
    ["👩\u200d💻", "👩\u200d💻"],
    ["\u001b[31m\u0000", "␛[31m␀"],
    ["a\tb\nc", "a\tb\nc"],
    ["\ud800x", "\ufffdx"],
    ["x\udc00", "x\ufffd"],
    ["\u3164", "⟨U+3164⟩"],
    ["\u{e0041}", "⟨U+E0041⟩"],
    ["plain ünïcödé", "plain ünïcödé"],
  ])("in code %j shows as %j", (text, expected) => {
    expect(revealAll(text)).toBe(expected);
  });

  test.each([
    ["a\u202eb", "a⟨U+202E⟩b"],
    ["\u2067שלום\u2069", "\u2067שלום\u2069"],
    ["نمی\u200cخواهم", "نمی\u200cخواهم"],
    ["hi\u{e0041}", "hi⟨U+E0041⟩"],
    ["\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e007f}", "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e007f}"],
    ["\u001b[31m", "␛[31m"],
  ])("in prose %j shows as %j", (text, expected) => {
    expect(revealHidden(text)).toBe(expected);
  });

  test("are not copied when they change the order", () => {
    expect(withoutOverrides("a\u202eb\u2066c\u200bd")).toBe("abc\u200bd");
  });
});
