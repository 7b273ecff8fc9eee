import { type ClipboardEvent, type DragEvent, type KeyboardEvent, useEffect, useRef, useState } from "react";
import { modelOf } from "../options/models";
import { OptionsDialog } from "../options/options";
import { usePreferences } from "../options/preferences";
import { useCommand } from "../options/shortcuts";
import { classes, toast } from "../ui";
import { useMedia } from "../ui/media";
import type { Actions } from "./asking";
import { Attachments, reasonAgainst } from "./attachments";
import { changeChat } from "./chats";
import { ComposerBar } from "./composer-bar";
import { joined, NEW_CHAT } from "./drafts";
import { fitHeight, sends } from "./fields";
import { picturesIn } from "./pictures";
import { LONGEST_QUESTION } from "./starting";
import { type DraftText, useDraft } from "./use-draft";
import { type Attached, usePictures } from "./use-pictures";
import type { View } from "./view";
import "./composer.css";

/** From here on the number of characters is shown. */
const NEARLY_TOO_LONG = LONGEST_QUESTION * 0.9;

interface ComposerProps {
  view: View;
  actions: Actions;
}

/** Where questions are written. */
export function Composer({ view, actions }: ComposerProps) {
  const draft = useDraft(view.chat.conversation ?? NEW_CHAT);
  const attached = usePictures();
  const field = useRef<HTMLTextAreaElement>(null);
  const [options, setOptions] = useState(false);
  const reason = reasonAgainst(modelOf(view.models ?? [], view.model)?.vision);
  const { block, send } = useSending(view, actions, draft, attached, reason);
  const keys = useKeys(send);
  const files = useFiles(attached, reason);
  useReturned(view, draft, attached);
  useFocus(field);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the height depends on the text
  useEffect(() => fitHeight(field.current), [draft.text]);
  return (
    <>
      <form
        className={classes("composer", files.over && "is-target", view.isTemporary && "is-temporary")}
        onSubmit={(event) => {
          event.preventDefault();
          send();
          field.current?.focus();
        }}
        {...files.handlers}
      >
        <Attachments attached={attached} />
        <textarea
          ref={field}
          className="composer-field"
          aria-label="Message"
          aria-describedby="composer-count"
          placeholder="Write a message"
          rows={1}
          enterKeyHint={keys.isTouch ? "enter" : "send"}
          value={draft.text}
          onChange={(event) => draft.setText(event.target.value)}
          onKeyDown={keys.pressed}
        />
        <ComposerBar {...{ view, actions, block, reason }} onFiles={files.take} onOptions={() => setOptions(true)} />
        <Count length={draft.text.length} />
      </form>
      {/* Not inside: Chromium does not tell of a form in a form that it is sent. */}
      <OptionsDialog
        open={options}
        onClose={() => setOptions(false)}
        value={view.settings}
        onChange={actions.setSettings}
        model={view.model}
      />
    </>
  );
}

/** Why it cannot be sent now; null when it can. */
function blockOf(view: View, text: string, attached: Attached, reason: string | null): string | null {
  if (view.model === null) return view.models ? "There is no model to ask" : "The models are not known yet";
  if (attached.busy) return "The pictures are being read";
  if (attached.pictures.length > 0 && reason !== null) return `${reason}: remove them, or choose another model`;
  if (text.length > LONGEST_QUESTION) return "The message is too long";
  return text.trim() === "" && attached.pictures.length === 0 ? "Write a message first" : null;
}

function useSending(view: View, actions: Actions, draft: DraftText, attached: Attached, reason: string | null) {
  const block = blockOf(view, draft.text, attached, reason);
  const send = () => {
    if (view.isRunning) return;
    if (block !== null) {
      if (draft.text.trim() !== "") toast(`${block}.`, "info");
      return;
    }
    if (!actions.send(draft.text, [...attached.pictures])) return;
    draft.sent();
    attached.replace([]);
  };
  return { block, send };
}

function useKeys(send: () => void) {
  const sendKey = usePreferences((preferences) => preferences.sendKey);
  const isTouch = useMedia("(pointer: coarse)");
  const pressed = (event: KeyboardEvent) => {
    const { isComposing } = event.nativeEvent;
    const { key, shiftKey, ctrlKey, metaKey, altKey, keyCode } = event;
    if (!sends({ key, shiftKey, ctrlKey, metaKey, altKey, keyCode, isComposing }, sendKey, isTouch)) return;
    event.preventDefault();
    send();
  };
  return { isTouch, pressed };
}

function useFiles(attached: Attached, reason: string | null) {
  const [over, setOver] = useState(false);
  const take = (files: readonly File[]) => {
    if (files.length === 0) return;
    if (reason === null) void attached.add(files);
    else toast(`${reason}.`, "info");
  };
  const dropped = (event: DragEvent) => {
    setOver(false);
    const files = picturesIn(event.dataTransfer);
    if (files.length === 0) return;
    event.preventDefault();
    take(files);
  };
  const dragged = (event: DragEvent) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    // Without this the browser would leave the page to show the file.
    event.preventDefault();
    setOver(true);
  };
  const pasted = (event: ClipboardEvent) => {
    const files = picturesIn(event.clipboardData);
    // A piece of a table comes as text and as a picture of it: the text is meant.
    if (files.length === 0 || event.clipboardData.types.includes("text/plain")) return;
    event.preventDefault();
    take(files);
  };
  const handlers = { onDrop: dropped, onDragOver: dragged, onDragLeave: () => setOver(false), onPaste: pasted };
  return { over, take, handlers };
}

/** What was refused comes back. */
function useReturned(view: View, draft: DraftText, attached: Attached): void {
  const { key, returned } = view.chat;
  const latest = useRef({ draft, attached });
  useEffect(() => {
    latest.current = { draft, attached };
  });
  useEffect(() => {
    if (!returned) return;
    const now = latest.current;
    now.draft.setText(joined(returned.text, now.draft.text));
    now.attached.replace([...returned.pictures, ...now.attached.pictures]);
    changeChat(key, { returned: null });
  }, [returned, key]);
}

function useFocus(field: React.RefObject<HTMLTextAreaElement | null>): void {
  useCommand("focus-composer", () => field.current?.focus());
  useEffect(() => {
    // On a phone it would bring up the keyboard, over half of what was to be read.
    if (!window.matchMedia("(pointer: coarse)").matches) field.current?.focus();
  }, [field]);
}

function Count({ length }: { length: number }) {
  const isOver = length > LONGEST_QUESTION;
  return (
    <p
      id="composer-count"
      className={classes("composer-count tabular", isOver && "is-over")}
      hidden={length < NEARLY_TOO_LONG}
    >
      {length.toLocaleString("en")} of {LONGEST_QUESTION.toLocaleString("en")} characters
      {isOver ? ": too long" : ""}
    </p>
  );
}
