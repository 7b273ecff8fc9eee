/** As high as its text; the style sheet says how high at most. */
export function fitHeight(field: HTMLTextAreaElement | null): void {
  if (!field) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + field.offsetHeight - field.clientHeight}px`;
}

export interface Key {
  key: string;
  shiftKey: boolean;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  isComposing: boolean;
  keyCode: number;
}

/** Whether this key sends what was typed. */
export function sends(event: Key, sendKey: "enter" | "ctrl-enter", isTouch: boolean): boolean {
  // While an input method composes a word, Enter takes the word. Safari tells it by the key code only.
  if (event.key !== "Enter" || event.isComposing || event.keyCode === 229) return false;
  if (event.ctrlKey || event.metaKey) return true;
  if (event.shiftKey || event.altKey) return false;
  // A phone's keyboard has no Shift+Enter: its Enter makes a new line, and there is a button.
  return sendKey === "enter" && !isTouch;
}
