import type { KeyWish } from "../api/queries";

export const LIVES = [
  { value: "30", label: "30 days" },
  { value: "90", label: "90 days" },
  { value: "365", label: "One year" },
  { value: "date", label: "Until a date…" },
  { value: "", label: "Never" },
] as const;

export interface KeyForm {
  name: string;
  /** One of LIVES. */
  life: string;
  /** YYYY-MM-DD, for the life "date". */
  date: string;
  /** "": as good as the owner may have it. */
  level: string;
  /** null: all. */
  models: string[] | null;
}

export const LONGEST_NAME = 33;

/** The name as keys may have it: of small letters, digits, `_` and `-`. */
export function keyName(typed: string): string {
  const plain = typed
    .normalize("NFKD")
    .replace(/\p{Mark}/gu, "")
    .toLowerCase();
  return plain
    .replace(/[^a-z0-9_]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, LONGEST_NAME);
}

/** When the key ends: the end of a chosen day as the user's clock has it. Null: never, or no day chosen yet. */
export function endOf({ life, date }: KeyForm, now = Date.now()): string | null {
  if (life === "") return null;
  if (life !== "date") return new Date(now + Number(life) * 86_400_000).toISOString();
  const end = new Date(`${date}T23:59:59`);
  return Number.isNaN(end.getTime()) ? null : end.toISOString();
}

/** What the daemon is asked for. */
export function wishOf(form: KeyForm, now = Date.now()): KeyWish {
  const end = endOf(form, now);
  return {
    name: keyName(form.name),
    ...(form.level ? { level: Number(form.level) } : {}),
    ...(form.models ? { models: form.models } : {}),
    ...(end ? { expires_at: end } : {}),
  };
}
