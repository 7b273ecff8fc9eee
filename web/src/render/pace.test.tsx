import { act, renderHook } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { usePaced } from "./pace";

interface Props {
  text: string;
  streaming?: boolean;
}

let now = 0;

/** Time goes by, and what was planned for it happens. */
function pass(milliseconds: number): void {
  now += milliseconds;
  act(() => vi.advanceTimersByTime(milliseconds));
}

/** Something that draws the text, which takes so many milliseconds. */
function show(cost: number) {
  const drawn: string[] = [];
  const draw = ({ text, streaming = true }: Props): string => {
    const shown = usePaced(text, streaming);
    if (drawn.at(-1) !== shown) {
      drawn.push(shown);
      now += cost;
    }
    return shown;
  };
  const initialProps: Props = { text: "" };
  return { drawn, ...renderHook(draw, { initialProps }) };
}

describe("the pace of an answer", () => {
  beforeEach(() => {
    now = 1_000;
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    vi.spyOn(performance, "now").mockImplementation(() => now);
    return () => vi.useRealTimers();
  });
  afterEach(() => vi.restoreAllMocks());

  test("is the one of the text while drawing is cheap", () => {
    const { result, rerender } = show(5);
    for (const text of ["a", "ab", "abc"]) {
      rerender({ text });
      pass(0);
      expect(result.current).toBe(text);
    }
  });

  test("is slower the longer one drawing takes: a fifth of all time at most", () => {
    const { drawn, rerender } = show(100);
    for (let length = 1; length <= 40; length += 1) {
      rerender({ text: "x".repeat(length) });
      pass(50);
    }
    // The empty text, and then one in 500 ms of the two seconds and of those that drawing took.
    expect(drawn.length).toBeGreaterThan(4);
    expect(drawn.length).toBeLessThan(8);
  });

  test("is over with the stream", () => {
    const { result, rerender } = show(100);
    rerender({ text: "all of it", streaming: false });
    expect(result.current).toBe("all of it");
  });
});
