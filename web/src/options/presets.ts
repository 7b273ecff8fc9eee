/** System prompts that a user has saved, in this browser. */

export interface Preset {
  name: string;
  text: string;
}

export const MOST_PRESETS = 50;
export const LONGEST_NAME = 60;

/** A browser can have several users; they need not read each other's prompts. */
function keyOf(user: string | null): string {
  return `llmgate.presets.${user ?? "anyone"}`;
}

function isPreset(one: unknown): one is Preset {
  if (typeof one !== "object" || one === null) return false;
  const { name, text } = one as Partial<Record<keyof Preset, unknown>>;
  return typeof name === "string" && name !== "" && typeof text === "string";
}

/** By name. What is damaged is left out. */
export function presetsOf(user: string | null): Preset[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(keyOf(user)) ?? "[]");
    return Array.isArray(stored) ? stored.filter(isPreset).slice(0, MOST_PRESETS) : [];
  } catch {
    return [];
  }
}

/** Saves under its name, over one that has it already. False when the browser has no room or leave for it. */
export function savePreset(user: string | null, preset: Preset): boolean {
  const others = presetsOf(user).filter((one) => one.name !== preset.name);
  if (others.length >= MOST_PRESETS) return false;
  return write(user, [...others, preset]);
}

export function removePreset(user: string | null, name: string): boolean {
  return write(
    user,
    presetsOf(user).filter((one) => one.name !== name),
  );
}

function write(user: string | null, presets: Preset[]): boolean {
  const sorted = [...presets].sort((one, other) => one.name.localeCompare(other.name));
  try {
    localStorage.setItem(keyOf(user), JSON.stringify(sorted.map(({ name, text }) => ({ name, text }))));
    return true;
  } catch {
    return false;
  }
}
