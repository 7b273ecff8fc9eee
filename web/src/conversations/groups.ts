import type { Conversation } from "../api/types";

export interface Group {
  label: string;
  conversations: Conversation[];
}

/** Whole days between the two local dates; a clock change makes some days 23 or 25 hours long. */
function daysBetween(earlier: Date, later: Date): number {
  const from = Date.UTC(earlier.getFullYear(), earlier.getMonth(), earlier.getDate());
  const to = Date.UTC(later.getFullYear(), later.getMonth(), later.getDate());
  return Math.round((to - from) / 86_400_000);
}

/** Under which heading something of `moment` (ISO 8601) is listed. Times are those of this browser's time zone. */
export function labelOf(moment: string, now: Date): string {
  const then = new Date(moment);
  const days = daysBetween(then, now);
  // A server's clock may be ahead of the browser's.
  if (Number.isNaN(days) || days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days <= 7) return "Last 7 days";
  if (days <= 30) return "Last 30 days";
  const ofThisYear = then.getFullYear() === now.getFullYear();
  return then.toLocaleDateString("en", ofThisYear ? { month: "long" } : { month: "long", year: "numeric" });
}

/** The list, latest first as it came, cut where the heading changes. */
export function grouped(conversations: readonly Conversation[], now: Date): Group[] {
  const groups = new Map<string, Conversation[]>();
  for (const conversation of conversations) {
    const label = labelOf(conversation.updated_at, now);
    const group = groups.get(label);
    if (group) group.push(conversation);
    else groups.set(label, [conversation]);
  }
  return [...groups].map(([label, of]) => ({ label, conversations: of }));
}

export interface Piece {
  text: string;
  found: boolean;
}

/** The title cut at the first place where `search` is in it; null when it is not: then it was found in a message. */
export function marked(title: string, search: string): Piece[] | null {
  const wanted = search.trim();
  if (wanted === "") return [{ text: title, found: false }];
  // Not toLowerCase on both: it changes the length of some letters, and the cut would be off.
  const escaped = wanted.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const at = new RegExp(escaped, "iu").exec(title);
  if (!at) return null;
  const end = at.index + at[0].length;
  return [
    { text: title.slice(0, at.index), found: false },
    { text: at[0], found: true },
    { text: title.slice(end), found: false },
  ].filter((piece) => piece.text !== "");
}
