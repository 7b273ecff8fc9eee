/** Markdown as GitHub has it, with math, as a tree. */
import type { Root } from "mdast";
import { fromMarkdown } from "mdast-util-from-markdown";
import { gfmFromMarkdown } from "mdast-util-gfm";
import { gfm } from "micromark-extension-gfm";
import { mathCompiler, mathSyntax } from "./math-syntax";

// They keep nothing from one text to the next.
const OPTIONS = {
  // "~5 to ~6" strikes nothing through.
  extensions: [gfm({ singleTilde: false }), mathSyntax()],
  mdastExtensions: [gfmFromMarkdown(), mathCompiler()],
};

export const parsed = (text: string): Root => fromMarkdown(text, OPTIONS);
