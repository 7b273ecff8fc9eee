import type { Model } from "../api/types";

/** Names are compared as Ollama does: without a tag, `latest` is meant. */
export function isSame(one: string, other: string): boolean {
  return tagged(one) === tagged(other);
}

function tagged(name: string): string {
  const last = name.slice(name.lastIndexOf("/") + 1);
  return (last.includes(":") ? name : `${name}:latest`).toLowerCase();
}

export function modelOf(models: readonly Model[], name: string | null): Model | null {
  if (name === null) return null;
  return models.find((model) => isSame(model.name, name)) ?? null;
}

/** What a new chat begins with: the one that was used last, else one that is in memory, else the first. */
export function preferred(models: readonly Model[], last: string | null): string | null {
  const ordered = inOrder(models);
  return (modelOf(models, last) ?? ordered[0])?.name ?? null;
}

/** Those in memory first: they answer at once. */
export function inOrder(models: readonly Model[]): Model[] {
  return [...models].sort(
    (one, other) =>
      Number(other.loaded) - Number(one.loaded) || one.name.localeCompare(other.name, "en", { numeric: true }),
  );
}

/** Those in which every word of `typed` is found: in the name, or in what is said of it. */
export function filtered(models: readonly Model[], typed: string): Model[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  return models.filter((model) => {
    const text = [model.name, ...details(model), ...abilities(model)].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** 131072 → "128k". */
export function shortCount(tokens: number): string {
  if (tokens < 1024) return String(tokens);
  const [size, unit] = tokens < 1024 * 1024 ? [1024, "k"] : [1024 * 1024, "M"];
  const count = tokens / size;
  return `${count < 10 ? Number(count.toFixed(1)) : Math.round(count)}${unit}`;
}

export function stateOf(model: Model): string {
  return model.loaded ? "in memory" : "has to be loaded first";
}

export function abilities(model: Model): string[] {
  return [model.vision ? "vision" : "", model.thinking ? "reasoning" : ""].filter(Boolean);
}

/** What is known of it: parameters, quantization, context. */
export function details({ parameters, quantization, context_length: most, window }: Model): string[] {
  const sizes = [...new Set([window, most].filter((size) => size !== null))].map(shortCount);
  const context = sizes.length > 0 ? `${sizes.join(" of ")} context` : "";
  return [parameters ?? "", quantization ?? "", context].filter(Boolean);
}
