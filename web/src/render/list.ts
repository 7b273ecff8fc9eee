/** Long lists, cut into pieces, so that while one streams only its last items are parsed again. */
import { contentOffset, indentOf, isBlank, isRule } from "./lines";

/** Characters; a shorter list is not worth it. */
const LONG = 1_500;
const ITEMS = 8;

const markOf = (line: string): string => /^(?:[-+*]|\d{1,9}([.)]))/.exec(line)?.[1] ?? line.charAt(0);

/**
 * The list in pieces, each a list of its own; null when the text is not a long list and nothing else, or when its
 * pieces would not look like the whole. Only the last pieces change when items are added.
 */
export function listPieces(text: string): string[] | null {
  if (text.length < LONG) return null;
  const items = itemsOf(text.trimEnd());
  if (!items || items.length <= ITEMS) return null;
  // Whether there is space between items is a matter of the whole list: all of them have to agree.
  const spaced = items.slice(0, -1).filter((item) => item.endsWith("\n\n")).length;
  if (spaced > 0 ? spaced < items.length - 1 : /\n[ \t]*\n/.test(text.trimEnd())) return null;
  const pieces: string[] = [];
  for (let at = 0; at < items.length; at += ITEMS) pieces.push(items.slice(at, at + ITEMS).join(""));
  // One item alone has no space between.
  if (spaced > 0 && items.length % ITEMS === 1) pieces.push((pieces.splice(-2, 1)[0] ?? "") + (pieces.pop() ?? ""));
  return pieces;
}

/** The items at the top, each with all that is in it; null when there is anything else. */
function itemsOf(text: string): string[] | null {
  const items: string[][] = [];
  const mark = markOf(text);
  let offset = 0;
  for (const line of text.split("\n")) {
    const own = /^ /.test(line) || isRule(line) ? 0 : contentOffset(line);
    if (own > 0 && own < line.length && markOf(line) === mark) {
      offset = own;
      items.push([line]);
    } else if (items.length > 0 && (isBlank(line) || (own === 0 && indentOf(line) >= offset))) {
      items.at(-1)?.push(isBlank(line) ? "" : line);
    } else {
      return null;
    }
  }
  return items.map((lines) => `${lines.join("\n")}\n`);
}
