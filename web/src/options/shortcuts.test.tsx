import { cleanup, fireEvent, render, renderHook } from "@testing-library/react";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type Command, commandOf, keyNames, run, SHORTCUTS, useCommand, useShortcuts } from "./shortcuts";

afterEach(() => {
  cleanup();
  document.body.replaceChildren();
});

function press(keys: KeyboardEventInit, target: EventTarget = document.body): KeyboardEvent {
  const event = new KeyboardEvent("keydown", keys);
  Object.defineProperty(event, "target", { value: target });
  return event;
}

function field(value = "", kind: "input" | "textarea" | "select" = "textarea"): HTMLElement {
  const element = document.createElement(kind);
  if (value) (element as HTMLTextAreaElement).value = value;
  return element;
}

describe("commandOf", () => {
  it.each<[KeyboardEventInit, Command | null]>([
    [{ key: "k", ctrlKey: true }, "search"],
    [{ key: "K", ctrlKey: true }, "search"],
    [{ key: "k" }, null],
    [{ key: "k", ctrlKey: true, shiftKey: true }, null],
    [{ key: "k", metaKey: true }, null],
    [{ key: "k", ctrlKey: true, altKey: true }, null],
    [{ key: "O", ctrlKey: true, shiftKey: true }, "new-chat"],
    [{ key: "o", ctrlKey: true }, null],
    [{ key: "C", ctrlKey: true, shiftKey: true }, "copy-answer"],
    [{ key: "c", ctrlKey: true }, null],
    [{ key: "/", ctrlKey: true }, "focus-composer"],
    [{ key: "/", ctrlKey: true, shiftKey: true }, "focus-composer"],
    [{ key: "?", shiftKey: true }, "help"],
    [{ key: "ArrowUp", altKey: true }, "previous"],
    [{ key: "ArrowDown", altKey: true }, "next"],
    [{ key: "ArrowDown", altKey: true, shiftKey: true }, null],
    [{ key: "ArrowUp" }, null],
    [{ key: "k", ctrlKey: true, isComposing: true }, null],
    [{ key: "k", ctrlKey: true, repeat: true }, null],
  ])("%j", (keys, command) => {
    expect(commandOf(press(keys), false)).toBe(command);
  });

  it("takes Cmd on a Mac", () => {
    expect(commandOf(press({ key: "k", metaKey: true }), true)).toBe("search");
    expect(commandOf(press({ key: "k", ctrlKey: true }), true)).toBeNull();
  });

  it("leaves fields what they need", () => {
    expect(commandOf(press({ key: "?" }, field()), false)).toBeNull();
    expect(commandOf(press({ key: "k", ctrlKey: true }, field("text")), false)).toBe("search");
    expect(commandOf(press({ key: "ArrowUp", altKey: true }, field("text")), false)).toBe("previous");
    expect(commandOf(press({ key: "ArrowUp", altKey: true }, field("text")), true)).toBeNull();
    expect(commandOf(press({ key: "ArrowUp", altKey: true }, field()), true)).toBe("previous");
    expect(commandOf(press({ key: "ArrowDown", altKey: true }, field("", "select")), false)).toBeNull();
  });
});

describe("useCommand", () => {
  it("does nothing when nobody can", () => {
    expect(run("search")).toBe(false);
  });

  it("calls the latest handler while the component is there", () => {
    const first = vi.fn();
    const second = vi.fn();
    const { rerender, unmount } = renderHook(({ handler }) => useCommand("search", handler), {
      initialProps: { handler: first },
    });
    rerender({ handler: second });
    expect(run("search")).toBe(true);
    expect(first).not.toHaveBeenCalled();
    expect(second).toHaveBeenCalledOnce();
    unmount();
    expect(run("search")).toBe(false);
  });
});

function Frame({ search }: { search: () => void }) {
  useShortcuts();
  useCommand("search", search);
  return null;
}

describe("useShortcuts", () => {
  const KEY = { key: "k", ctrlKey: true, cancelable: true };

  it("runs the command instead of what the browser does", () => {
    const search = vi.fn();
    const { unmount } = render(<Frame search={search} />);
    expect(fireEvent.keyDown(document.body, KEY)).toBe(false);
    expect(search).toHaveBeenCalledOnce();
    expect(fireEvent.keyDown(document.body, { key: "C", ctrlKey: true, shiftKey: true })).toBe(true);
    unmount();
    fireEvent.keyDown(document.body, KEY);
    expect(search).toHaveBeenCalledOnce();
  });

  it("is silent below a dialog, but not below the page's own drawer", () => {
    const search = vi.fn();
    render(<Frame search={search} />);
    const dialog = document.body.appendChild(document.createElement("dialog"));
    dialog.open = true;
    fireEvent.keyDown(document.body, KEY);
    expect(search).not.toHaveBeenCalled();
    dialog.dataset.drawer = "";
    fireEvent.keyDown(document.body, KEY);
    expect(search).toHaveBeenCalledOnce();
  });
});

describe("keyNames", () => {
  it("are those of the keyboard", () => {
    expect(keyNames(["Mod", "Shift", "O"], false)).toEqual(["Ctrl", "Shift", "O"]);
    expect(keyNames(["Mod", "Shift", "O"], true)).toEqual(["⌘", "⇧", "O"]);
    expect(keyNames(["Alt", "ArrowUp"], false)).toEqual(["Alt", "↑"]);
  });

  it("are there for each shortcut, once", () => {
    const all = SHORTCUTS.map((one) => keyNames(one.keys, true).join(""));
    expect(new Set(all).size).toBe(SHORTCUTS.length);
  });
});
