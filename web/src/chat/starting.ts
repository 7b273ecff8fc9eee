import type { ImageData, Message, Start } from "../api/types";
import type { Settings } from "./chats";
import { LARGEST_TOGETHER, sizeOf } from "./pictures";
import { type Entry, withoutEmpty } from "./thread";

/** The daemon's bounds (`llmgate/schemas/chat.py`). */
export const LONGEST_QUESTION = 200_000;
const MOST_HISTORY = 1000;
/** Characters of history: as UTF-8 in JSON they still fit into a frame, beside the pictures. */
const LONGEST_HISTORY = 1_500_000;

export type Said = Start["history"][number];

/** What the user wants, before it is put into the daemon's words. */
export type Wish =
  /** `edited`: the message in whose place the question goes; null: at the end of the branch. */
  | { kind: "send"; text: string; pictures: ImageData[]; edited: Message | null }
  | { kind: "regenerate"; question: Message }
  | { kind: "continue"; answer: Message };

export interface Circumstances {
  ref: string;
  conversation: string | null;
  temporary: boolean;
  model: string;
  settings: Settings;
  /** The branch that is shown. */
  entries: readonly Entry[];
  /** Of a temporary chat. */
  pictures: Record<string, ImageData[]>;
}

/** A name for a turn that nobody else gives. */
export function newRef(): string {
  // randomUUID is absent on plain http, where many gateways of a house are.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The messages as the daemon takes them, the newest that fit: the oldest are what a model forgets first anyway. */
export function historyOf(messages: readonly Message[], pictures: Record<string, ImageData[]>): Said[] {
  const kept: Said[] = [];
  let length = 0;
  let size = 0;
  for (const message of [...messages].reverse()) {
    length += message.content.length;
    if (kept.length === MOST_HISTORY || length > LONGEST_HISTORY) break;
    const images = pictures[message.id] ?? [];
    size += images.reduce((sum, image) => sum + sizeOf(image.data), 0);
    // An answer that failed before its first word says nothing.
    if (message.content === "" && images.length === 0) continue;
    kept.push({ role: message.role, content: message.content, images: size <= LARGEST_TOGETHER ? images : [] });
  }
  return kept.reverse();
}

function before(entries: readonly Entry[], id: string | null): Message[] {
  const at = entries.findIndex((entry) => entry.message.id === id);
  return (at === -1 ? entries : entries.slice(0, at)).map((entry) => entry.message);
}

function kept(wish: Wish, { entries }: Circumstances): Pick<Start, "mode" | "parent" | "content" | "images"> {
  if (wish.kind === "regenerate") return { mode: "regenerate", parent: wish.question.id, content: "", images: [] };
  if (wish.kind === "continue") return { mode: "continue", parent: wish.answer.id, content: "", images: [] };
  // An answer that failed before its first word is shown, but the daemon does not have it.
  const last = withoutEmpty(entries.map((entry) => entry.message)).at(-1);
  const parent = wish.edited ? wish.edited.parent : (last?.id ?? null);
  return { mode: "send", parent, content: wish.text, images: wish.pictures };
}

/** Nothing of a temporary chat is known to the daemon: it gets the whole of it each time, and no ids. */
function temporary(
  wish: Wish,
  { entries, pictures }: Circumstances,
): Pick<Start, "mode" | "parent" | "content" | "images" | "history"> {
  const parent = null;
  if (wish.kind === "send") {
    const history = historyOf(before(entries, wish.edited?.id ?? null), pictures);
    return { mode: "send", parent, content: wish.text, images: wish.pictures, history };
  }
  if (wish.kind === "regenerate") {
    const { content, id } = wish.question;
    const history = historyOf(before(entries, id), pictures);
    return { mode: "send", parent, content, images: pictures[id] ?? [], history };
  }
  const history = historyOf([...before(entries, wish.answer.id), wish.answer], pictures);
  return { mode: "continue", parent, content: "", images: [], history };
}

/** The frame that asks for what is wished. */
export function startOf(wish: Wish, of: Circumstances): Start {
  const { ref, conversation, model, settings } = of;
  const common = { type: "start" as const, ref, model, system: settings.system, parameters: settings.parameters };
  if (of.temporary) return { ...common, conversation: null, keep: false, ...temporary(wish, of) };
  return { ...common, conversation, keep: true, history: [], ...kept(wish, of) };
}
