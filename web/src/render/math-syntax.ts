/**
 * Math in Markdown, as models write it: `$…$`, `$$…$$`, `\(…\)` and `\[…\]`.
 *
 * A syntax extension for micromark and its compiler to a tree. It replaces remark-math, which knows neither the
 * backslash forms nor prices. The rules:
 *
 * - `$…$`: the text inside begins and ends with no space, the closing sign is not followed by a digit, and the
 *   opening sign does not follow a Latin letter or a digit (so "$5 and $10" and "US$5" stay text).
 * - what begins with a digit in `$…$` must hold nothing but numbers, single letters and signs, or something that only
 *   TeX has (`\ ^ _ { } =`): so "$5 (or 5$ more)" stays text, and `$2x + 1$` is math.
 * - `\[…\]` with nothing but words or numbers inside stays text ("\[citation needed\]", "\[1\]").
 * - math ends at a blank line at the latest; what is not closed by then is text. (TeX has the same rule.)
 * - `$$…$$` and `\[…\]` are display math; with a line of their own they are a block of their own.
 */
import type { CompileContext, Extension as FromMarkdown, Token } from "mdast-util-from-markdown";
import type { Code, Construct, Effects, Extension, State, TokenizeContext } from "micromark-util-types";

declare module "micromark-util-types" {
  interface TokenTypeMap {
    gateMath: "gateMath";
    gateMathBlock: "gateMathBlock";
    gateMathMark: "gateMathMark";
    gateMathData: "gateMathData";
  }
}

const DOLLAR = 36;
const BACKSLASH = 92;
const CLOSERS = new Map([
  [40, 41],
  [91, 93],
]);
const MAX_SHORT = 1_000;
/** Characters of one formula; what is longer stays text. */
export const MAX_MATH = 4_000;

/** `$`, `$$`, `\(` or `\[`: what opened decides what closes. */
export type Opener = "$" | "$$" | "\\(" | "\\[";

const isEnd = (code: Code): boolean => code === null || (code < -2 && code > -6);
const isSpace = (code: Code): boolean => code === 32 || code === -1 || code === -2;
const isAlphanumeric = (code: Code): boolean =>
  code !== null && code > 0 && /[0-9A-Za-z]/.test(String.fromCharCode(code));

/** Whether `inside`, found between the marks of `opener` and followed by the character `next`, is math. */
export function isMath(opener: Opener, inside: string, next: string): boolean {
  if (inside.trim() === "") return false;
  if (opener === "\\[") return !isCitation(inside.trim());
  if (opener !== "$") return true;
  if (/^\s|\s$/.test(inside) || /^\d/.test(next)) return false;
  // "$HOME/bin:$PATH" is none, "the $n$th" is.
  if (/^[A-Za-z_]/.test(next) && !/^[A-Za-z\\]{1,12}$/.test(inside)) return false;
  return !/^\d/.test(inside) || /[\\^_{}=]/.test(inside) || !/[\p{L}\p{N}'’]{2,}/u.test(inside.replace(/[\d.,]+/g, ""));
}

/** Escaped brackets around words or the number of a source: no math has only such in it. */
function isCitation(inside: string): boolean {
  return /^[\d\s,–-]+$/.test(inside) || (inside.length >= 4 && /^[\p{L}\d\s.,:;'’"!?–]*$/u.test(inside));
}

/** Takes the opening marks; hands over what opened, or gives up. */
function openMath(effects: Effects, nok: State, then: (opener: Opener) => State): State {
  const dollars = (code: Code): State | undefined => {
    if (code !== DOLLAR) return done("$")(code);
    effects.consume(code);
    return (after) => (after === DOLLAR ? nok(after) : done("$$")(after));
  };
  const bracket = (code: Code): State | undefined => {
    if (code === null || !CLOSERS.has(code)) return nok(code);
    effects.consume(code);
    return done(code === 40 ? "\\(" : "\\[");
  };
  const done = (opener: Opener): State => {
    effects.exit("gateMathMark");
    return then(opener);
  };
  return (code) => {
    effects.enter("gateMathMark");
    effects.consume(code);
    return code === DOLLAR ? dollars : bracket;
  };
}

/** Reads TeX up to the closing marks; `end` decides what to do behind them, `line` at the end of a line. */
interface Reader {
  opener: Opener;
  limit: number;
  end: (inside: string) => State;
  line: (inside: string) => State;
}

function readMath(effects: Effects, nok: State, reader: Reader): State {
  const { opener, limit } = reader;
  const closes = opener === "$" || opener === "$$" ? DOLLAR : BACKSLASH;
  let inside = "";
  const take = (code: Code): void => {
    effects.consume(code);
    inside += code !== null && code > 0 ? String.fromCharCode(code) : " ";
  };
  const start: State = (code) => {
    if (inside.length > limit) return nok(code);
    if (isEnd(code)) {
      const next = reader.line(inside);
      inside += "\n";
      return next(code);
    }
    effects.enter(code === closes ? "gateMathMark" : "gateMathData");
    return code === closes ? mark(code) : data(code);
  };
  const data: State = (code) => {
    if (isEnd(code) || code === closes || inside.length > limit) {
      effects.exit("gateMathData");
      return start(code);
    }
    take(code);
    return code === BACKSLASH ? escaped : data;
  };
  const escaped: State = (code) => {
    if (isEnd(code)) return data(code);
    take(code);
    return data;
  };
  const mark: State = (code) => {
    effects.consume(code);
    return opener === "$" ? closed : second;
  };
  const second: State = (code) => {
    if (code === (opener === "$$" ? DOLLAR : opener === "\\(" ? 41 : 93)) {
      effects.consume(code);
      return closed;
    }
    // No math in math: what opens a second time has not been closed the first time.
    if (code === (opener === "\\(" ? 40 : 91) && opener !== "$$") return nok(code);
    // No closing marks: a dollar in `$$…$$`, or a command: it is part of what is inside.
    const token = effects.exit("gateMathMark");
    token.type = "gateMathData";
    inside += opener === "$$" ? "$" : "\\";
    effects.enter("gateMathData");
    return opener === "$$" || isEnd(code) ? data(code) : escaped(code);
  };
  const closed: State = (code) => {
    effects.exit("gateMathMark");
    return reader.end(inside)(code);
  };
  return start;
}

function tokenizeText(this: TokenizeContext, effects: Effects, ok: State, nok: State): State {
  const before = this.previous;
  return (code) => {
    if (code === DOLLAR && (isAlphanumeric(before) || before === DOLLAR)) return nok(code);
    effects.enter("gateMath");
    return openMath(effects, nok, (opener) => {
      const read: State = readMath(effects, nok, {
        opener,
        limit: opener === "$" ? MAX_SHORT : MAX_MATH,
        end: (inside) => (next) => {
          const follows = next !== null && next > 0 ? String.fromCharCode(next) : "";
          if (!isMath(opener, inside, follows)) return nok(next);
          effects.exit("gateMath");
          return ok(next);
        },
        line: () => (next) => {
          if (next === null) return nok(next);
          effects.enter("lineEnding");
          effects.consume(next);
          effects.exit("lineEnding");
          return read;
        },
      });
      return read;
    })(code);
  };
}

/** Display math with lines of its own; it may interrupt a paragraph. */
function tokenizeBlock(this: TokenizeContext, effects: Effects, ok: State, nok: State): State {
  const finish: State = (code) => {
    effects.exit("gateMathBlock");
    return ok(code);
  };
  // Behind the closing marks there may be spaces only.
  const behind: State = (code) => {
    if (isEnd(code)) return finish(code);
    if (!isSpace(code)) return nok(code);
    effects.enter("gateMathMark");
    effects.consume(code);
    effects.exit("gateMathMark");
    return behind;
  };
  return (code) => {
    effects.enter("gateMathBlock");
    return openMath(effects, nok, (opener) => {
      if (opener === "$" || opener === "\\(") return nok;
      const read: State = readMath(effects, nok, {
        opener,
        limit: MAX_MATH,
        end: (inside) => (next) => (isMath(opener, inside, "") ? behind(next) : nok(next)),
        line: () => (next) => {
          if (this.interrupt) return ok(next);
          if (next === null) return nok(next);
          effects.enter("lineEnding");
          effects.consume(next);
          effects.exit("lineEnding");
          return (first) => (this.parser.lazy[this.now().line] || isEnd(first) ? nok(first) : read(first));
        },
      });
      return read;
    })(code);
  };
}

/** The syntax, for micromark. */
export function mathSyntax(): Extension {
  const text: Construct = { name: "gateMath", tokenize: tokenizeText };
  const block: Construct = { name: "gateMathBlock", tokenize: tokenizeBlock, concrete: true };
  return {
    text: { [DOLLAR]: text, [BACKSLASH]: text },
    flow: { [DOLLAR]: block, [BACKSLASH]: block },
    // Raw HTML is text in an answer, so no line may become a block of HTML, which would swallow Markdown behind it.
    disable: { null: ["htmlFlow"] },
  };
}

function enterMath(this: CompileContext, token: Token, display: boolean): void {
  const source = this.sliceSerialize(token);
  const name = display || source.startsWith("$$") || source.startsWith("\\[") ? "math-display" : "math-inline";
  const code = { hName: "code", hProperties: { className: [name] }, hChildren: [] };
  this.enter({ type: "inlineMath", value: "", data: code } as never, token);
  this.buffer();
}

function exitMath(this: CompileContext, token: Token): void {
  const value = this.resume();
  const node = this.stack[this.stack.length - 1] as unknown as MathNode;
  node.value = value.trim();
  node.data.hChildren.push({ type: "text", value: node.value });
  this.exit(token);
}

interface MathNode {
  value: string;
  data: { hChildren: { type: "text"; value: string }[] };
}

/** What makes nodes of it, for mdast-util-from-markdown. */
export function mathCompiler(): FromMarkdown {
  return {
    enter: {
      gateMath(token) {
        enterMath.call(this, token, false);
      },
      gateMathBlock(token) {
        enterMath.call(this, token, true);
      },
      gateMathData(token) {
        this.config.enter.data?.call(this, token);
      },
    },
    exit: {
      gateMath: exitMath,
      gateMathBlock: exitMath,
      gateMathData(token) {
        this.config.exit.data?.call(this, token);
      },
    },
  };
}
