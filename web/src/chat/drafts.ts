/** What was typed and not sent, by conversation. It lives as long as the tab, over a reload. */

const PREFIX = "llmgate.draft.";
/** The name of the draft of a chat that is no conversation yet. */
export const NEW_CHAT = "new";

function quietly<T>(use: (storage: Storage) => T): T | null {
  try {
    return use(sessionStorage);
  } catch {
    // Forbidden, or full: then a draft does not outlive the page.
    return null;
  }
}

export function draftOf(name: string): string {
  return quietly((storage) => storage.getItem(PREFIX + name)) ?? "";
}

export function keepDraft(name: string, text: string): void {
  quietly((storage) => (text === "" ? storage.removeItem(PREFIX + name) : storage.setItem(PREFIX + name, text)));
}

/** The text has arrived; what was typed since stays. */
export function dropDraft(name: string, text: string): void {
  if (draftOf(name) === text) keepDraft(name, "");
}

/** A returned text, with what was typed since below it. */
export function joined(returned: string, typed: string): string {
  return typed.trim() === "" || typed === returned ? returned : `${returned}\n\n${typed}`;
}
