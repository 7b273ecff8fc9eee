import { type RefObject, useCallback, useEffect, useRef, useState } from "react";

export interface Editing {
  editing: boolean;
  begin: () => void;
  end: () => void;
  /** The button that begins it. It is not there meanwhile, and gets the focus back at the end. */
  button: RefObject<HTMLButtonElement | null>;
}

/** Editing a message in its place. */
export function useEditing(): Editing {
  const [editing, setEditing] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const was = useRef(false);
  useEffect(() => {
    if (was.current && !editing) button.current?.focus();
    was.current = editing;
  }, [editing]);
  const begin = useCallback(() => setEditing(true), []);
  const end = useCallback(() => setEditing(false), []);
  return { editing, begin, end, button };
}
