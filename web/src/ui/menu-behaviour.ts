import { type KeyboardEvent, type RefObject, useEffect, useRef } from "react";

export type Side = "top" | "bottom";
export type Align = "start" | "end";

const GAP = 4;
const EDGE = 8;
/** Letters that follow each other faster than this are one word. */
const WORD_MS = 600;

/** Put the menu beside its button, on the other side where there is no room, and never over the edge. */
export function place(menu: HTMLElement, button: HTMLElement, side: Side, align: Align): void {
  const at = button.getBoundingClientRect();
  const { innerWidth, innerHeight } = window;
  menu.style.minWidth = `${Math.min(Math.max(at.width, 180), innerWidth - 2 * EDGE)}px`;
  const { width, height } = menu.getBoundingClientRect();
  const above = at.top - GAP - EDGE;
  const below = innerHeight - at.bottom - GAP - EDGE;
  const isAbove = side === "top" ? above >= height || above >= below : below < height && above > below;
  const top = isAbove ? at.top - GAP - Math.min(height, above) : at.bottom + GAP;
  const left = align === "start" ? at.left : at.right - width;
  menu.style.maxHeight = `${Math.max(isAbove ? above : below, 120)}px`;
  menu.style.top = `${top}px`;
  menu.style.left = `${Math.max(EDGE, Math.min(left, innerWidth - width - EDGE))}px`;
}

/** Which of `labels` comes next, from `current` (-1: none) by this key; null when the key does not move. */
export function nextIndex(key: string, current: number, count: number): number | null {
  if (count === 0) return null;
  if (key === "ArrowDown") return (current + 1) % count;
  if (key === "ArrowUp") return current <= 0 ? count - 1 : current - 1;
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  return null;
}

/** Which of `labels` begins with what was typed, searched from the current one on; null when none does. */
export function typedIndex(typed: string, current: number, labels: readonly string[]): number | null {
  const word = typed.toLowerCase();
  // One letter again and again goes through all that begin with it.
  const isRepeated = word.length > 1 && [...word].every((letter) => letter === word[0]);
  const wanted = isRepeated ? word.slice(0, 1) : word;
  const from = wanted.length === 1 ? current + 1 : Math.max(current, 0);
  for (let step = 0; step < labels.length; step += 1) {
    const index = (from + step) % labels.length;
    if (labels[index]?.toLowerCase().startsWith(wanted)) return index;
  }
  return null;
}

/** The keyboard in a menu whose items have `data-item`. */
export function useMenuKeys(menu: RefObject<HTMLElement | null>, close: (refocus: boolean) => void) {
  const typed = useRef({ word: "", at: 0 });
  return (event: KeyboardEvent) => {
    const items = [...(menu.current?.querySelectorAll<HTMLElement>("[data-item]") ?? [])];
    const current = items.indexOf(document.activeElement as HTMLElement);
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      return close(true);
    }
    if (event.key === "Tab") return close(true);
    let next = nextIndex(event.key, current, items.length);
    if (next === null && isLetter(event)) {
      const now = performance.now();
      const word = (now - typed.current.at < WORD_MS ? typed.current.word : "") + event.key;
      typed.current = { word, at: now };
      const labels = items.map((item) => item.dataset.item ?? "");
      next = typedIndex(word, current, labels);
    }
    if (next === null) return;
    event.preventDefault();
    items[next]?.focus();
  };
}

function isLetter(event: KeyboardEvent): boolean {
  return event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey && !event.altKey;
}

/** Close on a press beside the menu, and when the window changes under it. */
export function useOutside(
  menu: RefObject<HTMLElement | null>,
  button: { readonly current: HTMLElement | null },
  close: (refocus: boolean) => void,
): void {
  const latest = useRef(close);
  useEffect(() => {
    latest.current = close;
  });
  useEffect(() => {
    const pressed = (event: PointerEvent) => {
      const target = event.target as Node;
      if (!menu.current?.contains(target) && !button.current?.contains(target)) latest.current(false);
    };
    const resized = () => latest.current(false);
    document.addEventListener("pointerdown", pressed, true);
    window.addEventListener("resize", resized);
    return () => {
      document.removeEventListener("pointerdown", pressed, true);
      window.removeEventListener("resize", resized);
    };
  }, [menu, button]);
}
