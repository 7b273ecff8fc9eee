/**
 * How much work it is to draw an answer while it streams: the CPU time of every flush (parse, render, DOM of jsdom), for
 * answers of 30,000 characters that come at 100 tokens a second and are drawn ten times a second.
 *
 * Run: `NODE_ENV=production npx vitest run --config bench/vitest.config.ts` (in web/). Numbers depend on the machine;
 * jsdom is slower than a browser, but has no layout.
 */
import { createElement } from "react";
import { flushSync } from "react-dom";
import { createRoot } from "react-dom/client";
import { test } from "vitest";
import { Blocks } from "../src/render/blocks";
import { splitAll } from "../src/render/split";

const LENGTH = 30_000;
/** 100 tokens of four characters a second, ten flushes a second. */
const STEP = 40;

const SECTION = `## A heading of a section

Some prose with **bold words**, *emphasis*, \`code\`, a [link](https://example.com/page) and $x^2 + y^2$ in it, which
goes on for a while, as models like it, and ends after about three hundred characters, or somewhat more than that.

1. **First**: an item with some text in it
   - a nested one with \`code\`
   - and another
2. **Second**: an item with more text in it, so that it takes two lines on most screens
3. **Third**: the last

\`\`\`python
def function(argument: int) -> str:
    """What it does."""
    values = [value * 2 for value in range(argument)]
    return ", ".join(str(value) for value in values)
\`\`\`

| Name | Value | Meaning |
|------|------:|---------|
| one | 1 | the **first** |
| two | 2 | the second |

\\[
\\int_0^1 x^2 \\, dx = \\frac{1}{3}
\\]

`;

/** Milliseconds of work: on a busy machine the clock would count what others do. */
function cpu(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

const fill = (part: string): string => part.repeat(Math.ceil(LENGTH / part.length)).slice(0, LENGTH);

const ANSWERS = {
  mixed: fill(SECTION),
  "one list": fill("- **Item** with some text and `code` in it, long enough for a line or so\n"),
  "one table": `| a | b | c |\n|---|---|---|\n${fill("| some **words** | `code` | and more words in it |\n")}`,
  "one paragraph": fill("Words with **bold** and `code` in between, and then more of it. "),
  "one block of code": `\`\`\`js\n${fill("const value = compute(first, second); // and why\n")}`,
};

function streamed(text: string): number[] {
  const box = document.createElement("div");
  document.body.append(box);
  const root = createRoot(box);
  const times: number[] = [];
  for (let end = STEP; end < text.length + STEP; end += STEP) {
    const props = { text: text.slice(0, end), streaming: end < text.length, prefix: "b" };
    const begun = cpu();
    flushSync(() => root.render(createElement(Blocks, props)));
    times.push(cpu() - begun);
  }
  root.unmount();
  box.remove();
  return times;
}

const at = (sorted: number[], part: number): string => (sorted[Math.floor((sorted.length - 1) * part)] ?? 0).toFixed(1);

test("drawing", { timeout: 600_000 }, () => {
  streamed(ANSWERS.mixed.slice(0, 6_000));
  const rows = Object.entries(ANSWERS).map(([name, text]) => {
    const times = streamed(text).sort((a, b) => a - b);
    const begun = cpu();
    const blocks = splitAll(text).length;
    const splitting = (cpu() - begun).toFixed(1);
    return {
      name,
      blocks,
      splitting,
      p50: at(times, 0.5),
      p95: at(times, 0.95),
      p99: at(times, 0.99),
      max: at(times, 1),
    };
  });
  console.table(rows);
});
