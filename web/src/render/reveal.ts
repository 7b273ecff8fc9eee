/**
 * Characters that cannot be seen, or that change the order of what is seen, made visible.
 *
 * "Trojan source": a text that reads one way and means another. In code and in links every such character shows; in
 * prose only those that no honest text needs, because right-to-left languages and emoji need the others.
 */

const SUSPECT = /[\p{Cc}\p{Cf}\p{Cs}\u115f\u1160\u17b4\u17b5\u3164\uffa0]|\u034f/gu;
const ANY = new RegExp(SUSPECT.source, "u");
const BIDI = /[\u202a-\u202e\u2066-\u2069]/g;

const name = (code: number): string => `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;

function shown(character: string): string | null {
  const code = character.codePointAt(0) ?? 0;
  if (code === 9 || code === 10 || code === 13) return character;
  if (code < 32) return String.fromCodePoint(0x2400 + code);
  if (code === 127) return "\u2421";
  if (code >= 0xd800 && code <= 0xdfff) return "\ufffd";
  return null;
}

// Joiners are part of emoji and of the writing of many languages, so they show only among Latin letters and signs.
const isJoiner = (code: number): boolean => code === 0x200c || code === 0x200d;
const isTag = (code: number): boolean => code >= 0xe0000 && code <= 0xe007f;

/** For code and for the text of links. */
export function revealAll(text: string): string {
  if (!ANY.test(text)) return text;
  return text.replace(SUSPECT, (character, at: number) => {
    const code = character.codePointAt(0) ?? 0;
    if (isJoiner(code) && text.charCodeAt(at - 1) > 0x2ff) return character;
    return shown(character) ?? name(code);
  });
}

/** For prose: control characters, overrides of the direction, and tags, which hide text. */
export function revealHidden(text: string): string {
  if (!ANY.test(text)) return text;
  // Flags of some countries are a black flag and tags.
  const flags = /\u{1f3f4}[\u{e0020}-\u{e007f}]+/gu;
  const kept = [...text.matchAll(flags)].map((found) => [found.index, found.index + found[0].length] as const);
  return text.replace(SUSPECT, (character, at: number) => {
    const code = character.codePointAt(0) ?? 0;
    const simple = shown(character);
    if (simple !== null) return simple;
    const hides = code === 0x202d || code === 0x202e || (isTag(code) && !kept.some(([a, b]) => at >= a && at < b));
    return hides || (code >= 0x80 && code < 0xa0) ? name(code) : character;
  });
}

/** What Copy gives: as it was written, but without the characters that change the order in which it is read. */
export const withoutOverrides = (text: string): string => text.replace(BIDI, "");
