import { act, render } from "@testing-library/react";
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { Answer } from "./answer";
import { loadEngine } from "./engine";

const LONG = `**bold** ${"word ".repeat(400)}`;
const idle: IdleRequestCallback[] = [];

/** Whatever observes comes into view when it is told to. */
class Views {
  static all: Views[] = [];
  element: Element | null = null;

  constructor(readonly tell: (entries: { isIntersecting: boolean }[]) => void) {
    Views.all.push(this);
  }

  observe(element: Element): void {
    this.element = element;
  }

  disconnect(): void {
    this.element = null;
  }
}

beforeAll(loadEngine);

beforeEach(() => {
  idle.length = 0;
  Views.all = [];
  vi.stubGlobal("requestIdleCallback", (work: IdleRequestCallback) => idle.push(work));
  vi.stubGlobal("IntersectionObserver", Views);
});

afterEach(() => vi.unstubAllGlobals());

/** A moment in which there is time for one step. */
const pause = () => act(() => idle.shift()?.({ didTimeout: false, timeRemaining: () => 0 }));

function show(...names: string[]) {
  const { container } = render(
    names.map((name) => <Answer key={name} content={`${LONG} ${name}`} thinking={null} streaming={false} />),
  );
  return () => [...container.querySelectorAll(".answer")].map((answer) => answer.querySelector("strong") !== null);
}

describe("a long conversation", () => {
  test("is drawn one by one from its end, when there is time", () => {
    const drawn = show("a", "b", "c");
    expect(drawn()).toEqual([false, false, false]);
    pause();
    expect(drawn()).toEqual([false, false, true]);
    pause();
    expect(drawn()).toEqual([false, true, true]);
    pause();
    expect(drawn()).toEqual([true, true, true]);
    expect(Views.all.every((view) => view.element === null)).toBe(true);
    pause();
    expect(idle).toEqual([]);
  });

  test("is drawn where it is looked at", () => {
    const drawn = show("a", "b", "c");
    act(() => Views.all[0]?.tell([{ isIntersecting: false }]));
    expect(drawn()).toEqual([false, false, false]);
    act(() => Views.all[0]?.tell([{ isIntersecting: true }]));
    expect(drawn()).toEqual([true, false, false]);
    pause();
    pause();
    expect(drawn()).toEqual([true, true, true]);
  });

  test("shows its last answer at once", () => {
    const { container } = render(<Answer content={LONG} thinking={null} streaming={false} first />);
    expect(container.querySelector("strong")).not.toBeNull();
    expect(container.querySelector("[aria-busy]")).toBeNull();
  });

  test("leaves nothing behind when it is closed before", () => {
    const { unmount } = render(<Answer content={LONG} thinking={null} streaming={false} />);
    unmount();
    pause();
    expect(idle).toEqual([]);
    expect(Views.all.every((view) => view.element === null)).toBe(true);
  });
});
