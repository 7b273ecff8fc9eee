import type { KeyboardEvent, RefObject } from "react";
import { nextIndex } from "../ui/menu-behaviour";

/** The links of the list, in its order. */
function links(list: HTMLElement | null): HTMLElement[] {
  return [...(list?.querySelectorAll<HTMLElement>("a[data-conversation]") ?? [])];
}

export function focusLink(list: HTMLElement | null, conversation: string | null): boolean {
  const all = links(list);
  const wanted = conversation === null ? all[0] : all.find((link) => link.dataset.conversation === conversation);
  wanted?.focus();
  return wanted !== undefined;
}

/** The one that takes the place of `conversation` when it goes: the next, else the one before. */
export function successor(list: HTMLElement | null, conversation: string): string | null {
  const ids = links(list).map((link) => link.dataset.conversation ?? "");
  const at = ids.indexOf(conversation);
  return (at === -1 ? null : (ids[at + 1] ?? ids[at - 1])) ?? null;
}

export interface ListActions {
  rename: (conversation: string) => void;
  remove: (conversation: string) => void;
  /** Up from the first. */
  leave: () => void;
}

/** Arrows, Home and End move through the list; F2 renames, Delete deletes. */
export function useListKeys(list: RefObject<HTMLElement | null>, actions: ListActions) {
  return (event: KeyboardEvent) => {
    const { key, target } = event;
    const id = target instanceof HTMLElement ? target.dataset.conversation : undefined;
    if (id === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    if (key === "F2" || key === "Delete") {
      event.preventDefault();
      return key === "F2" ? actions.rename(id) : actions.remove(id);
    }
    const all = links(list.current);
    const at = all.indexOf(target as HTMLElement);
    const next = nextIndex(key, at, all.length);
    if (next === null) return;
    event.preventDefault();
    // It does not go round: what is below the last is read only when it is needed.
    if (key === "ArrowUp" && at === 0) return actions.leave();
    if (key === "ArrowDown" && at === all.length - 1) return;
    all[next]?.focus();
  };
}
