import { useMemo } from "react";
import { useShallow } from "zustand/shallow";
import { useAbout, useConversation, useModels } from "../api/queries";
import type { Message, Model } from "../api/types";
import { preferred } from "../options/models";
import { usePreferences } from "../options/preferences";
import { type Chat, chatOf, type Settings, useChats } from "./chats";
import { branch, draftOf, type Entry, leafIn } from "./thread";
import type { Phase, Turn } from "./turn";
import { useTurns } from "./turns";

/** Of the latest turn of a chat what changes seldom: who draws the answer itself looks at all of it. */
export interface Shape {
  ref: string | null;
  message: string | null;
  parent: string | null;
  model: string | null;
  phase: Phase | null;
  /** It has a place in the line. */
  inLine: boolean;
  stopping: boolean;
}

/** What the page shows of a chat, put together from all who know a part of it. */
export interface View {
  chat: Chat;
  title: string | null;
  /** All branches, with what is being asked and answered now. */
  messages: readonly Message[];
  entries: readonly Entry[];
  shape: Shape;
  isRunning: boolean;
  models: readonly Model[] | null;
  /** The name of the model that is asked next; null when there is none. */
  model: string | null;
  settings: Settings;
  isTemporary: boolean;
}

const NO_TURN: Shape = {
  ref: null,
  message: null,
  parent: null,
  model: null,
  phase: null,
  inLine: false,
  stopping: false,
};

function shapeOf(turn: Turn | undefined): Shape {
  if (!turn) return NO_TURN;
  const { ref, message, parent, model, phase, line, stopping } = turn;
  return { ref, message, parent, model, phase, inLine: phase === "queued" && line !== null, stopping };
}

function useShape(key: string): Shape {
  return useTurns(useShallow((state) => shapeOf(state.turns[state.latest[key] ?? ""])));
}

function has(messages: readonly Message[], id: string | null): boolean {
  return messages.some((message) => message.id === id);
}

/** The kept messages, and the ones that are under way. */
function useMessages(kept: readonly Message[], question: Message | null, shape: Shape, isRunning: boolean) {
  const { message, parent, model } = shape;
  const answer = useMemo(() => {
    // Where an answer belongs is not known before its snapshot has come.
    if (!isRunning || message === null || parent === null) return null;
    return draftOf("assistant", message, parent, { model });
  }, [isRunning, message, parent, model]);
  return useMemo(() => {
    const messages = question && !has(kept, question.id) ? [...kept, question] : kept;
    const isMissing = answer && has(messages, answer.parent) && !has(messages, answer.id);
    return isMissing ? [...messages, answer] : messages;
  }, [kept, question, answer]);
}

/** The model to ask: as chosen, else what a new chat begins with. */
export function modelFor(chosen: string | null, last: string | null, models: readonly Model[] | null): string | null {
  if (chosen !== null) return chosen;
  return models === null ? last : preferred(models, last);
}

const NOTHING: readonly Message[] = [];
const DEFAULT_SETTINGS: Settings = { system: null, parameters: {} };

export function useView(key: string): View {
  const chat = useChats((state) => chatOf(state, key));
  const detail = useConversation(chat.conversation).data ?? null;
  const models = useModels().data ?? null;
  const keeps = useAbout().data?.conversations ?? true;
  const wantsTemporary = usePreferences((preferences) => preferences.temporary);
  const lastModel = usePreferences((preferences) => preferences.lastModel);
  const shape = useShape(key);
  const isRunning = shape.phase !== null && shape.phase !== "ended";
  const isTemporary = chat.temporary ?? (wantsTemporary || !keeps);
  const kept = (chat.temporary ? chat.messages : detail?.messages) ?? NOTHING;
  const messages = useMessages(kept, chat.question, shape, isRunning);
  const leaf = leafIn(messages, chat.leaf, detail?.leaf);
  const entries = useMemo(() => branch(messages, leaf), [messages, leaf]);
  const model = modelFor(chat.model ?? detail?.model ?? null, lastModel, models);
  const stored = useMemo(
    () => (detail ? { system: detail.system, parameters: detail.parameters } : DEFAULT_SETTINGS),
    [detail],
  );
  const settings = chat.settings ?? stored;
  const title = detail?.title ?? null;
  return { chat, title, messages, entries, shape, isRunning, models, model, settings, isTemporary };
}
