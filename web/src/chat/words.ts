import type { Message, Usage } from "../api/types";
import type { Line, Turn } from "./turn";

const ENDINGS: Record<Intl.LDMLPluralRule, string> = {
  zero: "th",
  one: "st",
  two: "nd",
  few: "rd",
  many: "th",
  other: "th",
};

const ordinals = new Intl.PluralRules("en", { type: "ordinal" });

/** 3 → "3rd". */
export function ordinal(count: number): string {
  return `${count}${ENDINGS[ordinals.select(count)]}`;
}

/** A time to come, as exact as an estimate deserves. */
export function roughly(seconds: number): string {
  if (seconds < 5) return "a few seconds";
  if (seconds < 20) return `about ${Math.round(seconds)} s`;
  if (seconds < 90) return `about ${Math.round(seconds / 10) * 10} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `about ${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours === 1 ? "about an hour" : `about ${hours} hours`;
}

/** A time that has passed: "9 s", "1:05", "1:01:05". */
export function elapsed(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  const two = (value: number) => String(value).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** A time that something took: "0.8 s", "12 s", "1:05". */
export function took(seconds: number): string {
  return seconds < 9.95 ? `${Math.max(0, seconds).toFixed(1)} s` : elapsed(Math.round(seconds));
}

/** Where it stands in the line, as a headline. */
export function place(ahead: number): string {
  return ahead === 0 ? "You are next" : `You are ${ordinal(ahead + 1)} in line`;
}

/** What there is to say of the place. `stuck`: see isStuck; `inMemory`: whether the servers hold any model. */
export function outlook(line: Line, stuck: boolean, inMemory: boolean): string {
  if (stuck && line.due === null && !inMemory)
    return "The server takes no requests at the moment. Your question keeps its place for now.";
  if (stuck && line.ahead === 0) return "Your question begins as soon as the server takes the next one.";
  if (line.grew) return "Somebody with a higher priority has come and goes first, so your place moved back.";
  if (line.aged) return "You have waited so long that you move up.";
  if (line.ahead === 0) return "The model begins with you as soon as there is room.";
  return "Others with a higher priority go first, so this number can also grow.";
}

/** What a screen reader is told of a turn; null when it is no news. */
export function spoken(turn: Turn): string | null {
  switch (turn.phase) {
    case "queued":
      if (turn.line === null) return null;
      return turn.line.ahead === 0 ? "In line, next" : `In line, ${turn.line.ahead} ahead`;
    case "started":
      return turn.loading ? `Loading ${turn.model}` : null;
    case "thinking":
      return "Thinking";
    case "answering":
      return "Answering";
    case "ended":
      if (turn.ending === null) return null;
      if (turn.ending.outcome === "stopped" && turn.line !== null) return "Left the line";
      return { completed: "Answer ready", stopped: "Stopped", failed: "The answer failed" }[turn.ending.outcome];
    default:
      return null;
  }
}

export interface Fact {
  name: string;
  value: string;
}

const number = new Intl.NumberFormat("en");

/** What is known of how an answer came about. */
export function facts(message: Message, usage: Usage | null): Fact[] {
  const rate = usage?.tokens_per_second ?? null;
  const duration = usage?.duration ?? message.duration;
  const known: [string, string | null][] = [
    ["Model", message.model],
    ["Tokens read", message.input_tokens === null ? null : number.format(message.input_tokens)],
    ["Tokens written", message.output_tokens === null ? null : number.format(message.output_tokens)],
    ["Speed", rate === null ? null : `${rate >= 10 ? Math.round(rate) : rate.toFixed(1)} tokens/s`],
    ["Waited in line", typeof usage?.waited === "number" ? took(usage.waited) : null],
    ["First word after", typeof usage?.first_token === "number" ? took(usage.first_token) : null],
    ["Duration", duration === null ? null : took(duration)],
    ["Time", new Date(message.created_at).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })],
  ];
  return known.flatMap(([name, value]) => (value === null ? [] : [{ name, value }]));
}
