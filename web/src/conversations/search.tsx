import Search from "lucide-react/icons/search";
import X from "lucide-react/icons/x";
import { type KeyboardEvent, type Ref, useEffect, useState } from "react";
import { isMac, keyNames, run } from "../options/shortcuts";
import { IconButton, Spinner } from "../ui";

const PAUSE_MS = 250;

/** `value`, when it has not changed for a moment; nothing at once. */
export function useSettled(value: string): string {
  const [settled, setSettled] = useState(value);
  const immediate = value === "";
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), immediate ? 0 : PAUSE_MS);
    return () => clearTimeout(timer);
  }, [value, immediate]);
  return immediate ? "" : settled;
}

interface SearchFieldProps {
  value: string;
  onChange: (value: string) => void;
  /** Down, to the list. */
  onLeave: () => void;
  busy: boolean;
  ref: Ref<HTMLInputElement>;
}

export function SearchField({ value, onChange, onLeave, busy, ref }: SearchFieldProps) {
  const pressed = (event: KeyboardEvent<HTMLInputElement>) => {
    if (event.nativeEvent.isComposing) return;
    // Esc clears; then it leads back to the chat. In a drawer it is the drawer's, which it closes.
    if (event.key === "Escape" && (value !== "" || !event.currentTarget.closest("dialog"))) {
      event.preventDefault();
      event.stopPropagation();
      if (value !== "") onChange("");
      else run("focus-composer");
    }
    if (event.key === "ArrowDown") {
      event.preventDefault();
      onLeave();
    }
  };
  return (
    <search className="conv-search">
      <Search aria-hidden="true" />
      <input
        ref={ref}
        type="search"
        className="ui-input"
        aria-label="Search conversations"
        placeholder="Search"
        title={`Search titles and messages (${keyNames(["Mod", "K"], isMac()).join(isMac() ? "" : "+")})`}
        autoComplete="off"
        spellCheck={false}
        maxLength={200}
        value={value}
        onChange={(event) => onChange(event.target.value)}
        onKeyDown={pressed}
      />
      <span className="conv-search-end">
        {busy ? <Spinner label="Searching" /> : null}
        {value && !busy ? (
          <IconButton size="sm" label="Clear the search" icon={<X />} onClick={() => onChange("")} />
        ) : null}
      </span>
    </search>
  );
}
