import type { Parameters } from "../api/types";

/** The bounds are those of the daemon (`llmgate/schemas/conversations.py`). */
export const LONGEST_SYSTEM = 20_000;
export const MOST_STOPS = 8;
export const LONGEST_STOP = 100;
const MOST_TOKENS = 10_000_000;

export type NumberName = "temperature" | "top_p" | "top_k" | "repeat_penalty" | "seed" | "num_predict" | "num_ctx";

export interface NumberField {
  name: NumberName;
  label: string;
  about: string;
  least: number;
  most: number;
  whole: boolean;
}

export const NUMBER_FIELDS: readonly NumberField[] = [
  {
    name: "temperature",
    label: "Temperature",
    about: "How freely words are chosen: 0 takes the likeliest, above 1 gets wild.",
    least: 0,
    most: 5,
    whole: false,
  },
  {
    name: "top_p",
    label: "Top P",
    about: "Only the likeliest words that together have this share, 0 to 1.",
    least: 0,
    most: 1,
    whole: false,
  },
  {
    name: "top_k",
    label: "Top K",
    about: "Only this many of the likeliest words.",
    least: 0,
    most: 10_000,
    whole: true,
  },
  {
    name: "repeat_penalty",
    label: "Repeat penalty",
    about: "Above 1 discourages repetition.",
    least: 0,
    most: 5,
    whole: false,
  },
  {
    name: "seed",
    label: "Seed",
    about: "The same seed and question give the same answer, where the model can.",
    least: 0,
    most: 2 ** 31 - 1,
    whole: true,
  },
  {
    name: "num_predict",
    label: "Longest answer",
    about: "At most this many tokens.",
    least: 1,
    most: MOST_TOKENS,
    whole: true,
  },
  {
    name: "num_ctx",
    label: "Context length",
    about: "How many tokens of the conversation the model sees. More takes more memory.",
    least: 256,
    most: MOST_TOKENS,
    whole: true,
  },
];

export type Checked<T> = { value: T; error: null } | { value: null; error: string };

function count(most: number): string {
  return most.toLocaleString("en");
}

/** What was typed as the field's value; nothing typed is the model's default (null). */
export function checkNumber(field: NumberField, text: string): Checked<number | null> {
  const typed = text.trim();
  if (typed === "") return { value: null, error: null };
  // Half of the world writes 0,7.
  const plain = field.whole ? typed : typed.replace(",", ".");
  const value = /^[+-]?(\d+\.?\d*|\.\d+)$/.test(plain) ? Number(plain) : Number.NaN;
  if (Number.isNaN(value)) return { value: null, error: "This is not a number." };
  if (field.whole && !Number.isInteger(value)) return { value: null, error: "This has to be a whole number." };
  if (value < field.least || value > field.most) {
    return { value: null, error: `Between ${count(field.least)} and ${count(field.most)}, please.` };
  }
  return { value, error: null };
}

/** The field as it is with a model whose window has `contextLength` tokens (null: not known). */
export function bounded(field: NumberField, contextLength: number | null): NumberField {
  if (field.name !== "num_ctx" || contextLength === null) return field;
  const most = Math.max(field.least, Math.min(field.most, contextLength));
  return { ...field, most, about: `${field.about} This model: up to ${count(most)}.` };
}

const ESCAPES: Record<string, string> = { n: "\n", t: "\t", r: "\r", "\\": "\\" };

/** Stop strings, one a line; `\n`, `\t` and `\\` stand for what cannot be typed into a line. */
export function checkStops(text: string): Checked<string[] | null> {
  const lines = text.split("\n").filter((line) => line !== "");
  const stops = [...new Set(lines.map(unescaped))];
  if (stops.length === 0) return { value: null, error: null };
  if (stops.length > MOST_STOPS) return { value: null, error: `At most ${MOST_STOPS} of them, please.` };
  if (stops.some((stop) => [...stop].length > LONGEST_STOP)) {
    return { value: null, error: `At most ${LONGEST_STOP} characters each, please.` };
  }
  return { value: stops, error: null };
}

function unescaped(line: string): string {
  return line.replace(/\\([ntr\\])/g, (_, letter: string) => ESCAPES[letter] ?? letter);
}

export function stopsAsText(stops: readonly string[] | null | undefined): string {
  const names: Record<string, string> = { "\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\" };
  return (stops ?? []).map((stop) => stop.replace(/[\n\t\r\\]/g, (letter) => names[letter] ?? letter)).join("\n");
}

/** The system prompt; nothing but blanks is none. */
export function checkSystem(text: string): Checked<string | null> {
  const length = [...text].length;
  if (length > LONGEST_SYSTEM) {
    return { value: null, error: `${count(length)} characters; at most ${count(LONGEST_SYSTEM)} fit.` };
  }
  return { value: text.trim() === "" ? null : text, error: null };
}

/** How many things are not as the model has them: what the button of the dialog can show. */
export function changed(value: { system: string | null; parameters: Parameters }): number {
  const set = Object.values(value.parameters).filter((one) => one !== null && one !== undefined);
  return set.length + (value.system ? 1 : 0);
}
