import { type RefObject, useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";

/** So near to the end counts as at the end, in pixels. */
const NEAR = 48;

export function isAtEnd({ scrollTop, scrollHeight, clientHeight }: HTMLElement): boolean {
  return scrollHeight - scrollTop - clientHeight <= NEAR;
}

export interface Scrolling {
  atEnd: boolean;
  toEnd: () => void;
  /** Keep what has the pointer where it is, while something above or below it changes. */
  hold: (element: Element | null) => void;
  /** Something in the text is opened to be read: the end is not followed until it is looked at again. */
  letGo: () => void;
}

/** Keeps the end of the text in view while it grows, for who is at the end; who has scrolled up is left in peace. */
export function useScrolling(frame: RefObject<HTMLElement | null>, content: RefObject<HTMLElement | null>): Scrolling {
  const [atEnd, setAtEnd] = useState(true);
  const sticks = useRef(true);
  const held = useRef<{ index: string; top: number } | null>(null);
  const toEnd = useCallback(() => {
    sticks.current = true;
    setAtEnd(true);
    const element = frame.current;
    if (element) element.scrollTop = element.scrollHeight;
  }, [frame]);
  const hold = useCallback((element: Element | null) => {
    const item = element?.closest<HTMLElement>("[data-index]");
    held.current = item ? { index: item.dataset.index ?? "", top: item.getBoundingClientRect().top } : null;
  }, []);
  const letGo = useCallback(() => {
    sticks.current = false;
  }, []);
  useLayoutEffect(() => {
    const anchor = held.current;
    held.current = null;
    const item = anchor && frame.current?.querySelector(`[data-index="${anchor.index}"]`);
    if (!anchor || !item || !frame.current) return;
    frame.current.scrollTop += item.getBoundingClientRect().top - anchor.top;
    sticks.current = isAtEnd(frame.current);
  });
  useEffect(() => {
    const element = frame.current;
    const inner = content.current;
    if (!element || !inner) return;
    return follow(element, inner, sticks, setAtEnd);
  }, [frame, content]);
  return { atEnd, toEnd, hold, letGo };
}

/** A way of the user to scroll; what happens without one is the text growing. */
const BY_HAND = ["wheel", "touchmove", "keydown", "pointerdown"] as const;

function follow(
  frame: HTMLElement,
  content: HTMLElement,
  sticks: { current: boolean },
  tell: (atEnd: boolean) => void,
): () => void {
  let byHand = false;
  const listeners = new AbortController();
  const options = { signal: listeners.signal, passive: true };
  for (const name of BY_HAND) {
    const moved = () => {
      byHand = true;
    };
    frame.addEventListener(name, moved, options);
  }
  const scrolled = () => {
    const isThere = isAtEnd(frame);
    // Growing text scrolls too, in browsers that keep what is seen in its place; only a hand lets go.
    if (isThere || byHand) sticks.current = isThere;
    if (isThere) byHand = false;
    tell(isThere || sticks.current);
  };
  frame.addEventListener("scroll", scrolled, options);
  const grown = () => {
    if (sticks.current) frame.scrollTop = frame.scrollHeight;
    tell(isAtEnd(frame));
  };
  const observer = new ResizeObserver(grown);
  observer.observe(content);
  observer.observe(frame);
  return () => {
    observer.disconnect();
    listeners.abort();
  };
}
