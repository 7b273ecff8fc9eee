/**
 * Bounds on the work that a text may cause. Markdown takes time that grows with the square of some signs, and depth
 * that grows with others; an honest answer is far below these bounds. What is beyond them is shown as plain text.
 */

/** Characters of one block; whole answers with footnotes are one block. */
const MAX_LENGTH = 100_000;
/** Runs of emphasis marks in one paragraph, row or item, and in one block. */
const MAX_RUNS_NEARBY = 400;
const MAX_RUNS = 2_000;
const MAX_CELLS = 5_000;
const MAX_TAGS = 1_000;
const MAX_MARKS = 6_000;
/** Quotes and lists that begin on one line. */
const MAX_CONTAINERS = 24;
/** Elements within elements; deeper ones are shown as their source. */
export const MAX_DEPTH = 100;

const count = (text: string, pattern: RegExp): number => {
  let found = 0;
  for (const _ of text.matchAll(pattern)) found += 1;
  return found;
};

const containers = (line: string): number => {
  const prefix = /^(?:[ \t]*(?:>|[-+*](?=[ \t]|$)|\d{1,9}[.)](?=[ \t]|$)))+/.exec(line)?.[0] ?? "";
  return prefix === "" ? 0 : count(prefix, />|[-+*]|\d[.)]/g);
};

/** Whether a block is simple enough to be taken for Markdown. */
export function isAffordable(text: string): boolean {
  if (text.length > MAX_LENGTH) return false;
  // Most blocks are so short that no bound can be reached.
  if (text.length < MAX_CONTAINERS) return true;
  let nearby = 0;
  let runs = 0;
  for (const line of text.split("\n")) {
    if (/^[ \t]*(?:$|[-+*|>#]|\d)/.test(line)) nearby = 0;
    const own = count(line, /[*_~]+/g);
    nearby += own;
    runs += own;
    if (nearby > MAX_RUNS_NEARBY || runs > MAX_RUNS) return false;
    // So deep an indent would be a list of a hundred levels.
    if (/^[ \t]{200}/.test(line) || containers(line) > MAX_CONTAINERS) return false;
  }
  if (count(text, /\|/g) > MAX_CELLS || count(text, /</g) > MAX_TAGS) return false;
  return count(text, /[[\]`<>@$\\&]/g) <= MAX_MARKS;
}
