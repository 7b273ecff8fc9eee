import { useEffect, useState } from "react";
import { keys, queryClient } from "../api/queries";
import { liveOf, runningTurns } from "./page";

/** Follow what runs in a conversation that was opened: begun in another tab, or before a reload. Whether it is known
 * by now what runs there. */
export function useFollow(
  chat: string,
  conversation: string | null,
  isRunning: boolean,
  isUnanswered: boolean,
): boolean {
  const [settled, setSettled] = useState<string | null>(null);
  const isKnown = conversation === null || isRunning || settled === conversation;
  useEffect(() => {
    if (isKnown || conversation === null) return;
    let isOver = false;
    const settle = async () => {
      const found = await follow(chat, conversation).catch(() => true);
      // It may have ended between the two questions that were asked.
      if (!found && isUnanswered) await queryClient.invalidateQueries({ queryKey: keys.conversation(conversation) });
      if (!isOver) setSettled(conversation);
    };
    void settle();
    return () => {
      isOver = true;
    };
  }, [chat, conversation, isKnown, isUnanswered]);
  return isKnown;
}

async function follow(chat: string, conversation: string): Promise<boolean> {
  const running = (await runningTurns()).filter((turn) => turn.conversation === conversation);
  for (const turn of running) liveOf().turns.follow(turn, chat);
  return running.length > 0;
}
