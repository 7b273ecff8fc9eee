import { create } from "zustand";
import { type PersistStorage, persist } from "zustand/middleware";

export type Theme = "system" | "light" | "dark";
export type SendKey = "enter" | "ctrl-enter";

/** What this browser remembers of how its user likes the page. Nothing secret: scripts can read it. */
export interface Preferences {
  theme: Theme;
  sendKey: SendKey;
  /** Whether new chats are temporary. Of this tab only. */
  temporary: boolean;
  lastModel: string | null;
  /** Whether the sidebar is open, where there is room for it. */
  sidebar: boolean;
}

export const DEFAULTS: Preferences = {
  theme: "system",
  sendKey: "enter",
  temporary: false,
  lastModel: null,
  sidebar: true,
};

export const STORAGE_KEY = "llmgate.preferences";
const TEMPORARY_KEY = "llmgate.temporary";
const LONGEST_MODEL = 512;

type Kept = Omit<Preferences, "temporary">;

/** What is usable of something that was stored: by an older page, by hand, or by nobody. */
export function sound(stored: unknown): Kept {
  const raw: Partial<Record<keyof Kept, unknown>> = typeof stored === "object" && stored !== null ? stored : {};
  const { theme, sendKey, lastModel, sidebar } = raw;
  return {
    theme: theme === "light" || theme === "dark" ? theme : "system",
    sendKey: sendKey === "ctrl-enter" ? sendKey : "enter",
    lastModel:
      typeof lastModel === "string" && lastModel !== "" && lastModel.length <= LONGEST_MODEL ? lastModel : null,
    sidebar: typeof sidebar === "boolean" ? sidebar : DEFAULTS.sidebar,
  };
}

/** A browser may forbid storage, or have no room: then what is chosen holds until the page is closed. */
function quietly<T>(use: () => T): T | null {
  try {
    return use();
  } catch {
    return null;
  }
}

function parsed(text: string | null): unknown {
  return text === null ? null : quietly(() => JSON.parse(text) as unknown);
}

// Whether a chat is temporary lives as long as the tab: a reload must not begin to keep what was meant to be forgotten,
// and a tab opened tomorrow must not forget what is meant to be kept.
const storage: PersistStorage<Preferences> = {
  getItem: (name) => {
    const kept = sound(parsed(quietly(() => localStorage.getItem(name))));
    const temporary = quietly(() => sessionStorage.getItem(TEMPORARY_KEY)) === "yes";
    return { state: { ...kept, temporary } };
  },
  setItem: (name, { state }) => {
    const { temporary, ...kept } = state;
    quietly(() => localStorage.setItem(name, JSON.stringify(kept)));
    quietly(() => sessionStorage.setItem(TEMPORARY_KEY, temporary ? "yes" : "no"));
  },
  removeItem: (name) => {
    quietly(() => localStorage.removeItem(name));
    quietly(() => sessionStorage.removeItem(TEMPORARY_KEY));
  },
};

/** Change them with `usePreferences.setState({…})`. */
export const usePreferences = create<Preferences>()(persist(() => DEFAULTS, { name: STORAGE_KEY, storage }));

/** Another tab has changed something (`key` is null when it has cleared all). */
export function takeOver(event: StorageEvent): void {
  if (event.key !== STORAGE_KEY && event.key !== null) return;
  const { sidebar: _, ...shared } = sound(parsed(event.newValue));
  const now = usePreferences.getState();
  const changed = (Object.keys(shared) as (keyof typeof shared)[]).some((name) => shared[name] !== now[name]);
  // Only what differs, so that two tabs do not answer each other for ever.
  if (changed) usePreferences.setState(shared);
}

window.addEventListener("storage", takeOver);
