import { useEffect, useState } from "react";

/** The time, anew each second while `active`. Milliseconds since 1970. */
export function useNow(active: boolean): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!active) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [active]);
  return now;
}

/** Whole seconds until the moment; 0 when it is over, or there is none. */
export function useSecondsUntil(moment: number | null): number {
  const [over, setOver] = useState(false);
  const now = useNow(moment !== null && !over);
  const left = moment === null ? 0 : Math.max(0, Math.ceil((moment - now) / 1000));
  useEffect(() => setOver(left === 0), [left]);
  return left;
}
