import { beforeEach, describe, expect, it, vi } from "vitest";
import { keys, makeQueryClient } from "../api/queries";
import type { ConversationDetail, Message } from "../api/types";
import { changeChat, chatOf, keyOf, useChats } from "./chats";
import { draftOf, keepDraft } from "./drafts";
import { PageEffects } from "./effects";
import { answer, question, Script } from "./testing";
import { begun, step, type Turn } from "./turn";

const CHAT = "new-test";

let client: ReturnType<typeof makeQueryClient>;
let arrived: ReturnType<typeof vi.fn<(conversation: string) => void>>;
let effects: PageEffects;

beforeEach(() => {
  client = makeQueryClient();
  arrived = vi.fn();
  effects = new PageEffects(client, arrived, () => 5000);
  useChats.setState({ fresh: CHAT, chats: {}, adopted: {}, names: {}, endings: {} });
});

function turnOf(values: Partial<Turn> = {}): Turn {
  const wish = { kind: "send" as const, text: "Why?", pictures: [], edited: null };
  const of = { ref: "r1", chat: CHAT, conversation: null, wish, before: null, model: "m", parent: "r1.question" };
  return { ...begun({ ...of, content: "" }, 0), ...values };
}

function chat() {
  return chatOf(useChats.getState(), CHAT);
}

function cached(conversation = "C1"): ConversationDetail | undefined {
  return client.getQueryData(keys.conversation(conversation));
}

/** A conversation whose first question was taken. */
function accepted(kept: Message | null = question("Q1", null, "Why?")): { turn: Turn; script: Script } {
  changeChat(CHAT, { temporary: false, question: question("r1.question", null, "Why?") });
  const script = new Script("T1", "r1");
  const frame = script.accepted({ user_message: kept });
  const turn = step(turnOf(), frame, 0);
  effects.accepted(turn, frame as Parameters<PageEffects["accepted"]>[1]);
  return { turn, script };
}

type Done = Parameters<PageEffects["ended"]>[1];

describe("an accepted question", () => {
  it("makes a conversation of a new chat, without asking for it", () => {
    keepDraft("new", "Why?");
    accepted();
    expect(cached()).toMatchObject({ id: "C1", title: "Why?", model: "m", messages: [{ id: "Q1" }] });
    expect(arrived).toHaveBeenCalledWith("C1");
    expect(keyOf(useChats.getState(), "C1")).toBe(CHAT);
    expect(useChats.getState().fresh).not.toBe(CHAT);
    expect(chat()).toMatchObject({ conversation: "C1", question: null, leaf: "A1" });
    expect(useChats.getState().names).toEqual({ Q1: "r1.question", A1: "r1.answer" });
    expect(draftOf("new")).toBe("");
  });

  it("takes its title from the list", async () => {
    const listed = { id: "C1", title: "Why", titled_by: "auto" };
    client.setQueryData(["conversations", "list", ""], { pages: [{ data: [listed], next: null }], pageParams: [null] });
    accepted();
    await vi.waitFor(() => expect(cached()).toMatchObject({ title: "Why" }));
  });

  it("does not lead away from where its user has gone meanwhile", () => {
    useChats.setState({ fresh: "new-other" });
    accepted();
    expect(arrived).not.toHaveBeenCalled();
    expect(useChats.getState().fresh).toBe("new-other");
  });

  it("is read again when the word of it was missed", () => {
    const invalidate = vi.spyOn(client, "invalidateQueries");
    accepted(null);
    expect(invalidate).toHaveBeenCalledWith({ queryKey: keys.conversation("C1") });
  });

  it("is kept with the model that it went to", () => {
    const { turn } = accepted();
    const script = new Script("T2", "r2");
    const frame = script.accepted({ user_message: question("Q2", "A1") });
    effects.accepted({ ...turn, model: "other" }, frame as Parameters<PageEffects["accepted"]>[1]);
    expect(cached()).toMatchObject({ model: "other", leaf: "Q2", messages: [{ id: "Q1" }, { id: "Q2" }] });
  });
});

describe("an answer", () => {
  it("is put into the conversation", () => {
    const { turn, script } = accepted();
    effects.ended(turn, script.done(answer("A1", "Q1")) as Done);
    expect(cached()).toMatchObject({ leaf: "A1", messages: [{ id: "Q1" }, { id: "A1" }] });
    expect(useChats.getState().endings.A1).toMatchObject({ at: 5000, usage: { tokens_per_second: 40 } });
  });

  it("that was stopped before its first word is none", () => {
    const { turn, script } = accepted();
    effects.ended(turn, script.done(answer("A1", "Q1", { content: "", outcome: "stopped" })) as Done);
    expect(cached()?.messages).toHaveLength(1);
    expect(chat().leaf).toBe("Q1");
  });

  it("shows the one before it again, when it was to take its place", () => {
    const { turn, script } = accepted();
    const again = { ...turn, isNewQuestion: false, before: "A0" };
    effects.ended(again, script.done(answer("A1", "Q1", { content: "", outcome: "stopped" })) as Done);
    expect(chat().leaf).toBe("A0");
  });

  it("that fails before it goes on leaves the one that it began with", () => {
    const { turn, script } = accepted();
    const on = { ...turn, isNewQuestion: false, before: "A0", begins: "Half" };
    const failed = answer("A1", "Q1", { content: "Half", outcome: "failed", error_code: "upstream_busy" });
    effects.ended(on, script.done(failed) as Done);
    expect(cached()?.messages).toHaveLength(1);
    expect(chat().leaf).toBe("A0");
  });

  it("of a temporary chat stays in the page", () => {
    changeChat(CHAT, { temporary: true, question: question("r1.question", null, "Why?") });
    const script = new Script("T1", "r1");
    const turn = step(turnOf(), script.accepted({ conversation: null, parent: null }), 0);
    effects.accepted(turn, null);
    effects.ended(turn, script.done(answer("A1", null)) as Done);
    expect(chat().messages).toMatchObject([{ id: "r1.question" }, { id: "A1", parent: "r1.question" }]);
    expect(arrived).not.toHaveBeenCalled();
  });

  it("of a temporary chat that is gone is kept as far as it came", async () => {
    changeChat(CHAT, { temporary: true, messages: [question("r1.question", null)] });
    await effects.gone(turnOf({ message: "A1", content: "Half" }));
    expect(chat().messages.at(-1)).toMatchObject({ id: "A1", content: "Half", outcome: "failed" });
    expect(useChats.getState().endings.A1?.error?.code).toBe("turn_lost");
  });
});

describe("a refusal", () => {
  const error = { title: "Full", status: 503, code: "queue_full", detail: "The line is full.", retry_after: 3 };

  it("gives the question back", () => {
    changeChat(CHAT, { question: question("r1.question", null, "Why?"), leaf: "r1.answer" });
    effects.refused(turnOf({ before: "A0" }), error);
    expect(chat()).toMatchObject({
      question: null,
      leaf: "A0",
      returned: { text: "Why?" },
      trouble: { error, at: 5000, again: null },
    });
  });

  it("of anything else can be tried again", () => {
    const wish = { kind: "regenerate" as const, question: question("Q1", null) };
    effects.refused(turnOf({ wish }), error);
    expect(chat()).toMatchObject({ returned: null, trouble: { again: wish } });
  });
});
