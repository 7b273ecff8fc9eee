import { startTransition, useEffect, useLayoutEffect, useRef, useState } from "react";

/** Milliseconds; drawing that takes less is not felt. */
const CHEAP = 25;
/** Of all time at most one part in this many goes into drawing the answer. */
const SHARE = 5;

/**
 * The text to draw now. While it streams and one drawing takes long, it lags behind a little, so that the page stays
 * quick to respond: the slower the machine and the larger the block, the fewer drawings.
 */
export function usePaced(text: string, streaming: boolean): string {
  const [shown, setShown] = useState(text);
  /** When the drawing that goes on began; null when none does. A second one would only set it back. */
  const begun = useRef<number | null>(null);
  const due = useRef(0);
  const latest = useRef(text);
  useLayoutEffect(() => {
    if (begun.current === null || shown === "") return;
    const now = performance.now();
    const cost = now - begun.current;
    begun.current = null;
    due.current = now + (cost > CHEAP ? cost * (SHARE - 1) : 0);
  }, [shown]);
  useEffect(() => {
    latest.current = text;
    if (!streaming) begun.current = null;
    if (!streaming || shown === text || begun.current !== null) return;
    const draw = () => {
      begun.current = performance.now();
      startTransition(() => setShown(latest.current));
    };
    const timer = setTimeout(draw, Math.max(0, due.current - performance.now()));
    return () => clearTimeout(timer);
  }, [text, streaming, shown]);
  return streaming ? shown : text;
}
