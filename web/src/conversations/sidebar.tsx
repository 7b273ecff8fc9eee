import { useQueryClient } from "@tanstack/react-query";
import MessageCircleDashed from "lucide-react/icons/message-circle-dashed";
import SquarePen from "lucide-react/icons/square-pen";
import { type RefObject, useEffect, useRef, useState } from "react";
import { problemOf } from "../api/http";
import { keys, useAbout, useConversations } from "../api/queries";
import type { Conversation } from "../api/types";
import { freshChat } from "../chat/chats";
import { usePreferences } from "../options/preferences";
import { useCommand } from "../options/shortcuts";
import { announce, Button, ConfirmDialog, toast } from "../ui";
import { neighbour, tidy, useRemove, useRename } from "./changes";
import { saveConversation } from "./download";
import type { ItemActions } from "./item";
import { List } from "./list";
import { focusLink, successor, useListKeys } from "./list-keys";
import { show, useShown } from "./routes";
import { SearchField, useSettled } from "./search";
import "./sidebar.css";

interface SidebarProps {
  /** Something was chosen: a drawer can close. */
  onNavigate?: (() => void) | undefined;
}

/** New chat, search, and the conversations that are kept. */
export function Sidebar({ onNavigate }: SidebarProps) {
  const about = useAbout().data;
  const keeps = about?.conversations ?? true;
  const begin = (temporary: boolean) => {
    beginChat(temporary);
    onNavigate?.();
  };
  useCommand("new-chat", () => begin(false));
  return (
    <nav className="conv-sidebar" aria-label="Conversations">
      <div className="conv-actions">
        <Button icon={<SquarePen />} className="conv-new" onClick={() => begin(false)}>
          New chat
        </Button>
        {keeps ? (
          <Button
            variant="ghost"
            icon={<MessageCircleDashed />}
            className="conv-new"
            title="Nothing of it is kept"
            onClick={() => begin(true)}
          >
            Temporary chat
          </Button>
        ) : null}
      </div>
      {keeps ? (
        <Conversations onNavigate={onNavigate} />
      ) : (
        <p className="conv-note">This gateway keeps no conversations. A chat is gone when you leave it.</p>
      )}
    </nav>
  );
}

function beginChat(temporary: boolean): void {
  usePreferences.setState({ temporary });
  freshChat();
  show(null);
}

function Conversations({ onNavigate }: SidebarProps) {
  const [typed, setTyped] = useState("");
  const search = useSettled(typed.trim());
  const [reached, setReached] = useState<string | null>(null);
  const result = useConversations(search);
  const shown = useShown();
  const frame = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const renaming = useRenaming(frame);
  const removal = useRemoval(frame, result.conversations, shown);
  useFound(search, result);
  useWays(result, shown);
  useCommand("search", () => focusWhenShown(field));
  const actions: ItemActions = {
    ...renaming.actions,
    remove: removal.ask,
    reached: setReached,
    opened: () => onNavigate?.(),
    save: (conversation, format) => {
      saveConversation(conversation.id, format).catch((error: unknown) => toast(problemOf(error).text, "error"));
    },
  };
  const onKeyDown = useListKeys(frame, {
    rename: renaming.actions.edit,
    remove: removal.askById,
    leave: () => field.current?.focus(),
  });
  return (
    <>
      <SearchField
        ref={field}
        value={typed}
        onChange={setTyped}
        onLeave={() => focusLink(frame.current, null)}
        busy={typed.trim() !== "" && (typed.trim() !== search || result.isFetching)}
      />
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the keys are those of the links in it */}
      <div ref={frame} className="conv-frame" onKeyDown={onKeyDown}>
        <List result={result} state={{ search, shown, editing: renaming.editing, reached }} {...{ actions, frame }} />
      </div>
      {removal.dialog}
    </>
  );
}

/** The frame around may have to show it first: it is hidden, or in a drawer that is closed. */
function focusWhenShown(field: RefObject<HTMLInputElement | null>, attempts = 10): void {
  field.current?.focus();
  if (document.activeElement === field.current) field.current?.select();
  else if (attempts > 0) requestAnimationFrame(() => focusWhenShown(field, attempts - 1));
}

type Frame = RefObject<HTMLElement | null>;

/** Renaming in place. */
function useRenaming(frame: Frame) {
  const [editing, setEditing] = useState<string | null>(null);
  const back = useRef<string | null>(null);
  const { mutate } = useRename();
  useEffect(() => {
    if (editing === null && back.current !== null) focusLink(frame.current, back.current);
    back.current = null;
  }, [editing, frame]);
  const rename = ({ id, title }: Conversation, wanted: string) => {
    const tidied = tidy(wanted);
    if (tidied === "" || tidied === title) return;
    mutate({ id, title: tidied }, { onError: (error) => toast(`Not renamed. ${problemOf(error).text}`, "error") });
  };
  const edited = (id: string, wantsFocus: boolean) => {
    back.current = wantsFocus ? id : null;
    setEditing(null);
  };
  return { editing, actions: { edit: setEditing, edited, rename } };
}

/** Deleting, after a question. What is shown makes room for a new chat. */
function useRemoval(frame: Frame, conversations: readonly Conversation[], shown: string | null) {
  const [asked, setAsked] = useState<Conversation | null>(null);
  const next = useRef<string | null>(null);
  const client = useQueryClient();
  const { mutateAsync } = useRemove();
  useEffect(() => {
    // The dialog gives the focus back to what is gone by now.
    if (asked === null && next.current !== null) focusLink(frame.current, next.current);
    if (asked === null) next.current = null;
  }, [asked, frame]);
  const remove = async ({ id }: Conversation) => {
    const heir = successor(frame.current, id);
    await mutateAsync(id);
    next.current = heir;
    if (shown === id) {
      freshChat();
      show(null);
    }
    // Only now, when nothing shows it any more that would ask for it again.
    client.removeQueries({ queryKey: keys.conversation(id) });
    toast("Conversation deleted", "success");
  };
  const dialog = (
    <ConfirmDialog
      open={asked !== null}
      onClose={() => setAsked(null)}
      title="Delete this conversation?"
      confirmLabel="Delete"
      onConfirm={() => asked && remove(asked)}
    >
      <p>“{asked?.title}” and all its messages and pictures are deleted for good.</p>
    </ConfirmDialog>
  );
  const askById = (id: string) => setAsked(conversations.find((one) => one.id === id) ?? null);
  return { ask: setAsked, askById, dialog };
}

/** Says how many were found, once they are. */
function useFound(search: string, { isPending, isError, hasNextPage, conversations }: ListResult): void {
  const count = conversations.length;
  useEffect(() => {
    if (search === "" || isPending || isError) return;
    const what = count === 1 ? "1 conversation" : `${count}${hasNextPage ? " or more" : ""} conversations`;
    announce(count === 0 ? "Nothing found" : `${what} found`);
  }, [search, isPending, isError, hasNextPage, count]);
}

type ListResult = ReturnType<typeof useConversations>;

/** The shortcuts to the conversations before and after this one. */
function useWays({ conversations, hasNextPage, isFetching, fetchNextPage }: ListResult, shown: string | null): void {
  const go = (step: 1 | -1) => {
    const to = neighbour(conversations, shown, step);
    if (to !== null) show(to);
    else if (step === 1 && hasNextPage && !isFetching) void fetchNextPage();
  };
  useCommand("previous", () => go(-1));
  useCommand("next", () => go(1));
}
