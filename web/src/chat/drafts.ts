/** What was typed and not sent, by conversation. It lives as long as the tab, over a reload. */
import { useAuth } from "../api/http";
import { inTab } from "../api/tab-storage";

const PREFIX = "llmgate.draft.";
/** The name of the draft of a chat that is no conversation yet. */
export const NEW_CHAT = "new";

/** A browser can have several users; they need not read each other's words. */
function keyOf(name: string): string {
  return `${PREFIX}${useAuth.getState().me?.user_id ?? "anyone"}.${name}`;
}

export function draftOf(name: string): string {
  return inTab((storage) => storage.getItem(keyOf(name))) ?? "";
}

export function keepDraft(name: string, text: string): void {
  inTab((storage) => (text === "" ? storage.removeItem(keyOf(name)) : storage.setItem(keyOf(name), text)));
}

/** The text has arrived; what was typed since stays. */
export function dropDraft(name: string, text: string): void {
  if (draftOf(name) === text) keepDraft(name, "");
}

/** Everybody's. For who has logged out: the next one to use the tab may be somebody else. */
export function forgetDrafts(): void {
  inTab((storage) => {
    for (const key of Object.keys(storage)) if (key.startsWith(PREFIX)) storage.removeItem(key);
  });
}

/** A returned text, with what was typed since below it. */
export function joined(returned: string, typed: string): string {
  return typed.trim() === "" || typed === returned ? returned : `${returned}\n\n${typed}`;
}
