/** What tells the time and wakes somebody up. Tests put their own in its place. */
export interface Clock {
  /** Milliseconds; only differences mean something. */
  now(): number;
  /** Calls `run` after `ms`; returns what prevents that. */
  later(ms: number, run: () => void): () => void;
}

export const wallClock: Clock = {
  now: () => Date.now(),
  later: (ms, run) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;

/** How long to wait before the next attempt, in ms. At least half of it is sure; the rest is chance, so that all pages
 * that lost the daemon in the same moment do not come back in the same moment. */
export function delayAfter(failures: number, random: number): number {
  const ceiling = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.max(0, failures - 1));
  return ceiling / 2 + (random * ceiling) / 2;
}
