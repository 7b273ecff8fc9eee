import { createContext, use } from "react";
import type { Actions } from "./asking";

/** What every message of a chat needs. */
export interface ChatContext {
  actions: Actions;
  chat: string;
  /** The names of the models that may be asked. */
  models: readonly string[];
  isRunning: boolean;
  /** The bound on the length of answers, in tokens. */
  longest: number | null;
}

export const Chatting = createContext<ChatContext | null>(null);

export function useChatting(): ChatContext {
  const context = use(Chatting);
  if (!context) throw new Error("a message outside of a chat");
  return context;
}
