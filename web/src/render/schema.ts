import type { Schema } from "hast-util-sanitize";

/** What may be in an answer: what Markdown of GitHub makes, and nothing else. There is no raw HTML to allow for. */
export const SCHEMA: Schema = {
  tagNames: [
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "img", "input", "li", "ol",
    "p", "pre", "section", "strong", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul",
  ], // biome-ignore format: a list of words
  attributes: {
    a: ["href", ["id", /^[\w-]+-fnref-/], "dataFootnoteRef", "dataFootnoteBackref", "ariaLabel"],
    code: [["className", /^language-[\w+#.-]{1,40}$/, "math-inline", "math-display"]],
    img: ["src", "alt"],
    input: [["type", "checkbox"], ["disabled", true], "checked"],
    li: [
      ["id", /^[\w-]+-fn-/],
      ["className", "task-list-item"],
    ],
    ol: ["start", ["className", "contains-task-list"]],
    section: ["dataFootnotes", ["className", "footnotes"]],
    td: [["align", "left", "center", "right"]],
    th: [["align", "left", "center", "right"]],
    ul: [["className", "contains-task-list"]],
    p: [["className", "footnotes-label"]],
  },
  required: { input: { type: "checkbox", disabled: true } },
  protocols: { href: ["http", "https", "mailto"], src: ["http", "https"] },
  ancestors: { li: ["ol", "ul"], tbody: ["table"], td: ["table"], th: ["table"], thead: ["table"], tr: ["table"] },
  // Ids have the prefix of their message already; the schema lets no others through.
  clobber: [],
  strip: ["script", "style"],
};
