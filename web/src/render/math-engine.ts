/** KaTeX, with its styles and fonts: loaded when the first formula appears. */
import "katex/dist/katex.min.css";
import katex, { type KatexOptions } from "katex";

/** Part of every build of KaTeX, though not of its types. */
const parser = katex as typeof katex & { __parse: (tex: string, options: KatexOptions) => unknown };

/**
 * Typesets into `box`; the reason when that is not possible. The elements are made and styled by script: as a text of
 * HTML with style attributes the page's policy would not let it through.
 */
export function typeset(box: HTMLElement, tex: string, display: boolean): string | null {
  try {
    // First alone, because the way in which KaTeX draws a formula that it cannot read needs a style attribute.
    if (!isAffordable(parser.__parse(tex, options(display)))) return "it is too large";
    katex.render(tex, box, options(display));
    return box.querySelector(".katex-error") ? "it is not complete" : null;
  } catch (error) {
    box.replaceChildren();
    return error instanceof Error ? error.message : String(error);
  }
}

/** Parts of a formula, and how deep they may be in each other (a fraction in a fraction is three levels deeper). */
const MAX_PARTS = 2_500;
const MAX_DEPTH = 150;

/** Whether what has been parsed can be drawn in reasonable time: macros can make much out of little. */
function isAffordable(tree: unknown): boolean {
  const open: [unknown, number][] = [[tree, 0]];
  let parts = 0;
  for (let next = open.pop(); next; next = open.pop()) {
    const [value, depth] = next;
    if (typeof value !== "object" || value === null) continue;
    parts += 1;
    if (parts > MAX_PARTS || depth > MAX_DEPTH) return false;
    // `loc` leads to the whole source, from every part.
    for (const [key, child] of Object.entries(value)) if (key !== "loc") open.push([child, depth + 1]);
  }
  return true;
}

function options(display: boolean): KatexOptions {
  return {
    displayMode: display,
    output: "htmlAndMathml",
    throwOnError: false,
    errorColor: "var(--danger-text, #b42318)",
    // No links, pictures, classes or styles.
    trust: false,
    strict: "ignore",
    // In em: what a formula may take up by itself.
    maxSize: 20,
    maxExpand: 300,
    // Formulas can define macros; they must not reach the next formula. These two would need a style attribute.
    macros: { "\\pmb": "\\boldsymbol{#1}", "\\fcolorbox": "\\fbox{$#3$}" },
  };
}
