import { isRunning, useTurns } from "../chat/turns";

/** What goes on in a conversation: its place in the line (1 is next), 0 while it is answered, null for nothing. */
export function useMark(conversation: string): number | null {
  return useTurns(({ turns }) => {
    for (const turn of Object.values(turns)) {
      if (turn.conversation !== conversation || !isRunning(turn)) continue;
      return turn.phase === "queued" && turn.line ? turn.line.ahead + 1 : 0;
    }
    return null;
  });
}
