import { act, fireEvent, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Message } from "../api/types";
import { usePreferences } from "../options/preferences";
import { freshChat } from "./chats";
import { draftOf } from "./drafts";
import { answer, conversation, question, Script } from "./testing";
import { type Daemon, showPage } from "./testing-page";

let count = 0;

/** Ids as the daemon makes them, another one each time. */
function id(): string {
  count++;
  return `01J${String(count).padStart(23, "0")}`;
}

async function showConversation(
  messages: Message[],
  leaf: string | null,
  prepare = (_: Daemon, __: string) => undefined,
) {
  const detail = conversation(id(), messages, leaf);
  const daemon = await showPage(`#/c/${detail.id}`, (it) => {
    it.conversations.set(detail.id, detail);
    prepare(it, detail.id);
  });
  await screen.findByRole("textbox", { name: "Message" });
  return { daemon, detail };
}

function field(): HTMLTextAreaElement {
  return screen.getByRole("textbox", { name: "Message" });
}

async function ask(text: string): Promise<void> {
  await userEvent.type(field(), `${text}{Enter}`);
}

/** A question that was taken, in the chat that is shown. */
async function taken(daemon: Daemon, chat: string): Promise<{ script: Script; kept: Message }> {
  const { ref, content, parent } = daemon.start;
  const script = new Script(id(), ref);
  const kept = question(id(), parent, content);
  await daemon.say(script.accepted({ conversation: chat, user_message: kept, message: id(), parent: kept.id }));
  return { script, kept };
}

beforeEach(() => {
  freshChat();
  usePreferences.setState({ temporary: false, sendKey: "enter", lastModel: null });
});

describe("a new chat", () => {
  it("gets its address with its first question, and is not drawn anew", async () => {
    const daemon = await showPage("#/");
    expect(screen.getByRole("heading", { name: "Hello, anna" })).toBeTruthy();
    await screen.findByRole("button", { name: /llama3.2/ });
    const before = field();
    await ask("Why rain?");
    await waitFor(() => expect(daemon.start).toMatchObject({ content: "Why rain?", keep: true, model: "llama3.2" }));
    const shown = screen.getByText("Why rain?");
    const chat = id();
    const { script } = await taken(daemon, chat);
    expect(location.hash).toBe(`#/c/${chat}`);
    expect(field()).toBe(before);
    expect(screen.getByText("Why rain?", { ignore: "h1" })).toBe(shown);
    expect(screen.queryByText("1/2")).toBeNull();
    await daemon.say(script.token("Because "), script.token("of clouds."));
    await screen.findByText("Because of clouds.");
    expect(draftOf("new")).toBe("");
  });

  it("shows its place in the line, and what happens until the first word", async () => {
    const daemon = await showPage("#/");
    await screen.findByRole("button", { name: /llama3.2/ });
    await ask("Why?");
    const { script, kept } = await taken(daemon, id());
    await daemon.say(script.queued(2, { estimated_wait: 41 }));
    const card = await screen.findByRole("region", { name: "Your place in the line" });
    expect(card.textContent).toContain("You are 3rd in line — starts in about 40 s");
    await daemon.say(script.queued(4));
    await waitFor(() => expect(card.textContent).toContain("Somebody with a higher priority has come"));
    expect(card.textContent).not.toContain("about 40 s");
    expect(screen.getAllByRole("button", { name: "Leave the line" })).toHaveLength(2);
    expect(screen.queryByRole("button", { name: "Stop" })).toBeNull();
    await daemon.say(script.started(true));
    await screen.findByText(/Loading llama3.2 into memory/);
    await daemon.say(script.token("Well."));
    await screen.findByText("Well.");
    expect(screen.queryByText(/Loading/)).toBeNull();
    const done = answer(id(), kept.id, { content: "Well." });
    await daemon.say(script.done(done));
    await waitFor(() => expect(screen.getByRole("status").textContent).toBe("Answer ready"));
    expect(screen.getByRole("button", { name: "Copy the answer" })).toBeTruthy();
    expect(screen.getByRole("button", { name: "Send" })).toBeTruthy();
  });

  it("keeps the question when it is refused", async () => {
    const daemon = await showPage("#/");
    await screen.findByRole("button", { name: /llama3.2/ });
    await ask("Why?");
    expect(field().value).toBe("");
    const error = { title: "Full", status: 503, code: "queue_full", detail: "The line is full.", retry_after: 5 };
    await daemon.say({ type: "refused", ref: daemon.start.ref, error });
    await waitFor(() => expect(field().value).toBe("Why?"));
    expect(screen.getByRole("alert").textContent).toContain("The line is full.");
    expect(screen.getByText(/You can send again in 5 s/)).toBeTruthy();
    expect(location.hash).toBe("#/");
  });

  it("is another one when it is asked for again", async () => {
    usePreferences.setState({ temporary: true });
    const daemon = await showPage("#/");
    await screen.findByRole("button", { name: /llama3.2/ });
    await ask("Secret");
    const { ref } = daemon.start;
    expect(daemon.start).toMatchObject({ keep: false, history: [] });
    const script = new Script(id(), ref);
    await daemon.say(script.accepted({ conversation: null, message: id(), parent: null }), script.token("Psst."));
    await screen.findByText("Psst.");
    expect(location.hash).toBe("#/");
    await act(async () => {
      window.dispatchEvent(new HashChangeEvent("hashchange"));
    });
    expect(screen.queryByText("Psst.")).toBeNull();
    expect(daemon.sent.at(-1)).toMatchObject({ type: "stop", turn: script.turn });
  });

  it("sends all that was said when it is temporary", async () => {
    usePreferences.setState({ temporary: true });
    const daemon = await showPage("#/");
    await screen.findByRole("button", { name: /llama3.2/ });
    await ask("One?");
    const script = new Script(id(), daemon.start.ref);
    const message = id();
    await daemon.say(
      script.accepted({ conversation: null, message, parent: null }),
      script.token("Two."),
      script.done(answer(message, null, { content: "Two." })),
    );
    await screen.findByRole("button", { name: "Copy the answer" });
    await ask("And?");
    expect(daemon.start.history.map((said) => said.content)).toEqual(["One?", "Two."]);
    expect(draftOf("new")).toBe("And?");
  });
});

describe("a conversation", () => {
  it("stops with Esc, and says so", async () => {
    const { daemon, detail } = await showConversation([question("Q", null), answer("A", "Q")], "A");
    await ask("More?");
    const { script, kept } = await taken(daemon, detail.id);
    await daemon.say(script.token("Once upon"));
    fireEvent.keyDown(document.body, { key: "Escape" });
    expect(daemon.sent.at(-1)).toEqual({ type: "stop", turn: script.turn });
    await daemon.say(script.done(answer(id(), kept.id, { content: "Once upon", outcome: "stopped" })));
    await screen.findByText("Stopped", { selector: "p" });
    await userEvent.click(screen.getByRole("button", { name: "Continue" }));
    expect(daemon.start).toMatchObject({ mode: "continue" });
  });

  it("has several answers to choose from", async () => {
    const kept = [question(id(), null, "Why?"), answer(id(), null, { content: "First." })];
    const [asked, first] = kept as [Message, Message];
    first.parent = asked.id;
    const { daemon, detail } = await showConversation(kept, first.id);
    await userEvent.click(await screen.findByRole("button", { name: "Answer again" }));
    expect(daemon.start).toMatchObject({ mode: "regenerate", parent: asked.id });
    const script = new Script(id(), daemon.start.ref);
    const message = id();
    await daemon.say(script.accepted({ conversation: detail.id, message, parent: asked.id }), script.token("Second."));
    await screen.findByText("Second.");
    expect(screen.queryByText("First.")).toBeNull();
    const group = screen.queryByRole("group", { name: "Versions of this answer" });
    expect(group).toBeNull();
    await daemon.say(script.done(answer(message, asked.id, { content: "Second." })));
    const versions = await screen.findByRole("group", { name: "Versions of this answer" });
    expect(versions.textContent).toContain("2/2");
    await userEvent.click(within(versions).getByRole("button", { name: /Previous/ }));
    expect(screen.getByText("First.")).toBeTruthy();
    await waitFor(() => expect(daemon.changes("PATCH").at(-1)?.body).toEqual({ leaf: first.id }));
  });

  it("has its question edited and sent again", async () => {
    const asked = question(id(), null, "Why?");
    const first = answer(id(), asked.id);
    const { daemon } = await showConversation([asked, first], first.id);
    const edit = await screen.findByRole("button", { name: "Edit and send again" });
    await userEvent.click(edit);
    await userEvent.keyboard("{Escape}");
    expect(screen.queryByRole("textbox", { name: "Your question, changed" })).toBeNull();
    expect(document.activeElement?.getAttribute("aria-label")).toBe("Edit and send again");
    await userEvent.click(screen.getByRole("button", { name: "Edit and send again" }));
    const editor = screen.getByRole("textbox", { name: "Your question, changed" });
    await userEvent.clear(editor);
    await userEvent.type(editor, "How?");
    await userEvent.click(screen.getAllByRole("button", { name: "Send" })[0] as HTMLElement);
    await waitFor(() => expect(daemon.start).toMatchObject({ mode: "send", parent: null, content: "How?" }));
    await screen.findByText("How?");
    expect(screen.queryByText("Why?")).toBeNull();
  });

  it("has its answer corrected", async () => {
    const asked = question(id(), null);
    const first = answer(id(), asked.id, { content: "Wrong." });
    const { daemon } = await showConversation([asked, first], first.id);
    await userEvent.click(await screen.findByRole("button", { name: "Correct the answer" }));
    const editor = screen.getByRole("textbox", { name: "The answer, corrected" });
    await userEvent.clear(editor);
    await userEvent.type(editor, "Right.");
    await userEvent.click(screen.getByRole("button", { name: "Save" }));
    await screen.findByText("Right.");
    expect(daemon.changes("PATCH").at(-1)).toMatchObject({ body: { content: "Right." } });
  });

  it("shows why an answer failed, and asks again", async () => {
    const asked = question(id(), null);
    const { daemon, detail } = await showConversation([asked, answer(id(), asked.id)], null);
    await ask("More?");
    const { script, kept } = await taken(daemon, detail.id);
    const error = { title: "Down", status: 502, code: "upstream_error", detail: "The server is down.", hint: "Wait." };
    const failed = answer(id(), kept.id, { content: "", outcome: "failed", error_code: "upstream_error" });
    await daemon.say(script.done(failed, { error }));
    expect((await screen.findByRole("alert")).textContent).toContain("The server is down.");
    await userEvent.click(screen.getByRole("button", { name: "Retry" }));
    expect(daemon.start).toMatchObject({ mode: "regenerate", parent: kept.id });
  });

  it("offers to ask again what was never answered", async () => {
    const asked = question(id(), null);
    const { daemon } = await showConversation([asked], asked.id);
    await userEvent.click(await screen.findByRole("button", { name: "Ask again" }));
    expect(daemon.start).toMatchObject({ mode: "regenerate", parent: asked.id });
  });

  it("follows what was begun in another tab", async () => {
    const asked = question(id(), null);
    const turn = id();
    const message = id();
    const { daemon, detail } = await showConversation([asked], asked.id, (it, chat) => {
      it.running = [{ turn, ref: "elsewhere", conversation: chat, message, state: "answering" }];
    });
    await waitFor(() => expect(daemon.sent).toContainEqual({ type: "attach", turn }));
    const script = new Script(turn, "elsewhere");
    await daemon.say(
      script.snapshot({ conversation: detail.id, parent: asked.id, message, content: "So far" }),
      script.token(" so good."),
    );
    await screen.findByText("So far so good.");
    expect(screen.getByRole("button", { name: "Stop" })).toBeTruthy();
  });

  it("takes pictures only for models that see", async () => {
    const asked = question(id(), null);
    await showConversation([asked, answer(id(), asked.id)], null);
    const attach = await screen.findByRole("button", { name: "This model cannot see pictures" });
    expect(attach.getAttribute("aria-disabled")).toBe("true");
  });

  it("keeps what was typed for the next time", async () => {
    const asked = question(id(), null);
    const { detail } = await showConversation([asked, answer(id(), asked.id)], null);
    await userEvent.type(field(), "half a thou");
    expect(draftOf(detail.id)).toBe("half a thou");
  });

  it("says so when it is not there", async () => {
    vi.spyOn(console, "error").mockImplementation(() => undefined);
    await showPage(`#/c/${id()}`, (it) => {
      const answerAll = it.answer;
      it.answer = async (input, init) =>
        String(input).startsWith("gate/conversations/")
          ? Response.json({ title: "Not found", status: 404, code: "not_found", detail: "No." }, { status: 404 })
          : answerAll(input, init);
    });
    await screen.findByText("This conversation is not there any more");
  });
});
