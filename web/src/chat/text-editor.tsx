import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { problemOf } from "../api/http";
import { Button } from "../ui";
import { fitHeight } from "./fields";
import { LONGEST_QUESTION } from "./starting";

interface TextEditorProps {
  label: string;
  text: string;
  /** Of the button. */
  action: string;
  hint?: string | undefined;
  onDone: (text: string) => Promise<void>;
  onCancel: () => void;
}

/** The text that is changed, and what keys and buttons do with it. */
function useEditor({ text, onDone, onCancel }: TextEditorProps) {
  const [typed, setTyped] = useState(text);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const isEmpty = typed.trim() === "";
  const finish = async () => {
    if (isEmpty || busy) return;
    setBusy(true);
    setError(null);
    await onDone(typed).catch((failure: unknown) => setError(problemOf(failure).text));
    setBusy(false);
  };
  const pressed = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Escape") {
      // Esc elsewhere stops an answer.
      event.preventDefault();
      onCancel();
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      void finish();
    }
  };
  return { typed, setTyped, busy, error, isEmpty, finish, pressed };
}

/** A message's text in place of the message. Esc leaves it as it was, Ctrl+Enter takes the new one. */
export function TextEditor(props: TextEditorProps) {
  const { label, action, hint, onCancel } = props;
  const { typed, setTyped, busy, error, isEmpty, finish, pressed } = useEditor(props);
  const field = useRef<HTMLTextAreaElement>(null);
  const id = useId();
  useEffect(() => {
    const element = field.current;
    element?.focus();
    element?.setSelectionRange(element.value.length, element.value.length);
  }, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the height depends on the text
  useEffect(() => fitHeight(field.current), [typed]);
  return (
    <div className="editor">
      <textarea
        ref={field}
        className="ui-input editor-field"
        aria-label={label}
        aria-describedby={hint ? `${id}-hint` : undefined}
        value={typed}
        maxLength={LONGEST_QUESTION}
        onChange={(event) => setTyped(event.target.value)}
        onKeyDown={pressed}
      />
      {error ? (
        <p className="ui-error" role="alert">
          {error}
        </p>
      ) : null}
      <div className="editor-foot">
        {hint ? (
          <p id={`${id}-hint`} className="ui-hint">
            {hint}
          </p>
        ) : null}
        <Button size="sm" onClick={onCancel}>
          Cancel
        </Button>
        <Button size="sm" variant="primary" busy={busy} aria-disabled={isEmpty} onClick={finish}>
          {action}
        </Button>
      </div>
    </div>
  );
}
