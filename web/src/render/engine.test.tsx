import { act, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

const TEXT = "A **bold** word";

/** As in a page that has just been opened. */
async function fresh() {
  vi.resetModules();
  const [{ Answer }, engine] = await Promise.all([import("./answer"), import("./engine")]);
  return { Answer, ...engine };
}

describe("before Markdown can be drawn", () => {
  beforeEach(() => vi.stubGlobal("requestIdleCallback", undefined));
  afterEach(() => {
    vi.doUnmock("./blocks");
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  test("an answer is shown as it was written, and then as it is meant", async () => {
    const { Answer, loadEngine } = await fresh();
    const { container } = render(<Answer content={TEXT} thinking={null} streaming />);
    expect(container.querySelector(".answer-text > .plain-text")?.textContent).toBe(TEXT);
    await act(loadEngine);
    expect(container.querySelector(".answer-text > p > strong")?.textContent).toBe("bold");
  });

  test("reasoning is, too", async () => {
    const { Answer, loadEngine } = await fresh();
    const { container } = render(<Answer content="" thinking={TEXT} streaming />);
    act(() => screen.getByRole("button", { name: "Thinking…" }).click());
    expect(container.querySelector(".thinking-text > .plain-text")?.textContent).toBe(TEXT);
    await act(loadEngine);
    expect(container.querySelector(".thinking-text strong")?.textContent).toBe("bold");
  });

  test("it is loaded when the page has nothing better to do", async () => {
    vi.useFakeTimers();
    const { Answer, loadEngineLater } = await fresh();
    loadEngineLater()();
    loadEngineLater();
    expect(vi.getTimerCount()).toBe(1);
    vi.runAllTimers();
    vi.useRealTimers();
    await act(() => vi.dynamicImportSettled());
    const { container } = render(<Answer content={TEXT} thinking={null} streaming={false} />);
    expect(container.querySelector("strong")).not.toBeNull();
  });

  test("an answer stays readable when it cannot be loaded, and the next one tries again", async () => {
    vi.doMock("./blocks", () => Promise.reject(new Error("offline")));
    const { Answer, loadEngine } = await fresh();
    const { container } = render(<Answer content={TEXT} thinking={null} streaming={false} />);
    await act(loadEngine);
    expect(container.querySelector(".plain-text")?.textContent).toBe(TEXT);
    vi.doUnmock("./blocks");
    render(<Answer content="Another" thinking={null} streaming={false} />);
    await act(loadEngine);
    expect(container.querySelector("strong")?.textContent).toBe("bold");
  });
});
