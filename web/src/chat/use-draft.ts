import { useCallback, useEffect, useRef, useState } from "react";
import { draftOf, keepDraft, NEW_CHAT } from "./drafts";

export interface DraftText {
  text: string;
  setText: (text: string) => void;
  /** Empties the field. What was in it is still kept, until the daemon has it. */
  sent: () => void;
}

/** What is typed, kept under the name of the conversation. */
export function useDraft(name: string): DraftText {
  const [text, show] = useState(() => draftOf(name));
  const latest = useRef({ name, text });
  useEffect(() => {
    const { name: before, text: typed } = latest.current;
    latest.current.name = name;
    if (before === name || before !== NEW_CHAT || typed === "") return;
    // The new chat has become a conversation while its user typed on.
    keepDraft(before, "");
    keepDraft(name, typed);
  }, [name]);
  const setText = useCallback((typed: string) => {
    latest.current.text = typed;
    keepDraft(latest.current.name, typed);
    show(typed);
  }, []);
  const sent = useCallback(() => {
    latest.current.text = "";
    show("");
  }, []);
  return { text, setText, sent };
}
