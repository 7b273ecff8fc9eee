import Ellipsis from "lucide-react/icons/ellipsis";
import { useRef } from "react";
import type { Conversation } from "../api/types";
import { ordinal } from "../chat/words";
import { classes, IconButton, Menu, type MenuEntry } from "../ui";
import { LONGEST_TITLE } from "./changes";
import type { ExportFormat } from "./download";
import { marked } from "./groups";
import { useMark } from "./marks";
import { pathOf } from "./routes";

export interface ItemActions {
  edit: (conversation: string) => void;
  /** The renaming has ended; `back`: the focus goes to the conversation. */
  edited: (conversation: string, back: boolean) => void;
  rename: (conversation: Conversation, title: string) => void;
  remove: (conversation: Conversation) => void;
  save: (conversation: Conversation, format: ExportFormat) => void;
  /** It has got the focus. */
  reached: (conversation: string) => void;
  opened: () => void;
}

interface ItemProps {
  conversation: Conversation;
  search: string;
  current: boolean;
  /** Whether the Tab key stops here: at one of the whole list. */
  stop: boolean;
  editing: boolean;
  actions: ItemActions;
}

export function Item(props: ItemProps) {
  const { conversation, search, current, stop, editing, actions } = props;
  if (editing) {
    return (
      <li className="conv-item is-editing">
        <TitleField conversation={conversation} actions={actions} />
      </li>
    );
  }
  return (
    <li className={classes("conv-item", current && "is-current")}>
      <a
        href={`#${pathOf(conversation.id)}`}
        className="conv-link"
        title={conversation.title}
        data-conversation={conversation.id}
        aria-current={current ? "page" : undefined}
        tabIndex={stop ? 0 : -1}
        onClick={actions.opened}
        onFocus={() => actions.reached(conversation.id)}
      >
        <Title title={conversation.title} search={search} />
        <Mark conversation={conversation.id} />
      </a>
      <Options conversation={conversation} stop={stop} actions={actions} />
    </li>
  );
}

function Title({ title, search }: { title: string; search: string }) {
  const pieces = marked(title, search);
  if (!pieces) {
    return (
      <span className="conv-text">
        <span className="conv-title">{title}</span>
        <span className="conv-where">in its messages</span>
      </span>
    );
  }
  return (
    <span className="conv-title">
      {pieces.map((piece, at) =>
        // biome-ignore lint/suspicious/noArrayIndexKey: pieces of one text have no other name
        piece.found ? <mark key={at}>{piece.text}</mark> : piece.text,
      )}
    </span>
  );
}

function Mark({ conversation }: { conversation: string }) {
  const place = useMark(conversation);
  if (place === null) return null;
  if (place === 0) {
    return (
      <span className="conv-mark is-running">
        <span className="sr-only">, being answered</span>
      </span>
    );
  }
  return (
    <span className="conv-mark is-waiting tabular">
      <span className="sr-only">, in line: </span>
      {ordinal(place)}
    </span>
  );
}

interface OptionsProps {
  conversation: Conversation;
  stop: boolean;
  actions: ItemActions;
}

function Options({ conversation, stop, actions }: OptionsProps) {
  const label = `Options of “${conversation.title}”`;
  const items: MenuEntry[] = [
    { label: "Rename", detail: "F2", onSelect: () => actions.edit(conversation.id) },
    { label: "Export as Markdown", onSelect: () => actions.save(conversation, "markdown") },
    { label: "Export as JSON", onSelect: () => actions.save(conversation, "json") },
    { separator: true },
    { label: "Delete…", detail: "Del", danger: true, onSelect: () => actions.remove(conversation) },
  ];
  return (
    <Menu
      label={label}
      items={items}
      trigger={(menu) => (
        <IconButton
          {...menu}
          size="sm"
          className="conv-options"
          label={label}
          icon={<Ellipsis />}
          tabIndex={stop ? 0 : -1}
        />
      )}
    />
  );
}

function TitleField({ conversation, actions }: { conversation: Conversation; actions: ItemActions }) {
  const done = useRef(false);
  const finish = (title: string | null, back: boolean) => {
    // Enter and Esc make the field lose the focus, too.
    if (done.current) return;
    done.current = true;
    if (title !== null) actions.rename(conversation, title);
    actions.edited(conversation.id, back);
  };
  return (
    <input
      className="conv-field"
      aria-label={`New title of “${conversation.title}”`}
      defaultValue={conversation.title}
      maxLength={LONGEST_TITLE}
      enterKeyHint="done"
      ref={selectAll}
      onBlur={(event) => finish(event.target.value, false)}
      onKeyDown={(event) => {
        if (event.nativeEvent.isComposing) return;
        if (event.key !== "Enter" && event.key !== "Escape") return;
        event.preventDefault();
        // Esc here ends the renaming, and nothing else.
        event.stopPropagation();
        finish(event.key === "Enter" ? event.currentTarget.value : null, true);
      }}
    />
  );
}

function selectAll(field: HTMLInputElement | null): void {
  field?.focus();
  field?.select();
}
