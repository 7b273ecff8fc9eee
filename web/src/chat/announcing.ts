import { useEffect } from "react";
import { announce } from "../ui";
import { useTurns } from "./turns";
import { spoken } from "./words";

/** Places in the line are told this seldom, in ms: they change all the time. */
const BETWEEN_MS = 10_000;

/** Tells screen readers how it goes with the latest turn of a chat. */
export function useAnnouncements(chat: string): void {
  useEffect(() => {
    const now = () => {
      const { turns, latest } = useTurns.getState();
      return turns[latest[chat] ?? ""] ?? null;
    };
    const first = now();
    let last = first && spoken(first);
    let placed = Number.NEGATIVE_INFINITY;
    return useTurns.subscribe(() => {
      const turn = now();
      const text = turn && spoken(turn);
      if (turn === null || text === null || text === last) return;
      if (turn.phase === "queued" && Date.now() - placed < BETWEEN_MS) return;
      if (turn.phase === "queued") placed = Date.now();
      last = text;
      announce(text);
    });
  }, [chat]);
}
