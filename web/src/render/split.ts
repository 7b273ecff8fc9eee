/**
 * Splits an answer into blocks, so that while it streams only the last block is parsed and drawn again.
 *
 * A boundary is set only where CommonMark is sure to begin a block of its own, whatever comes later: not splitting is
 * always right and only slower. Works line by line and goes on where it stopped; what is behind it never changes:
 * `split(advance(advance(START, "ab"), "abcd"))` equals `split(advance(START, "abcd"))`.
 */
import { contentOffset, decided, type Fence, fenceOf, indentOf, isBlank, isHeading, isRule } from "./lines";
import { isMath, MAX_MATH } from "./math-syntax";

export type Block = { start: number; text: string; closed: boolean } & (
  | { kind: "markdown" }
  | { kind: "fence"; info: string; code: string }
  | { kind: "math"; tex: string }
);

type Mode =
  | { in: "flow" }
  /** offset: columns from which on a line belongs to the item; unsure: the list may have ended without a blank line. */
  | { in: "list"; offset: number; unsure: boolean }
  | { in: "fence"; fence: Fence; lines: number }
  | { in: "math"; closer: "$$" | "\\]"; first: boolean };

export interface State {
  blocks: readonly Block[];
  /** Where the open block begins, and how far whole lines have been read. */
  start: number;
  read: number;
  mode: Mode;
  blank: boolean;
  /** No more boundaries can be told for certain. */
  stuck: boolean;
}

const FLOW: Mode = { in: "flow" };
export const START: State = { blocks: [], start: 0, read: 0, mode: FLOW, blank: true, stuck: false };

/** Reads the whole lines of `text` that `state` has not read yet. `text` begins with what it has read. */
export function advance(state: State, text: string): State {
  const next = new Walk(state, text);
  for (let end = text.indexOf("\n", next.read); end >= 0; end = text.indexOf("\n", next.read)) {
    next.line(text.slice(next.read, end), end + 1);
  }
  return next.state();
}

/** The blocks of `text`, whose whole lines `state` has read; the last is closed only when nothing can change it. */
export function split(state: State, text: string): Block[] {
  const rest = text.slice(state.read);
  const walk = new Walk(state, text);
  if (rest !== "" && decided(rest)) walk.boundary(rest);
  const open = walk.open(text.length, false);
  return open ? [...walk.blocks, open] : [...walk.blocks];
}

/** One run over new lines; changes only itself, never the state that it began with. */
class Walk {
  blocks: Block[];
  start: number;
  read: number;
  private mode: Mode;
  private blank: boolean;
  private stuck: boolean;

  constructor(
    state: State,
    private readonly text: string,
  ) {
    this.blocks = [...state.blocks];
    this.start = state.start;
    this.read = state.read;
    this.mode = state.mode;
    this.blank = state.blank;
    this.stuck = state.stuck;
  }

  state(): State {
    const { blocks, start, read, mode, blank, stuck } = this;
    return { blocks, start, read, mode, blank, stuck };
  }

  line(line: string, end: number): void {
    if (this.mode.in === "fence") this.inFence(line, end, this.mode);
    else if (this.mode.in === "math") this.inMath(line, end, this.mode);
    else this.inText(line, end);
    this.read = end;
  }

  /** Ends the open block before the line that begins at `read`, when that line is sure to begin another. */
  boundary(line: string): void {
    if (this.stuck || this.mode.in === "fence" || this.mode.in === "math" || this.start === this.read) return;
    const isItem = this.mode.in === "list" && contentOffset(line) > 0 && !isRule(line);
    const afterBlank = this.blank && !/^[ \t]/.test(line) && !isItem;
    if (afterBlank || isHeading(line)) this.close(this.read);
  }

  private inText(line: string, end: number): void {
    if (isBlank(line)) {
      this.blank = true;
      return;
    }
    this.boundary(line);
    const indent = indentOf(line);
    const nested = this.mode.in === "list" && indent >= this.mode.offset;
    const fence = fenceOf(line);
    const math = /^ {0,3}(?:\$\$(?!\$)|\\\[)/.test(line);
    if (fence || math) {
      // Whether this belongs to the item depends on whether the list still goes on, which nobody can tell from here.
      if (nested && this.mode.in === "list" && this.mode.unsure) this.stuck = true;
      if (!nested && !this.stuck) {
        if (fence) this.beginFence(fence);
        else this.beginMath(line, end);
        return;
      }
    }
    if (!nested) this.mode = this.modeAfter(line, indent);
    this.blank = false;
    if (isHeading(line) && !this.stuck) this.close(end);
  }

  /** What goes on behind a line that is not inside an item of a list. */
  private modeAfter(line: string, indent: number): Mode {
    const offset = indent < 4 && !isRule(line) ? contentOffset(line) : 0;
    if (offset > 0) {
      // Only "1." and an item with text may interrupt a paragraph.
      const interrupts = this.blank || /^ {0,3}(?:[-+*]|1[.)])[ \t]+\S/.test(line);
      const empty = isBlank(line.slice(offset - 1));
      const unsure = empty || (!interrupts && (this.mode.in !== "list" || this.mode.unsure));
      return { in: "list", offset, unsure };
    }
    if (this.mode.in !== "list") return FLOW;
    if (isRule(line) || (indent < 4 && /^ *#/.test(line) && isHeading(line.trimStart()))) return FLOW;
    return this.blank && indent === 0 ? FLOW : { ...this.mode, unsure: true };
  }

  private beginFence(fence: Fence): void {
    this.close(this.read);
    this.mode = { in: "fence", fence, lines: 0 };
    this.blank = false;
  }

  private inFence(line: string, end: number, mode: Mode & { in: "fence" }): void {
    const { mark, size } = mode.fence;
    const closing = /^ {0,3}(`{3,}|~{3,})[ \t]*$/.exec(line)?.[1];
    if (closing?.startsWith(mark) && closing.length >= size) this.close(end);
  }

  private beginMath(line: string, end: number): void {
    this.close(this.read);
    this.mode = { in: "math", closer: line.trimStart().startsWith("$$") ? "$$" : "\\]", first: true };
    this.blank = false;
    this.inMath(line, end, this.mode);
  }

  /** Math ends with its closing marks at the end of a line. A blank line, or text behind the marks: it was none. */
  private inMath(line: string, end: number, mode: Mode & { in: "math" }): void {
    const rest = mode.first ? line.trimStart().slice(2) : line;
    const at = closerIn(rest, mode.closer);
    const inside = this.text.slice(this.start, this.read) + line;
    if (
      at >= 0 &&
      isBlank(rest.slice(at + 2)) &&
      isMath(mode.closer === "$$" ? "$$" : "\\[", texOf(inside, true), "")
    ) {
      this.close(end);
    } else if (at >= 0 || isBlank(line) || inside.length > MAX_MATH) {
      this.mode = FLOW;
      this.blank = isBlank(line);
    } else {
      this.mode = { ...mode, first: false };
    }
  }

  private close(end: number): void {
    const block = this.open(end, true);
    if (block) this.blocks.push(block);
    this.start = end;
    this.mode = FLOW;
    this.blank = true;
  }

  /** The block from `start` to `end`; none when there is only white space. */
  open(end: number, closed: boolean): Block | null {
    const text = this.text.slice(this.start, end);
    if (text.trim() === "") return null;
    const block = { start: this.start, text, closed };
    if (this.mode.in === "fence") return { ...block, kind: "fence", ...fenceParts(text, this.mode.fence, closed) };
    if (this.mode.in === "math") return { ...block, kind: "math", tex: texOf(text, closed) };
    return { ...block, kind: "markdown" };
  }
}

function closerIn(line: string, closer: string): number {
  const found = (closer === "$$" ? /(?<!\\)(?:\\\\)*\$\$/ : /(?<!\\)(?:\\\\)*\\\]/).exec(line);
  return found ? found.index + found[0].length - 2 : -1;
}

const texOf = (text: string, closed: boolean): string =>
  text
    .trim()
    .slice(2, closed ? -2 : undefined)
    .trim();

/** The code of a fence: without its first line, its last when closed, and the indent that the fence itself has. */
function fenceParts(text: string, fence: Fence, closed: boolean): { info: string; code: string } {
  const lines = text.split("\n");
  if (closed) lines.splice(text.endsWith("\n") ? -2 : -1, 2);
  const strip = new RegExp(`^ {0,${fence.indent}}`);
  const code = lines.slice(1).map((line) => (fence.indent > 0 ? line.replace(strip, "") : line));
  return { info: fence.info, code: code.join("\n").replace(closed ? "" : /\n$/, "") };
}

/** All at once. */
export function splitAll(text: string): Block[] {
  return split(advance(START, text), text);
}

const DEFINITION = /^(?:[ \t>]|[-+*] |\d{1,9}[.)] )*\[[^\]\n]{1,999}\]:/m;

/** Whether the text has definitions of links or footnotes, which blocks that are parsed alone cannot see. */
export function hasDefinitions(blocks: readonly Block[]): boolean {
  return blocks.some((block) => block.kind === "markdown" && DEFINITION.test(block.text));
}
