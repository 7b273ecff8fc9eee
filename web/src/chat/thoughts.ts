/** How long models have thought, by answer: only who has watched it knows. It lives as long as the tab. */
import { inTab } from "../api/tab-storage";

const KEY = "llmgate.thoughts";
/** Answers; the oldest are forgotten. */
const MOST = 200;

let known: Map<string, number> | null = null;

function read(): Map<string, number> {
  const text = inTab((storage) => storage.getItem(KEY));
  try {
    return new Map(JSON.parse(text ?? "[]") as [string, number][]);
  } catch {
    return new Map();
  }
}

/** Seconds; null when nobody has watched. */
export function thoughtOf(message: string): number | null {
  known ??= read();
  return known.get(message) ?? null;
}

export function keepThought(message: string, seconds: number): void {
  known ??= read();
  known.set(message, Math.round(seconds * 10) / 10);
  const latest = [...known].slice(-MOST);
  known = new Map(latest);
  inTab((storage) => storage.setItem(KEY, JSON.stringify(latest)));
}
