import { open } from "../api/http";

export type ExportFormat = "markdown" | "json";

/** The name that the daemon gave the file (RFC 6266), made safe; null when it gave none. */
export function fileName(disposition: string | null): string | null {
  if (!disposition) return null;
  const extended = /filename\*\s*=\s*UTF-8''([^;\s]+)/i.exec(disposition)?.[1];
  const plain = /filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))/i.exec(disposition);
  const name = decoded(extended) ?? plain?.[1]?.replace(/\\(.)/g, "$1") ?? plain?.[2];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be in a file's name
  return name?.replace(/[\u0000-\u001f/\\:*?"<>|]/g, "_") || null;
}

function decoded(text: string | undefined): string | null {
  if (text === undefined) return null;
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** Has the browser save what is at `path`. Not as a link: a session that has ended would be saved as the file. */
async function save(path: string, fallback: string, query: Record<string, string> = {}): Promise<void> {
  const response = await open("GET", path, { query });
  // The daemon sends it while it reads it; only a failure in between tells that it is not whole.
  const content = await response.blob().catch(() => {
    throw new Error("The file did not come to its end. Try again.");
  });
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = fileName(response.headers.get("content-disposition")) ?? fallback;
  link.click();
  // The browser reads it after the click.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Throws Problem. */
export function saveConversation(id: string, format: ExportFormat): Promise<void> {
  const fallback = `conversation-${id}.${format === "json" ? "json" : "md"}`;
  return save(`gate/conversations/${id}/export`, fallback, { format });
}

/** All that is kept, as JSON. Throws Problem. */
export function saveEverything(): Promise<void> {
  return save("gate/conversations/export", "conversations.json");
}
