import { navigate, useHashLocation } from "wouter/use-hash-location";

export function pathOf(conversation: string): string {
  return `/c/${conversation}`;
}

/** The conversation that the page shows; null for a new chat and for other parts of the page. */
export function useShown(): string | null {
  const [path] = useHashLocation();
  return /^\/c\/([^/]+)$/.exec(path)?.[1] ?? null;
}

export function show(conversation: string | null): void {
  navigate(conversation === null ? "/" : pathOf(conversation));
}
