import type { ServerFrame } from "../api/types";

/** No frame of the daemon is longer: an answer and its reasoning are far below. */
export const LONGEST_FRAME = 32 * 1024 * 1024;

/** Cuts a stream of text into its lines. */
export class Lines {
  private rest = "";

  /** The lines that `text` completes, without the empty ones (they only keep the stream open). Throws RangeError when a
   * line does not end. */
  push(text: string): string[] {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop() ?? "";
    if (this.rest.length > LONGEST_FRAME) throw new RangeError("a line of the stream is too long");
    return lines.filter((line) => line.trim() !== "");
  }
}

/** What was sent, or null when it is none of ours (a proxy has put something of its own in). */
export function frameOf(text: string): ServerFrame | null {
  if (text.length > LONGEST_FRAME) return null;
  try {
    const value: unknown = JSON.parse(text);
    const isFrame = typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
    return isFrame ? (value as ServerFrame) : null;
  } catch {
    return null;
  }
}

/** Hands each line of `body` to `take`, until it ends. `alive` is called whenever anything comes. */
export async function readLines(
  body: ReadableStream<Uint8Array>,
  take: (line: string) => void,
  alive: () => void,
): Promise<void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const lines = new Lines();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      for (const line of lines.push(decoder.decode(value, { stream: true }))) take(line);
    }
  } finally {
    // Without this the request would go on when `take` has thrown.
    await reader.cancel().catch(() => undefined);
  }
}
