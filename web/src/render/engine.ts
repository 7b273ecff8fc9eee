/** Markdown comes in a chunk of its own: a new chat can be used without it. */
import { useEffect, useSyncExternalStore } from "react";

type Engine = typeof import("./blocks");
/** null: it is not there yet; "failed": it could not be loaded, and will be tried again. */
type State = Engine | "failed" | null;

let state: State = null;
let loading: Promise<void> | null = null;
const listeners = new Set<() => void>();

function become(next: State): void {
  state = next;
  for (const listener of listeners) listener();
}

/** Loads it, once. */
export function loadEngine(): Promise<void> {
  loading ??= import("./blocks").then(become, () => {
    loading = null;
    become("failed");
  });
  return loading;
}

/** Milliseconds; a page that is never idle loads it then. */
const LATEST = 2_000;

/** Loads it as soon as the page has nothing better to do. Returns what calls that off. */
export function loadEngineLater(): () => void {
  const load = () => void loadEngine();
  if (typeof requestIdleCallback === "function") {
    const planned = requestIdleCallback(load, { timeout: LATEST });
    return () => cancelIdleCallback(planned);
  }
  const planned = setTimeout(load, LATEST / 10);
  return () => clearTimeout(planned);
}

function listen(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function useEngine(): State {
  const engine = useSyncExternalStore(listen, () => state);
  useEffect(() => void loadEngine(), []);
  return engine;
}

/** What draws Markdown; null as long as it is not there, or when it cannot be loaded. */
export function useBlocks(): Engine["Blocks"] | null {
  const engine = useEngine();
  return engine === null || engine === "failed" ? null : engine.Blocks;
}

/** Whether `useBlocks` has all that it is going to have. */
export const useEngineSettled = (): boolean => useEngine() !== null;
