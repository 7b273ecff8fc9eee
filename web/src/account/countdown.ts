import { useEffect, useState } from "react";
import { problemOf } from "../api/http";

/** Seconds that are left until it may be tried again, after an error that says so; 0 when it may. */
export function useCountdown(error: unknown): number {
  const [left, setLeft] = useState(0);
  useEffect(() => {
    const wait = error ? (problemOf(error).retryAfter ?? 0) : 0;
    const end = Date.now() + wait * 1000;
    // By the clock, since timers stand still in a tab that nobody sees.
    const count = () => setLeft(Math.max(0, Math.ceil((end - Date.now()) / 1000)));
    count();
    if (wait === 0) return;
    const timer = setInterval(count, 500);
    return () => clearInterval(timer);
  }, [error]);
  return left;
}
