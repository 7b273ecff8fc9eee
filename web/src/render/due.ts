/** When an answer is drawn: a long conversation opens at once, and its answers are drawn behind it one by one. */
import { type RefObject, useEffect, useState } from "react";
import { flushSync } from "react-dom";
import { Idle } from "./idle";

/** What is read first stands at the end. */
const drawings = new Idle("latest");

/** Calls `seen` when the element comes into view. Returns what ends that. */
function whenSeen(element: Element, seen: () => void): () => void {
  if (typeof IntersectionObserver !== "function") return () => undefined;
  const observer = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) seen();
  });
  observer.observe(element);
  return () => observer.disconnect();
}

/** Whether what is in `box` is to be drawn: at once, when it comes into view, or when there is time. */
export function useDue(box: RefObject<Element | null>, atOnce: boolean): boolean {
  const [isDue, setDue] = useState(atOnce);
  const waits = !isDue && !atOnce;
  useEffect(() => {
    const element = box.current;
    if (!waits || !element) return;
    // Each in a step of its own: all together they would keep the page from everything else.
    const draw = () => flushSync(() => setDue(true));
    const skip = drawings.add(draw);
    const unwatch = whenSeen(element, draw);
    return () => {
      skip();
      unwatch();
    };
  }, [waits, box]);
  return isDue || atOnce;
}
