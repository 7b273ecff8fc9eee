import { act, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Problem } from "../api/problem";
import { CopyButton } from "./copy";
import { ErrorBoundary, Failure } from "./failure";
import { announce, StatusRegion } from "./status";
import { Toasts, toast } from "./toast";

afterEach(() => vi.useRealTimers());

describe("announce", () => {
  it("speaks in one polite region, also twice the same", () => {
    render(<StatusRegion />);
    act(() => announce("Answer ready"));
    const region = screen.getByRole("status");
    const before = region.firstChild;
    expect(region.textContent).toBe("Answer ready");
    act(() => announce("Answer ready"));
    expect(region.firstChild).not.toBe(before);
  });
});

describe("toast", () => {
  it("shows errors as alerts, goes by itself, and stays while somebody is at it", async () => {
    vi.useFakeTimers();
    render(<Toasts />);
    act(() => toast("It failed", "error"));
    const card = screen.getByRole("alert");
    expect(card.textContent).toContain("It failed");
    act(() => screen.getByRole("button", { name: "Dismiss" }).focus());
    act(() => void vi.advanceTimersByTime(60_000));
    expect(screen.queryByRole("alert")).toBe(card);
    act(() => screen.getByRole("button", { name: "Dismiss" }).blur());
    act(() => void vi.advanceTimersByTime(10_000));
    expect(screen.queryByRole("alert")).toBeNull();
  });

  it("offers something to do, and shows no text twice", async () => {
    const undo = vi.fn();
    render(<Toasts />);
    act(() => toast("Deleted", "success", { label: "Undo", run: undo }));
    act(() => toast("Deleted", "success", { label: "Undo", run: undo }));
    await userEvent.click(screen.getByRole("button", { name: "Undo" }));
    expect(undo).toHaveBeenCalledOnce();
    expect(screen.queryByText("Deleted")).toBeNull();
  });
});

describe("CopyButton", () => {
  it("copies, and shows that it has", async () => {
    const user = userEvent.setup();
    render(<CopyButton text={() => "the text"} />);
    await user.click(screen.getByRole("button", { name: "Copy" }));
    expect(await navigator.clipboard.readText()).toBe("the text");
    expect(screen.getByRole("button", { name: "Copied" })).toBeTruthy();
  });

  it("copies by a selection where there is no clipboard", async () => {
    const user = userEvent.setup();
    vi.spyOn(navigator, "clipboard", "get").mockReturnValue(undefined as unknown as Clipboard);
    const copied = vi.fn(() => (document.activeElement as HTMLTextAreaElement).value === "x");
    document.execCommand = copied;
    render(<CopyButton text="x" wide />);
    await user.click(screen.getByRole("button", { name: "Copy" }));
    expect(copied).toHaveReturnedWith(true);
    expect(document.activeElement).toBe(screen.getByRole("button", { name: "Copied" }));
    expect(document.querySelector("textarea")).toBeNull();
  });
});

describe("Failure", () => {
  it("says what is wrong, what to do, and which request it was", async () => {
    const again = vi.fn();
    const document = { title: "t", status: 503, code: "queue_full", detail: "The line is full.", hint: "Wait a bit." };
    render(<Failure error={new Problem({ ...document, request_id: "r-1" })} onRetry={again} />);
    expect(screen.getByRole("alert").textContent).toMatch(/The line is full\.Wait a bit\.Request r-1/);
    await userEvent.click(screen.getByRole("button", { name: "Try again" }));
    expect(again).toHaveBeenCalledOnce();
  });
});

function Broken({ text }: { text: string }): never {
  throw new Error(text);
}

describe("ErrorBoundary", () => {
  it("shows a readable failure with a way out", () => {
    vi.spyOn(console, "error").mockImplementation(() => undefined);
    render(
      <ErrorBoundary>
        <Broken text="x is undefined" />
      </ErrorBoundary>,
    );
    expect(screen.getByRole("alert").textContent).toContain("This part of the page has failed");
    expect(screen.getByRole("button", { name: "Reload" })).toBeTruthy();
  });

  it("knows a part that is out of reach, or gone with an update", () => {
    vi.spyOn(console, "error").mockImplementation(() => undefined);
    render(
      <ErrorBoundary>
        <Broken text="Failed to fetch dynamically imported module: http://gateway/assets/x.js" />
      </ErrorBoundary>,
    );
    expect(screen.getByRole("alert").textContent).toContain("This part of the page could not be loaded");
  });
});
