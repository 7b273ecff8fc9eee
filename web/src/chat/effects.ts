import type { QueryClient } from "@tanstack/react-query";
import { keys, putTitle, takeListedTitle } from "../api/queries";
import type { ConversationDetail, Message, ProblemDocument, ServerFrame } from "../api/types";
import { adopt, type Chat, changeChat, chatOf, freshChat, keepEnding, nameMessages, useChats } from "./chats";
import { dropDraft, NEW_CHAT } from "./drafts";
import { draftOf, merged, withoutEmpty } from "./thread";
import type { Turn } from "./turn";
import type { Effects } from "./turns";

type Frame<Type extends ServerFrame["type"]> = Extract<ServerFrame, { type: Type }>;

const LISTS = ["conversations", "list"] as const;
const LONGEST_TITLE = 60;

/** What a conversation is called until the list says what the daemon calls it: by the first line of its question. */
function titleOf(content: string): string {
  const line = content.trim().split("\n", 1)[0] ?? "";
  if (line.length <= LONGEST_TITLE) return line || "New chat";
  const cut = line.slice(0, LONGEST_TITLE);
  return `${cut.slice(0, Math.max(cut.lastIndexOf(" "), LONGEST_TITLE / 2)).trimEnd()}…`;
}

const LOST: ProblemDocument = {
  title: "Lost",
  status: 0,
  code: "turn_lost",
  detail: "The connection was lost for too long, so the answer has ended.",
  hint: "Ask again.",
};

/** What the frames of turns change in the rest of the page: what is known of conversations, chats, drafts. */
export class PageEffects implements Effects {
  constructor(
    private readonly client: QueryClient,
    /** Shows the conversation, in place of the new chat that it was. */
    private readonly arrived: (conversation: string) => void,
    private readonly now: () => number,
  ) {}

  accepted(turn: Turn, frame: Frame<"accepted"> | null): void {
    const chat = chatOf(useChats.getState(), turn.chat);
    nameMessages({ [turn.message]: `${turn.ref}.answer` });
    if (turn.conversation === null) this.acceptedHere(turn, chat);
    else this.confirm(turn, chat, turn.conversation, frame?.user_message ?? null);
  }

  ended(turn: Turn, frame: Frame<"done">): void {
    const { error, usage, message } = frame;
    keepEnding(message.id, { error, usage, at: this.now() });
    const answer = { ...message, parent: message.parent ?? turn.parent };
    // What ended before its first word is nothing: the daemon does not keep it either. A failure is shown, though.
    const isEmpty = !message.thinking && message.content.length <= turn.begins.length;
    const isGone = message.outcome === "stopped" || (message.outcome === "failed" && turn.begins !== "");
    if (isEmpty && isGone) this.nothingCame(turn, error);
    else if (turn.conversation === null) {
      const { messages } = chatOf(useChats.getState(), turn.chat);
      changeChat(turn.chat, { messages: merged(messages, answer) });
    } else this.put(turn.conversation, answer);
    if (turn.conversation !== null) void this.client.invalidateQueries({ queryKey: LISTS });
    // It may have been loaded for this, or pushed another one out.
    void this.client.invalidateQueries({ queryKey: keys.models });
  }

  refused(turn: Turn, error: ProblemDocument): void {
    const isBack = this.giveBack(turn);
    changeChat(turn.chat, { trouble: { error, at: this.now(), again: isBack ? null : turn.wish } });
  }

  withdrawn(turn: Turn): void {
    this.giveBack(turn);
  }

  async gone(turn: Turn): Promise<void> {
    if (turn.conversation !== null) return this.reread(turn.conversation);
    const { messages } = chatOf(useChats.getState(), turn.chat);
    const { message, parent, content, thinking, model } = turn;
    const answer = draftOf("assistant", message, parent, { content, thinking: thinking || null, model });
    keepEnding(message, { error: LOST, usage: null, at: this.now() });
    changeChat(turn.chat, {
      messages: merged(messages, { ...answer, outcome: "failed", error_code: LOST.code }),
    });
  }

  titled(conversation: string, title: string): void {
    putTitle(this.client, conversation, title);
  }

  /** Shows again what was shown before; a question that was new stays, without an answer. */
  private nothingCame(turn: Turn, error: ProblemDocument | null): void {
    const chat = chatOf(useChats.getState(), turn.chat);
    if (chat.leaf === turn.message) changeChat(turn.chat, { leaf: turn.isNewQuestion ? turn.parent : turn.before });
    if (error) changeChat(turn.chat, { trouble: { error, at: this.now(), again: null } });
  }

  private acceptedHere(turn: Turn, chat: Chat): void {
    const { question, messages } = chat;
    if (question) dropDraft(NEW_CHAT, question.content);
    const before = withoutEmpty(messages);
    const said = question ? merged(before, question) : before;
    changeChat(chat.key, { messages: said, question: null, leaf: turn.message });
  }

  private confirm(turn: Turn, chat: Chat, conversation: string, question: Message | null): void {
    const draft = chat.conversation ?? NEW_CHAT;
    if (question) {
      nameMessages({ [question.id]: `${turn.ref}.question` });
      dropDraft(draft, question.content);
    }
    if (chat.conversation === null) this.found(turn, chat, conversation, question);
    else this.saved(turn, chat, conversation, question);
    const own = chat.pictures[`${turn.ref}.question`];
    const pictures = question && own ? { ...chat.pictures, [question.id]: own } : chat.pictures;
    changeChat(chat.key, { question: null, leaf: turn.message, pictures, model: null, settings: null });
    // The question was kept, but the word of it was missed.
    if (!question && chat.question) void this.reread(conversation);
  }

  /** A new chat has become a conversation. All of it is known, so nothing has to be fetched. */
  private found(turn: Turn, chat: Chat, conversation: string, question: Message | null): void {
    if (question) {
      const now = new Date(this.now()).toISOString();
      this.client.setQueryData<ConversationDetail>(keys.conversation(conversation), {
        id: conversation,
        title: titleOf(question.content),
        titled_by: "auto",
        model: turn.model,
        created_at: now,
        updated_at: now,
        system: chat.settings?.system ?? null,
        parameters: chat.settings?.parameters ?? {},
        leaf: question.id,
        messages: [question],
      });
    }
    adopt(chat.key, conversation);
    if (useChats.getState().fresh === chat.key) {
      this.arrived(conversation);
      freshChat();
    }
    void this.client.invalidateQueries({ queryKey: LISTS }).then(() => takeListedTitle(this.client, conversation));
  }

  /** With a question the daemon also keeps which model it went to, and how that was set. */
  private saved(turn: Turn, chat: Chat, conversation: string, question: Message | null): void {
    this.client.setQueryData<ConversationDetail>(
      keys.conversation(conversation),
      (known) =>
        known && {
          ...known,
          ...chat.settings,
          model: turn.model || known.model,
          messages: withoutEmpty(known.messages),
        },
    );
    if (question) this.put(conversation, question);
  }

  private put(conversation: string, message: Message): void {
    this.client.setQueryData<ConversationDetail>(keys.conversation(conversation), (known) =>
      known ? { ...known, messages: merged(known.messages, message), leaf: message.id } : known,
    );
  }

  private reread(conversation: string): Promise<void> {
    return this.client.invalidateQueries({ queryKey: keys.conversation(conversation) });
  }

  /** Takes back what was shown in advance; whether the question went back into the composer. */
  private giveBack({ chat, wish, before }: Turn): boolean {
    const isBack = wish?.kind === "send" && wish.edited === null;
    const returned = isBack ? { text: wish.text, pictures: wish.pictures } : null;
    changeChat(chat, { question: null, returned, leaf: before });
    return isBack;
  }
}
