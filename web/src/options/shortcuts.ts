import { useEffect, useRef } from "react";

/** What a key can do. Who can do it says so with `useCommand`. */
export type Command = "search" | "new-chat" | "previous" | "next" | "focus-composer" | "copy-answer" | "help";

export interface Shortcut {
  label: string;
  /** `Mod` is Cmd on a Mac and Ctrl elsewhere. Alternatives are separate shortcuts. */
  keys: string[];
  /** null: the part that has the focus handles it itself, and it is here for the list. */
  command: Command | null;
}

/** All shortcuts of the page but those for sending, which depend on a preference. */
export const SHORTCUTS: readonly Shortcut[] = [
  { label: "New chat", keys: ["Mod", "Shift", "O"], command: "new-chat" },
  { label: "Search conversations", keys: ["Mod", "K"], command: "search" },
  { label: "Previous conversation", keys: ["Alt", "ArrowUp"], command: "previous" },
  { label: "Next conversation", keys: ["Alt", "ArrowDown"], command: "next" },
  { label: "Go to the message field", keys: ["Mod", "/"], command: "focus-composer" },
  { label: "Copy the last answer", keys: ["Mod", "Shift", "C"], command: "copy-answer" },
  { label: "Stop the answer, or leave the line", keys: ["Escape"], command: null },
  { label: "Show this list", keys: ["?"], command: "help" },
];

const handlers = new Map<Command, Set<() => void>>();

/** Runs a command; false when nobody on the page can do it now. */
export function run(command: Command): boolean {
  const able = handlers.get(command);
  if (!able || able.size === 0) return false;
  for (const handler of [...able]) handler();
  return true;
}

/** While the component is there, `handler` is what the command does (all that registered, when there are several). */
export function useCommand(command: Command, handler: () => void): void {
  const latest = useRef(handler);
  useEffect(() => {
    latest.current = handler;
  });
  useEffect(() => {
    const call = () => latest.current();
    const able = handlers.get(command) ?? new Set();
    handlers.set(command, able.add(call));
    return () => {
      able.delete(call);
    };
  }, [command]);
}

export function isMac(): boolean {
  return /Mac|iPhone|iPad/.test(navigator.platform);
}

function isField(target: EventTarget | null): target is HTMLElement {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return !/^(checkbox|radio|button|submit|range|file)$/.test(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || target.isContentEditable;
}

function hasText(target: HTMLElement): boolean {
  return !("value" in target) || target.value !== "";
}

/** Which command a key press means here, if any. */
export function commandOf(event: KeyboardEvent, mac: boolean): Command | null {
  if (event.isComposing || event.repeat) return null;
  const { key, altKey, shiftKey } = event;
  const mod = mac ? event.metaKey && !event.ctrlKey : event.ctrlKey && !event.metaKey;
  if (mod && !altKey) {
    const letter = key.toLowerCase();
    if (letter === "k" && !shiftKey) return "search";
    if (letter === "o" && shiftKey) return "new-chat";
    if (letter === "c" && shiftKey) return "copy-answer";
    // Where "/" is on a digit, it takes Shift.
    return key === "/" ? "focus-composer" : null;
  }
  if (event.ctrlKey || event.metaKey) return null;
  if (altKey) return shiftKey ? null : alternative(event, mac);
  return key === "?" && !isField(event.target) ? "help" : null;
}

function alternative(event: KeyboardEvent, mac: boolean): Command | null {
  const target = event.target;
  if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return null;
  // On a Mac these keys move the caret through a text; everywhere they open a list of choices.
  if (isField(target) && (target instanceof HTMLSelectElement || (mac && hasText(target)))) return null;
  return event.key === "ArrowUp" ? "previous" : "next";
}

/** A modal dialog has the keyboard to itself, unless the page says that it belongs to its frame (a drawer). */
function isTaken(): boolean {
  return document.querySelector("dialog[open]:not([data-drawer])") !== null;
}

/** Listens for the page's shortcuts. Once, in the page's frame. */
export function useShortcuts(): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.defaultPrevented || isTaken()) return;
      const command = commandOf(event, isMac());
      if (command && run(command)) event.preventDefault();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, []);
}

const NAMES: Record<string, string> = { ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc" };
const MAC_NAMES: Record<string, string> = { ...NAMES, Mod: "⌘", Shift: "⇧", Alt: "⌥", Enter: "↩" };

/** The keys as they are printed on this keyboard. */
export function keyNames(keys: readonly string[], mac: boolean): string[] {
  const names = mac ? MAC_NAMES : { ...NAMES, Mod: "Ctrl" };
  return keys.map((key) => names[key] ?? key);
}
