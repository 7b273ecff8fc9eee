import { describe, expect, test } from "vitest";
import { parsed } from "./parse";
import { advance, hasDefinitions, START, split, splitAll } from "./split";

interface Node {
  type: string;
  value?: string;
  lang?: string | null;
  depth?: number;
  children?: Node[];
}

/** What the text is made of, without positions. */
function shape(node: Node): unknown {
  // Code that the end of its list item closes has an empty line more or less, as the parser happens to see its end.
  const own = [node.type, node.value?.trimEnd() ?? node.lang ?? node.depth ?? ""];
  return node.children ? [...own, node.children.map(shape)] : own;
}

const shapes = (text: string): unknown[] => ((parsed(text) as Node).children ?? []).map(shape);

/** A sequence of numbers that is the same in every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const LINES = [
  "",
  "",
  "",
  "text",
  "more *text*",
  "- a",
  "- ",
  "-",
  "  - b",
  "* c",
  "+ d",
  "1. one",
  "2. two",
  "10) ten",
  "  in",
  "   in",
  "    deep",
  "\ttab",
  "```",
  "```py",
  "~~~",
  "  ```",
  "   ```js",
  "    ```",
  "````",
  "# head",
  "## head ##",
  "#no",
  "> quote",
  "> - q",
  ">",
  "---",
  "***",
  "===",
  "| a | b |",
  "|---|---|",
  "a | b",
  "- ```",
  "  ~~~",
  "- - x",
  "1.",
  "-\tx",
  "<div>",
  "</div>",
  "<!-- c",
  "-->",
  "<script>",
  "* * *",
  "- [ ] task",
  "  # nested",
  "***bold*** x",
  "$$\nx\n$$",
  "\\[\ny\n\\]",
  "`a",
  "b`",
  " - s",
];

const random = (seed: number, count: number, lines = LINES): string => {
  const next = numbers(seed);
  return Array.from({ length: count }, () => lines[next(lines.length)]).join("\n");
};

describe("the splitter", () => {
  test("says the same of a text at once and in pieces, and never changes what is closed", () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const text = random(seed, 14);
      const next = numbers(seed * 7);
      let state = START;
      let closed = 0;
      for (let end = 0; end < text.length; end = Math.min(text.length, end + 1 + next(9))) {
        const part = text.slice(0, end);
        state = advance(state, part);
        const blocks = split(state, part);
        expect(blocks, `seed ${seed} at ${end}`).toEqual(splitAll(part));
        const done = blocks.filter((block) => block.closed);
        expect(done.length).toBeGreaterThanOrEqual(closed);
        closed = done.length;
        expect(splitAll(text).slice(0, closed), `seed ${seed} at ${end}`).toEqual(done);
      }
    }
  });

  test("sets boundaries only where Markdown has some", () => {
    // Behind indented code the parser takes some lists for a paragraph, against CommonMark; blocks do not.
    const lines = LINES.filter((line) => !/^( {4}|\t)/.test(line));
    let boundaries = 0;
    for (let seed = 1; seed <= 800; seed += 1) {
      const text = `${random(seed, 3 + (seed % 12), lines)}\n`;
      const blocks = splitAll(text);
      boundaries += blocks.length - 1;
      expect(
        blocks.flatMap((block) => shapes(block.text)),
        `seed ${seed}: ${JSON.stringify(text)}`,
      ).toEqual(shapes(text));
    }
    expect(boundaries).toBeGreaterThan(800);
  });

  test("knows code and math by itself", () => {
    const blocks = splitAll("Hi\n```js title\n  a\n\nb\n```\n\\[\nx\n\\]\n  ~~~\n  c\n d\n~~~\nend");
    expect(blocks.map((block) => ({ ...block, start: 0, text: "" }))).toEqual([
      { kind: "markdown", start: 0, text: "", closed: true },
      { kind: "fence", info: "js title", code: "  a\n\nb", start: 0, text: "", closed: true },
      { kind: "math", tex: "x", start: 0, text: "", closed: true },
      { kind: "fence", info: "", code: "c\nd", start: 0, text: "", closed: true },
      { kind: "markdown", start: 0, text: "", closed: false },
    ]);
  });

  test("has an open block for code that is not closed", () => {
    expect(splitAll("```py\nx = 1\n")).toMatchObject([{ kind: "fence", info: "py", code: "x = 1", closed: false }]);
    expect(splitAll("```py")).toMatchObject([{ kind: "markdown", closed: false }]);
  });

  test("sees a new paragraph with its first letter", () => {
    expect(splitAll("- a\n- b\n\nT").map((block) => block.text)).toEqual(["- a\n- b\n\n", "T"]);
    expect(splitAll("- a\n- b\n\n1").map((block) => block.text)).toEqual(["- a\n- b\n\n1"]);
  });

  test.each([
    ["[a]: http://x", true],
    ["> [^1]: note", true],
    ["- [x]: y", true],
    ["see [a][b]", false],
    ["```\n[a]: x\n```", false],
    ["if a[0]: pass", false],
  ])("definitions in %j: %s", (text, expected) => {
    expect(hasDefinitions(splitAll(`${text}\n`))).toBe(expected);
  });
});
