import { useEffect, useMemo, useRef } from "react";
import { open, problemOf, request } from "../api/http";
import { keys, queryClient } from "../api/queries";
import type { ConversationDetail, ImageData, Message } from "../api/types";
import { usePreferences } from "../options/preferences";
import { run } from "../options/shortcuts";
import { toast } from "../ui";
import { changeChat, type Settings } from "./chats";
import { liveOf } from "./page";
import { readBase64 } from "./pictures";
import { newRef, startOf, type Wish } from "./starting";
import { draftOf, leafBelow, merged } from "./thread";
import type { View } from "./view";

/** What can be done in a chat. The same object as long as the chat is shown. */
export interface Actions {
  /** Whether it was taken: there has to be a model, and none may be answering. */
  send(text: string, pictures: ImageData[]): boolean;
  /** Ask another question in place of this one. */
  resend(question: Message, text: string): Promise<void>;
  regenerate(question: string, model?: string): void;
  proceed(answer: Message): void;
  /** Change the text of an answer. */
  correct(answer: Message, text: string): Promise<void>;
  /** Show the branch through this message. */
  choose(message: string): void;
  stop(): void;
  retry(): void;
  dismiss(): void;
  setModel(model: string): void;
  setSettings(settings: Settings): void;
}

function isOfDaemon(message: string): boolean {
  return /^[0-9A-Z]{26}$/.test(message);
}

/** Ask for it, and show it at once. */
function begin(view: View, wish: Wish, model: string | null): boolean {
  if (model === null || view.isRunning) return false;
  const { chat, entries, settings, isTemporary } = view;
  const { key, conversation } = chat;
  const ref = newRef();
  const own = `${ref}.question`;
  const start = startOf(wish, {
    ref,
    conversation,
    temporary: isTemporary,
    model,
    settings,
    entries,
    pictures: chat.pictures,
  });
  const before = entries.at(-1)?.message.id ?? null;
  const question =
    wish.kind === "send" ? draftOf("user", own, questionParent(wish, before), { content: wish.text }) : null;
  const pictures = wish.kind === "send" && wish.pictures.length > 0 ? { [own]: wish.pictures } : {};
  const parent = wish.kind === "send" ? own : parentOf(wish);
  changeChat(key, {
    temporary: isTemporary,
    question,
    leaf: `${ref}.answer`,
    trouble: null,
    returned: null,
    pictures: { ...chat.pictures, ...pictures },
    settings,
  });
  usePreferences.setState({ lastModel: model });
  const content = wish.kind === "continue" ? wish.answer.content : "";
  liveOf().turns.begin(start, { ref, chat: key, conversation, wish, before, model, parent, content });
  // The button that was pressed may go; on a phone the keyboard would come up over the answer.
  if (!window.matchMedia("(pointer: coarse)").matches) run("focus-composer");
  return true;
}

function questionParent(wish: Extract<Wish, { kind: "send" }>, last: string | null): string | null {
  return wish.edited ? wish.edited.parent : last;
}

function parentOf(wish: Wish): string | null {
  if (wish.kind === "regenerate") return wish.question.id;
  return wish.kind === "continue" ? wish.answer.parent : null;
}

/** The pictures of a question, to send them again. Throws Problem. */
async function picturesOf(view: View, question: Message): Promise<ImageData[]> {
  const own = view.chat.pictures[question.id];
  if (own) return own;
  const kept = question.images.map(async ({ id, media_type }) => {
    const response = await open("GET", `gate/images/${id}`);
    return { media_type, data: await readBase64(await response.blob()) };
  });
  return Promise.all(kept);
}

/** What the daemon keeps of a conversation, changed here first. */
function change(conversation: string, values: Partial<ConversationDetail>): void {
  queryClient.setQueryData<ConversationDetail>(
    keys.conversation(conversation),
    (known) => known && { ...known, ...values },
  );
}

async function save(conversation: string, values: Partial<ConversationDetail>): Promise<void> {
  change(conversation, values);
  try {
    await request("PATCH", `gate/conversations/${conversation}`, { body: values });
  } catch (error) {
    toast(`This was not saved. ${problemOf(error).text}`, "error");
    void queryClient.invalidateQueries({ queryKey: keys.conversation(conversation) });
  }
}

async function correct(view: View, answer: Message, text: string): Promise<void> {
  const { key, conversation, messages } = view.chat;
  if (conversation === null) {
    changeChat(key, { messages: merged(messages, { ...answer, content: text }) });
    return;
  }
  const path = `gate/conversations/${conversation}/messages/${answer.id}`;
  const corrected = await request<Message>("PATCH", path, { body: { content: text } });
  queryClient.setQueryData<ConversationDetail>(
    keys.conversation(conversation),
    (known) => known && { ...known, messages: merged(known.messages, corrected) },
  );
}

function choose(view: View, message: string): void {
  const { key, conversation } = view.chat;
  const leaf = leafBelow(view.messages, message);
  changeChat(key, { leaf });
  // An answer that is still coming becomes the leaf when it is kept.
  if (conversation === null || !isOfDaemon(leaf) || (view.isRunning && leaf === view.shape.message)) return;
  change(conversation, { leaf });
  // It only matters for the next time that this conversation is opened.
  request("PATCH", `gate/conversations/${conversation}`, { body: { leaf } }).catch(() => undefined);
}

function stop(view: View): void {
  if (view.isRunning && view.shape.ref !== null) liveOf().turns.stop(view.shape.ref);
}

function actionsOf(now: () => View): Actions {
  return {
    send: (text, pictures) => {
      const view = now();
      return begin(view, { kind: "send", text, pictures, edited: null }, view.model);
    },
    resend: async (question, text) => {
      const pictures = await picturesOf(now(), question);
      const view = now();
      begin(view, { kind: "send", text, pictures, edited: question }, view.model);
    },
    regenerate: (id, model) => {
      const view = now();
      const question = view.messages.find((message) => message.id === id);
      if (question) begin(view, { kind: "regenerate", question }, model ?? view.model);
    },
    proceed: (answer) => {
      const view = now();
      begin(view, { kind: "continue", answer }, view.model);
    },
    correct: (answer, text) => correct(now(), answer, text),
    choose: (message) => choose(now(), message),
    stop: () => stop(now()),
    retry: () => {
      const view = now();
      const wish = view.chat.trouble?.again;
      if (wish) begin(view, wish, view.model);
    },
    dismiss: () => changeChat(now().chat.key, { trouble: null }),
    setModel: (model) => {
      const { key, conversation } = now().chat;
      usePreferences.setState({ lastModel: model });
      if (conversation === null) changeChat(key, { model });
      else void save(conversation, { model });
    },
    setSettings: (settings) => {
      const { key, conversation } = now().chat;
      if (conversation === null) changeChat(key, { settings });
      else void save(conversation, { ...settings });
    },
  };
}

/** What can be done in the chat that is shown. */
export function useActions(view: View): Actions {
  const latest = useRef(view);
  useEffect(() => {
    latest.current = view;
  });
  return useMemo(() => actionsOf(() => latest.current), []);
}
