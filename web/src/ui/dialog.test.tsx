import { fireEvent, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { describe, expect, it, vi } from "vitest";
import { Problem } from "../api/problem";
import { ConfirmDialog, Dialog } from "./dialog";

function Page({ dismissable = true }: { dismissable?: boolean }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" onClick={() => setOpen(true)}>
        Open
      </button>
      <Dialog open={open} onClose={() => setOpen(false)} title="Rename" dismissable={dismissable}>
        <input aria-label="Title" />
      </Dialog>
    </>
  );
}

describe("Dialog", () => {
  it("is named, takes the focus, and gives it back on Esc", async () => {
    render(<Page />);
    await userEvent.click(screen.getByText("Open"));
    expect(screen.getByRole("dialog", { name: "Rename" })).toBeTruthy();
    expect(document.activeElement).toBe(screen.getByLabelText("Title"));
    await userEvent.keyboard("{Escape}");
    expect(screen.queryByRole("dialog")).toBeNull();
    expect(document.activeElement).toBe(screen.getByText("Open"));
  });

  it("closes on its cross and on a press beside it, but not on a text dragged out of it", async () => {
    render(<Page />);
    await userEvent.click(screen.getByText("Open"));
    const dialog = screen.getByRole("dialog");
    fireEvent.pointerDown(screen.getByLabelText("Title"));
    fireEvent.pointerUp(dialog);
    expect(screen.queryByRole("dialog")).toBe(dialog);
    fireEvent.pointerDown(dialog);
    fireEvent.pointerUp(dialog);
    expect(screen.queryByRole("dialog")).toBeNull();
    await userEvent.click(screen.getByText("Open"));
    await userEvent.click(screen.getByRole("button", { name: "Close" }));
    expect(screen.queryByRole("dialog")).toBeNull();
  });

  it("stays on a press beside it where something would be lost", async () => {
    render(<Page dismissable={false} />);
    await userEvent.click(screen.getByText("Open"));
    const dialog = screen.getByRole("dialog");
    fireEvent.pointerDown(dialog);
    fireEvent.pointerUp(dialog);
    expect(screen.queryByRole("dialog")).toBe(dialog);
  });
});

describe("ConfirmDialog", () => {
  function show(onConfirm: () => unknown) {
    const onClose = vi.fn();
    render(
      <ConfirmDialog open onClose={onClose} title="Delete?" confirmLabel="Delete" onConfirm={onConfirm}>
        It is gone for good.
      </ConfirmDialog>,
    );
    return onClose;
  }

  it("offers Cancel first", async () => {
    const confirmed = vi.fn();
    const onClose = show(confirmed);
    expect(screen.getByRole("alertdialog", { name: "Delete?" })).toBeTruthy();
    expect(document.activeElement).toBe(screen.getByText("Cancel"));
    await userEvent.keyboard("{Enter}");
    expect(onClose).toHaveBeenCalledOnce();
    expect(confirmed).not.toHaveBeenCalled();
  });

  it("closes when it is done", async () => {
    const onClose = show(async () => undefined);
    await userEvent.click(screen.getByText("Delete"));
    expect(onClose).toHaveBeenCalledOnce();
  });

  it("stays and says why when it fails", async () => {
    const problem = new Problem({
      title: "x",
      status: 409,
      code: "conflict",
      detail: "It has changed.",
      hint: "Look.",
    });
    const onClose = show(async () => Promise.reject(problem));
    await userEvent.click(screen.getByText("Delete"));
    const alert = await screen.findByRole("alert");
    expect(alert.textContent).toContain("It has changed.");
    expect(alert.textContent).toContain("Look.");
    expect(onClose).not.toHaveBeenCalled();
  });
});
