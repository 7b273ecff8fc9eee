import type { Parameters } from "../api/types";
import {
  bounded,
  checkNumber,
  checkStops,
  checkSystem,
  NUMBER_FIELDS,
  type NumberField,
  type NumberName,
  stopsAsText,
} from "./parameters";

/** How a model is to answer in a chat. */
export interface Options {
  system: string | null;
  parameters: Parameters;
}

export type Think = "auto" | "on" | "off";

/** The options as they are being typed. */
export interface Draft {
  system: string;
  numbers: Record<NumberName, string>;
  stops: string;
  think: Think;
}

export interface Review {
  /** null while something is wrong. */
  value: Options | null;
  errors: { system: string | null; numbers: Record<NumberName, string | null>; stops: string | null };
}

function eachNumber<T>(of: (field: NumberField) => T): Record<NumberName, T> {
  return Object.fromEntries(NUMBER_FIELDS.map((field) => [field.name, of(field)])) as Record<NumberName, T>;
}

export function draftOf({ system, parameters }: Options): Draft {
  const { think } = parameters;
  return {
    system: system ?? "",
    numbers: eachNumber(({ name }) => parameters[name]?.toString() ?? ""),
    stops: stopsAsText(parameters.stop),
    think: think === true ? "on" : think === false ? "off" : "auto",
  };
}

export const EMPTY = draftOf({ system: null, parameters: {} });

export function isSameDraft(one: Draft, other: Draft): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** What the draft means, and what is wrong with it. `contextLength` bounds the context. */
export function review(draft: Draft, contextLength: number | null): Review {
  const system = checkSystem(draft.system);
  const stops = checkStops(draft.stops);
  const numbers = eachNumber((field) => checkNumber(bounded(field, contextLength), draft.numbers[field.name]));
  const errors = { system: system.error, numbers: eachNumber(({ name }) => numbers[name].error), stops: stops.error };
  const isWrong = errors.system ?? errors.stops ?? Object.values(errors.numbers).find((error) => error !== null);
  if (isWrong) return { value: null, errors };
  const parameters: Parameters = {};
  for (const { name } of NUMBER_FIELDS) {
    const { value } = numbers[name];
    if (value !== null) parameters[name] = value;
  }
  if (stops.value) parameters.stop = stops.value;
  if (draft.think !== "auto") parameters.think = draft.think === "on";
  return { value: { system: system.value, parameters }, errors };
}
