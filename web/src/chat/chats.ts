import { create } from "zustand";
import type { ImageData, Message, Parameters, ProblemDocument, Usage } from "../api/types";
import type { Wish } from "./starting";

export interface Settings {
  system: string | null;
  parameters: Parameters;
}

/** What a question was, to put it back into the composer. */
export interface Draft {
  text: string;
  pictures: ImageData[];
}

export interface Trouble {
  error: ProblemDocument;
  /** Milliseconds since 1970: `retry_after` counts from here. */
  at: number;
  /** What to ask again; null when the question is back in the composer. */
  again: Wish | null;
}

/** What this page knows of a chat and the daemon does not. */
export interface Chat {
  key: string;
  conversation: string | null;
  /** Whether nothing of it is kept; null as long as nothing was said. */
  temporary: boolean | null;
  /** The end of the branch that is shown; null: as the daemon has it. */
  leaf: string | null;
  /** The question that the daemon has not confirmed yet. */
  question: Message | null;
  /** All that was said, of a temporary chat. */
  messages: Message[];
  /** Pictures by message: those of a temporary chat are here only. */
  pictures: Record<string, ImageData[]>;
  /** Chosen here, and not kept by the daemon (yet). */
  model: string | null;
  settings: Settings | null;
  trouble: Trouble | null;
  returned: Draft | null;
}

export interface EndingOf {
  error: ProblemDocument | null;
  usage: Usage | null;
  at: number;
}

interface ChatsState {
  /** The key of the chat that "New chat" shows. */
  fresh: string;
  chats: Record<string, Chat>;
  /** Conversation → the key of the chat in which it was begun here. */
  adopted: Record<string, string>;
  /** Message → the name it is drawn under: the one it had before the daemon gave it an id. */
  names: Record<string, string>;
  /** Answer → how it ended, as far as that is not kept with it. */
  endings: Record<string, EndingOf>;
}

let count = 0;

function newKey(): string {
  count++;
  return `new-${count}`;
}

export const useChats = create<ChatsState>(() => ({
  fresh: newKey(),
  chats: {},
  adopted: {},
  names: {},
  endings: {},
}));

function blank(key: string, conversation: string | null): Chat {
  return {
    key,
    conversation,
    temporary: conversation === null ? null : false,
    leaf: null,
    question: null,
    messages: [],
    pictures: {},
    model: null,
    settings: null,
    trouble: null,
    returned: null,
  };
}

const blanks = new Map<string, Chat>();

/** The chat of that key; the same object each time as long as nothing has happened in it. */
export function chatOf(state: ChatsState, key: string): Chat {
  const known = state.chats[key] ?? blanks.get(key);
  if (known) return known;
  // The keys that this page has made itself are those of chats that have no conversation yet.
  const chat = blank(key, key.startsWith("new-") ? null : key);
  blanks.set(key, chat);
  return chat;
}

export function keyOf(state: ChatsState, conversation: string | null): string {
  return conversation === null ? state.fresh : (state.adopted[conversation] ?? conversation);
}

export function changeChat(key: string, change: Partial<Chat>): void {
  useChats.setState((state) => ({ chats: { ...state.chats, [key]: { ...chatOf(state, key), ...change } } }));
}

/** The chat has become a conversation: both names mean the same from now on. */
export function adopt(key: string, conversation: string): void {
  useChats.setState((state) => ({ adopted: { ...state.adopted, [conversation]: key } }));
  changeChat(key, { conversation });
}

/** "New chat" shows an empty one again. */
export function freshChat(): void {
  useChats.setState({ fresh: newKey() });
}

export function nameMessages(names: Record<string, string>): void {
  useChats.setState((state) => ({ names: { ...state.names, ...names } }));
}

export function keepEnding(message: string, ending: EndingOf): void {
  useChats.setState((state) => ({ endings: { ...state.endings, [message]: ending } }));
}
