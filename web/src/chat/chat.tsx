import { useEffect, useMemo, useState } from "react";
import { Problem } from "../api/http";
import { useConversation } from "../api/queries";
import { useCommand } from "../options/shortcuts";
import { loadEngine, loadEngineLater, useEngineSettled } from "../render/engine";
import { announce, copyText, Empty, Failure, HeaderActions, HeaderTitle, Skeleton } from "../ui";
import { useAnnouncements } from "./announcing";
import { type Actions, useActions } from "./asking";
import { chatOf, freshChat, keyOf, useChats } from "./chats";
import { Composer } from "./composer";
import { type ChatContext, Chatting } from "./context";
import { goLive } from "./page";
import { ProblemNote } from "./problem-note";
import { Transcript } from "./transcript";
import { useTurns } from "./turns";
import { useFollow } from "./use-follow";
import { useView, type View } from "./view";
import { Welcome } from "./welcome";
import "./chat.css";
import "./messages.css";

/** A conversation; null: a new one, which gets its address with its first question. */
export function Chat({ conversationId }: { conversationId: string | null }) {
  const key = useChats((state) => keyOf(state, conversationId));
  useEffect(() => goLive(), []);
  useEffect(() => loadEngineLater(), []);
  useNewChat();
  return <Loaded key={key} chat={key} conversation={conversationId} />;
}

/** "New chat" while a chat without an address is shown already: an address that does not change shows nothing new. */
function useNewChat(): void {
  useEffect(() => {
    const went = (event: HashChangeEvent) => {
      // Events of the browser itself are the way back and forth, which leads to what was there.
      if (event.isTrusted || location.hash.replace(/^#?\/?/, "") !== "") return;
      const state = useChats.getState();
      if (chatOf(state, state.fresh).temporary !== null) freshChat();
    };
    window.addEventListener("hashchange", went);
    return () => window.removeEventListener("hashchange", went);
  }, []);
}

function Loaded({ chat, conversation }: { chat: string; conversation: string | null }) {
  const { data, error, refetch } = useConversation(conversation);
  const [isOld] = useState(conversation !== null);
  useEffect(() => {
    if (isOld) void loadEngine();
  }, [isOld]);
  if (conversation === null || data) return isOld ? <Old chat={chat} /> : <Open chat={chat} />;
  if (!error) return <Loading />;
  if (error instanceof Problem && error.status === 404) {
    return (
      <Empty title="This conversation is not there any more">
        It was deleted, or it belongs to somebody else. Choose another one in the sidebar, or begin a new one.
      </Empty>
    );
  }
  return (
    <div className="chat-loading">
      <Failure error={error} onRetry={() => void refetch()} />
    </div>
  );
}

function Loading() {
  return (
    <div className="chat-loading">
      <Skeleton lines={5} />
    </div>
  );
}

/** What is opened is shown as it will stay, and not as plain text before. A new chat waits for nothing. */
function Old({ chat }: { chat: string }) {
  return useEngineSettled() ? <Open chat={chat} /> : <Loading />;
}

function Open({ chat }: { chat: string }) {
  const view = useView(chat);
  const actions = useActions(view);
  const isUnanswered = view.entries.at(-1)?.message.role === "user";
  const isSettled = useFollow(chat, view.chat.conversation, view.isRunning, isUnanswered);
  useAnnouncements(chat);
  useEscape(view.isRunning, actions);
  useCommand("copy-answer", () => void copyLast(view));
  const context = useContextOf(view, actions);
  const title = view.title ?? (view.isTemporary ? "Temporary chat" : "New chat");
  return (
    <Chatting value={context}>
      <HeaderTitle name={title} />
      {view.isTemporary ? (
        <HeaderActions>
          <span className="chat-badge">Temporary</span>
        </HeaderActions>
      ) : null}
      <div className="chat">
        {view.entries.length > 0 ? <h1 className="sr-only">{title}</h1> : null}
        <Transcript view={view} isSettled={isSettled} empty={<Welcome view={view} />} />
        <div className="chat-foot">
          <ConnectionNote isRunning={view.isRunning} />
          <Trouble view={view} actions={actions} />
          <Composer view={view} actions={actions} />
        </div>
      </div>
    </Chatting>
  );
}

function useContextOf(view: View, actions: Actions): ChatContext {
  const { isRunning, models } = view;
  const { key } = view.chat;
  const longest = view.settings.parameters.num_predict ?? null;
  return useMemo(() => {
    const names = (models ?? []).map((model) => model.name);
    return { actions, chat: key, models: names, isRunning, longest };
  }, [actions, key, models, isRunning, longest]);
}

/** Esc stops, unless something else on the page has a use for it. */
function useEscape(isRunning: boolean, actions: Actions): void {
  useEffect(() => {
    if (!isRunning) return;
    const pressed = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || event.defaultPrevented || event.isComposing) return;
      if (document.querySelector("dialog[open], [popover]:not(.ui-toasts, .ui-tip):popover-open")) return;
      event.preventDefault();
      actions.stop();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [isRunning, actions]);
}

async function copyLast({ entries }: View): Promise<void> {
  const answer = [...entries].reverse().find(({ message }) => message.role === "assistant" && message.content !== "");
  if (!answer) return;
  const isCopied = await copyText(answer.message.content);
  announce(isCopied ? "Answer copied" : "The browser does not allow copying");
}

function ConnectionNote({ isRunning }: { isRunning: boolean }) {
  const isLost = useTurns((state) => state.status === "waiting" || state.status === "connecting");
  if (!isRunning || !isLost) return null;
  return (
    <p className="chat-connection" role="status">
      The connection is lost. Trying again…
    </p>
  );
}

function Trouble({ view, actions }: { view: View; actions: Actions }) {
  const { trouble } = view.chat;
  if (!trouble) return null;
  const { error, at, again } = trouble;
  return <ProblemNote error={error} at={at} retry={again ? actions.retry : null} onDismiss={actions.dismiss} />;
}
