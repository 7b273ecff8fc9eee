/** Which addresses an answer may lead to, and whether a link says where it leads. */

const ALLOWED = new Set(["http:", "https:", "mailto:"]);

/** The address in its plain form, or null when it may not be followed. No relative addresses: they mean nothing here. */
export function allowedUrl(url: string): string | null {
  if (!/^(?:https?:\/\/|mailto:)/i.test(url)) return null;
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (!parsed || !ALLOWED.has(parsed.protocol)) return null;
  if (parsed.protocol !== "mailto:" && parsed.hostname === "") return null;
  return parsed.href;
}

/** Where the address leads: the host (international names in their ASCII form), or the address of a mailbox. */
export function hostOf(url: string): string {
  const parsed = new URL(url);
  return parsed.protocol === "mailto:" ? parsed.pathname : parsed.host;
}

const bare = (host: string): string =>
  host
    .toLowerCase()
    .replace(/^www\./, "")
    .replace(/\.$/, "");

/** Hosts that the text of a link seems to name; international names in their ASCII form. */
function hostsIn(text: string): string[] {
  // Dots that only look like dots are dots for the eye.
  const plain = text.normalize("NFKC").replace(/[\u2024\u3002\uff0e\uff61]/g, ".");
  const found = plain.slice(0, 2_000).match(/(?:[\p{L}\p{N}\p{M}_-]{1,63}\.){1,10}[\p{L}\p{N}\p{M}-]{2,63}/gu) ?? [];
  return found.map((host) =>
    URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : host.toLowerCase(),
  );
}

/** Whether the text of a link looks like another place than the one where the link leads. */
export function misleads(text: string, url: string): boolean {
  if (/^https?:\/\/\S+$/i.test(text.trim()) && URL.canParse(text.trim())) {
    const named = new URL(text.trim());
    // A name before "@" is read as the host.
    return bare(named.host) !== bare(new URL(url).host) || named.username !== "";
  }
  const host = bare(
    new URL(url).protocol === "mailto:" ? (hostOf(url).split("@").at(-1) ?? "") : new URL(url).hostname,
  );
  if (/\s*(?:https?|ftp|mailto)\s*:/i.test(text) && hostsIn(text).length === 0) return true;
  return hostsIn(text).some((named) => bare(named) !== host);
}
