/** Long tables, cut into pieces, so that while one streams only its last rows are parsed again. */

/** Characters; a shorter table is not worth it. */
const LONG = 1_500;
const ROWS = 15;

const DELIMITER = /^\|(?:[ \t]*:?-+:?[ \t]*\|)*[ \t]*:?-+:?[ \t]*\|?[ \t]*$/;

const cellsIn = (row: string): number =>
  row
    .trim()
    .replace(/\|$/, "")
    .match(/(?<!\\)\|/g)?.length ?? 0;

/**
 * The table in pieces, each a table with the same head; null when the text is not a long table and nothing else. Only
 * the last piece changes when rows are added.
 */
export function tablePieces(text: string): string[] | null {
  if (text.length < LONG || !text.startsWith("|")) return null;
  const [head = "", delimiter = "", ...rows] = text.trimEnd().split("\n");
  if (!DELIMITER.test(delimiter) || cellsIn(head) !== cellsIn(delimiter)) return null;
  // A line that begins so can be nothing but a row.
  if (rows.length <= ROWS || !rows.every((row) => row.startsWith("|"))) return null;
  const pieces: string[] = [];
  for (let at = 0; at < rows.length; at += ROWS) {
    pieces.push([head, delimiter, ...rows.slice(at, at + ROWS)].join("\n"));
  }
  return pieces;
}
