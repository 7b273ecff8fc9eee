import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { act, render } from "@testing-library/react";
import { beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { Answer } from "./answer";
import { Blocks } from "./blocks";
import { loadEngine } from "./engine";
import { faultsOf } from "./faults";
import { Question } from "./question";

interface Case {
  name: string;
  parts: [string, number][];
  cuts: "whole" | "characters" | number[];
}

// Written by `python -m tests.browser.hostile.corpus`; the tests in a browser use the same.
const FILE = resolve(import.meta.dirname, "../../../tests/browser/hostile/corpus.json");
const WHOLE = JSON.parse(readFileSync(FILE, "utf8")) as Case[];
/** The even ones: a third of the odd ones is drawn in a browser each time. The long tests draw all in both. */
const CORPUS = WHOLE.filter(({ name }) => process.env.LONG || Number(name.split("-").at(-1)) % 2 === 0);
/** Generous: nothing may hang, but how fast it is depends on the machine. */
const TIMEOUT = 60_000;
const HOST = "trap.invalid";
/** Where a text is cut that comes one character at a time. */
const PLACES = 8;
/** Giant texts are whole in the browser's tests, and come in pieces there: a document of Node.js is slow. */
const MOST_TIMES = 700;
const GIANT = 2_000;

const textOf = (hostile: Case): string =>
  hostile.parts.map(([text, times]) => text.repeat(Math.min(times, MOST_TIMES))).join("");

/**
 * The text as it grows, in characters as Python counts them. One at a time they come in the browser's tests only.
 */
function* growing({ name, cuts }: Case, text: string): Generator<string> {
  if (cuts === "whole" || text.length > GIANT) return;
  const characters = Array.from(text);
  for (const end of cuts === "characters" ? placesIn(characters.length, name) : cuts)
    yield characters.slice(0, end).join("");
}

/** Some places, which are the same every time. */
function placesIn(length: number, name: string): number[] {
  let seed = Array.from(name).reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 2_147_483_647, 1);
  const places = Array.from({ length: PLACES }, () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % length;
  });
  return places.sort((one, other) => one - other);
}

const waiting: IdleRequestCallback[] = [];
const trapped = vi.fn();

/** Lets everything that waits for an idle browser happen. */
async function settle(): Promise<void> {
  // What is drawn asks for colours and formulas.
  for (const _ of ["drawn", "coloured"]) {
    await act(async () => {
      await vi.dynamicImportSettled();
    });
    for (let work = waiting.shift(); work; work = waiting.shift()) {
      act(() => work?.({ didTimeout: false, timeRemaining: () => 50 }));
    }
  }
}

beforeAll(async () => {
  await Promise.all([loadEngine(), import("./math-engine"), import("./code-engine")]);
}, TIMEOUT);

beforeEach(() => {
  waiting.length = 0;
  vi.stubGlobal("requestIdleCallback", (work: IdleRequestCallback) => waiting.push(work));
  vi.stubGlobal("trapped", trapped.mockClear());
  return () => vi.unstubAllGlobals();
});

describe("what a hostile model answers", () => {
  test.each(CORPUS.map((hostile) => [hostile.name, hostile] as const))(
    "%s",
    async (_, hostile) => {
      const text = textOf(hostile);
      const loud = vi.spyOn(console, "error").mockImplementation(() => undefined);
      const { container, rerender, unmount } = render(<Blocks text="" streaming prefix="m" />);
      for (const part of growing(hostile, text)) {
        rerender(<Blocks text={part} streaming prefix="m" />);
        expect(faultsOf(container), JSON.stringify(part.slice(-80))).toEqual([]);
      }
      await settle();
      unmount();
      const answer = render(<Answer content={text} thinking={text.slice(0, 500)} streaming={false} />);
      await settle();
      expect(faultsOf(answer.container)).toEqual([]);
      expect(trapped).not.toHaveBeenCalled();
      expect(document.head.innerHTML).not.toContain(HOST);
      expect(loud.mock.calls.map((call) => String(call[0]).slice(0, 300))).toEqual([]);
    },
    TIMEOUT,
  );

  test("as a question", () => {
    for (const hostile of CORPUS) {
      const text = textOf(hostile).slice(0, 5_000);
      const { container, unmount } = render(
        <Question content={text} images={[{ url: `https://${HOST}/x.png` }, { id: "../../x?y#z" }]} />,
      );
      expect(container.querySelectorAll(".question-text *"), hostile.name).toHaveLength(0);
      expect([...container.querySelectorAll("img")].map((image) => image.getAttribute("src"))).toEqual([
        "gate/images/..%2F..%2Fx%3Fy%23z",
      ]);
      unmount();
    }
  });
});
