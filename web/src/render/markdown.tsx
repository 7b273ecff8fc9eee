import type { Element, Root } from "hast";
import { sanitize } from "hast-util-sanitize";
import { toHast } from "mdast-util-to-hast";
import { type ComponentProps, createContext, memo, type ReactElement, type ReactNode, use } from "react";
import { isAffordable } from "./budget";
import { CodeBlock, InlineCode } from "./code";
import { type Components, elementsOf } from "./elements";
import { AnswerLink, AnswerPicture } from "./links";
import { listPieces } from "./list";
import { MathView } from "./math";
import { parsed } from "./parse";
import { PlainText } from "./plain";
import { SCHEMA } from "./schema";
import { tablePieces } from "./table";
import { classesOf, finish, makePlain, textOf } from "./tree";
import { Unfinished } from "./unfinished";

type Props<Tag extends "pre" | "code" | "table" | "thead" | "ul" | "ol" | "td" | "th" | "input"> =
  ComponentProps<Tag> & {
    node: Element;
  };

const COMPONENTS: Components = {
  a: AnswerLink,
  img: AnswerPicture,
  pre: Pre,
  code: Code,
  table: Table,
  thead: Head,
  ul: List,
  ol: List,
  td: ({ node: _, align, ...rest }: Props<"td">) => <td {...rest} className={alignment(align)} />,
  th: ({ node: _, align, ...rest }: Props<"th">) => <th {...rest} scope="col" className={alignment(align)} />,
  input: ({ checked }: Props<"input">) => (
    <input type="checkbox" disabled checked={Boolean(checked)} readOnly aria-label={checked ? "Done" : "To do"} />
  ),
};

const alignment = (align: string | undefined): string | undefined => (align ? `align-${align}` : undefined);

function Table({ node: _, ...rest }: Props<"table">) {
  const bodyOnly = use(BodyOnly);
  if (bodyOnly) return rest.children;
  return (
    // Wide tables scroll by themselves; whoever has no pointer needs the focus there to do so.
    // biome-ignore lint/a11y/noNoninteractiveTabindex: see above
    <section className="table-box" aria-label="Table" tabIndex={0}>
      <table>
        {rest.children}
        {use(MoreRows)}
      </table>
    </section>
  );
}

/** In a long table or list: the pieces behind the first, and that those go into the table or list that is there. */
const MoreRows = createContext<ReactNode>(null);
const BodyOnly = createContext(false);

function Head({ node: _, ...rest }: Props<"thead">) {
  return use(BodyOnly) ? null : <thead {...rest} />;
}

function List({ node, ...rest }: Props<"ul"> & Props<"ol">) {
  const bodyOnly = use(BodyOnly);
  const more = use(MoreRows);
  const Tag = node.tagName === "ol" ? "ol" : "ul";
  // A list in an item is whole.
  const items = (
    <BodyOnly value={false}>
      <MoreRows value={null}>{rest.children}</MoreRows>
    </BodyOnly>
  );
  if (bodyOnly) return items;
  return (
    <Tag {...rest}>
      {items}
      {more}
    </Tag>
  );
}

/** Code that is not a block of its own, but in a list or a quote. */
function Pre({ node }: Props<"pre">) {
  const open = use(Unfinished);
  const code = node.children[0];
  if (code?.type !== "element") return null;
  const language =
    classesOf(code)
      .find((name) => name.startsWith("language-"))
      ?.slice(9) ?? "";
  const text = textOf(code).replace(/\n$/, "");
  if (language === "math" && !open) return <MathView tex={text} display />;
  return <CodeBlock code={text} info={language} open={open} />;
}

function Code({ node }: Props<"code">) {
  const names = classesOf(node);
  if (names.includes("math-inline")) return <MathView tex={textOf(node)} display={false} />;
  if (names.includes("math-display")) return <MathView tex={textOf(node)} display />;
  return <InlineCode text={textOf(node)} />;
}

/** What may be shown of a text, as a tree. `prefix` keeps the ids of footnotes of messages apart. */
function treeOf(text: string, prefix: string): Root {
  const markdown = parsed(text);
  makePlain(markdown, text);
  const html = toHast(markdown, {
    clobberPrefix: `${prefix}-`,
    footnoteLabelTagName: "p",
    footnoteLabelProperties: { className: ["footnotes-label"] },
  });
  // A root stays one.
  const clean = sanitize(html, SCHEMA) as Root;
  finish(clean);
  return clean;
}

/** Markdown as elements; null when that would take too much. */
export function rendered(text: string, prefix: string): ReactElement | null {
  if (!isAffordable(text)) return null;
  try {
    return elementsOf(treeOf(text, prefix), COMPONENTS);
  } catch {
    // Such as a stack that is too small for what is nested in the text: nothing an answer may break the page with.
    return null;
  }
}

/** Drawn again only when its text is another. */
export const MarkdownText = memo(function MarkdownText({ text, prefix }: { text: string; prefix: string }) {
  return rendered(text, prefix) ?? <PlainText text={text} />;
});

/** A block of Markdown; a long table or list piece by piece. */
export function MarkdownBlock({ text, prefix }: { text: string; prefix: string }) {
  const [first = text, ...others] = tablePieces(text) ?? listPieces(text) ?? [];
  if (others.length === 0) return <MarkdownText text={text} prefix={prefix} />;
  const more = others.map((piece, at) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: pieces are only added at the end
    <MarkdownText key={at} text={piece} prefix={prefix} />
  ));
  return (
    <MoreRows value={<BodyOnly value={true}>{more}</BodyOnly>}>
      <MarkdownText text={first} prefix={prefix} />
    </MoreRows>
  );
}
