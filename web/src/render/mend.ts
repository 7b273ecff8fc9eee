/**
 * Makes the end of a text that is still being written look like what it will most likely become: marks that are open
 * are closed, half links show their text, and a line that could become anything waits until it is clear.
 */

/** Characters at the end that are looked at; what is open longer stays as it is. */
const MAX_TAIL = 4_000;

/** For the last block, while it streams. What is shown later may differ; what is kept never passes here. */
export function mend(text: string): string {
  const clear = withoutUnclearLine(text);
  const begin = tailStart(clear);
  if (clear.length - begin > MAX_TAIL) return clear;
  return withTable(clear.slice(0, begin) + closed(clear.slice(begin)));
}

/** A fence, heading, rule, underline or list item that has only just begun: a letter more decides what it is. */
const UNCLEAR =
  /(?:^|\n)[ \t>]*(?:`{1,2}|`{3,}[^`\n]*|~{1,2}|~{3,}[^\n]*|[-=_*+][-=_*+ \t]*|#{1,6}|\\\[?|\$\$?)[ \t]*$/;

const withoutUnclearLine = (text: string): string => text.replace(UNCLEAR, "");

/** Where the last paragraph, item, heading, row or quote begins; emphasis does not reach beyond. */
function tailStart(text: string): number {
  let start = Math.max(0, text.lastIndexOf("\n\n") + 1);
  const begins = /^[ \t>]*(?:[-+*][ \t]+|\d{1,9}[.)][ \t]+|#{1,6}[ \t]+|\|)/gm;
  begins.lastIndex = start;
  for (let found = begins.exec(text); found; found = begins.exec(text)) start = found.index + found[0].length;
  return start;
}

const isWord = (character: string): boolean => /[\p{L}\p{N}]/u.test(character);

interface Open {
  mark: string;
  at: number;
}

/** Reads one run of `*`, `_` or `~`: it closes what is open, or opens. */
function readRun(tail: string, at: number, mark: string, open: Open[]): void {
  const before = tail[at - 1] ?? " ";
  const after = tail[at + mark.length] ?? "";
  const same = open.findLastIndex((one) => one.mark === mark);
  const closes = /\S/.test(before) && (mark[0] !== "_" || !isWord(after));
  if (same >= 0 && closes) open.splice(same);
  else if (/\S/.test(after || "x") && (mark[0] !== "_" || !isWord(before))) open.push({ mark, at });
}

function openMarks(tail: string): { open: Open[]; code: Open | null } {
  const open: Open[] = [];
  let code: Open | null = null;
  const marks = /\\[\s\S]|`+|\*{1,3}|_{1,3}|~~/g;
  for (let found = marks.exec(tail); found; found = marks.exec(tail)) {
    const mark = found[0];
    if (code) {
      // In code a backslash is nothing special.
      if (mark.startsWith("\\")) marks.lastIndex = found.index + 1;
      else if (mark === code.mark) code = null;
    } else if (mark.startsWith("`")) {
      code = { mark, at: found.index };
    } else if (!mark.startsWith("\\")) {
      readRun(tail, found.index, mark, open);
    }
  }
  return { open, code };
}

function closed(tail: string): string {
  const { open, code } = openMarks(tail);
  let text = code ? tail : tail.replace(/!?\[([^[\]\n]*)\]\((?:[^()\n]|\([^()\n]*\))*$/, "$1");
  if (code) {
    // Only the marks so far: nothing to show.
    text = code.at + code.mark.length === text.length ? text.slice(0, code.at) : text + code.mark;
  }
  for (const { mark, at } of open.toReversed()) {
    if (at + mark.length >= text.length) {
      text = text.slice(0, at);
      continue;
    }
    // Half of the closing marks may have come.
    const half = mark.length > 1 && text.endsWith(mark[0] ?? "") && !text.endsWith(mark) ? 1 : 0;
    text = text.slice(0, text.length - half).trimEnd() + mark;
  }
  return text;
}

/** A table is one from its second line on; until that has come, it is supplied. */
function withTable(text: string): string {
  const found = /(?:^|\n\n)(\|[^\n]*[^\n|\s][^\n]*)(?:\n[|:\- \t]*)?$/.exec(text);
  if (!found?.[1]) return text;
  const head = found[1].trimEnd().replace(/(?<!\\)\|$/, "");
  const cells = head.match(/(?<!\\)\|/g)?.length ?? 1;
  const begin = text.slice(0, found.index) + (found[0].startsWith("\n\n") ? "\n\n" : "");
  return `${begin}${head}|\n${"|---".repeat(cells)}|`;
}
