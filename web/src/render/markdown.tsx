import type { Element } from "hast";
import { type ComponentProps, memo, type ReactElement, use } from "react";
import Markdown, { type Components, type Options } from "react-markdown";
import rehypeSanitize from "rehype-sanitize";
import remarkGfm from "remark-gfm";
import { isAffordable } from "./budget";
import { CodeBlock, InlineCode } from "./code";
import { AnswerLink, AnswerPicture } from "./links";
import { MathView } from "./math";
import { remarkGateMath } from "./math-syntax";
import { revealHidden } from "./reveal";
import { SCHEMA } from "./schema";
import { classesOf, rehypeFinish, remarkPlain, textOf } from "./tree";
import { Unfinished } from "./unfinished";
import { allowedUrl } from "./urls";

type Props<Tag extends "pre" | "code" | "table" | "td" | "th" | "input"> = ComponentProps<Tag> & {
  node?: Element | undefined;
};

const COMPONENTS: Components = {
  a: AnswerLink,
  img: AnswerPicture,
  pre: Pre,
  code: Code,
  table: Table,
  td: ({ node: _, style, ...rest }: Props<"td">) => <td {...rest} className={alignment(style)} />,
  th: ({ node: _, style, ...rest }: Props<"th">) => <th {...rest} scope="col" className={alignment(style)} />,
  input: ({ checked }: Props<"input">) => (
    <input type="checkbox" disabled checked={Boolean(checked)} readOnly aria-label={checked ? "Done" : "To do"} />
  ),
};

const alignment = (style: ComponentProps<"td">["style"]): string | undefined =>
  style?.textAlign ? `align-${style.textAlign}` : undefined;

function Table({ node: _, ...rest }: Props<"table">) {
  return (
    // Wide tables scroll by themselves; whoever has no pointer needs the focus there to do so.
    // biome-ignore lint/a11y/noNoninteractiveTabindex: see above
    <section className="table-box" aria-label="Table" tabIndex={0}>
      <table {...rest} />
    </section>
  );
}

/** Code that is not a block of its own, but in a list or a quote. */
function Pre({ node }: Props<"pre">) {
  const open = use(Unfinished);
  const code = node?.children[0];
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
  if (!node) return null;
  const names = classesOf(node);
  if (names.includes("math-inline")) return <MathView tex={textOf(node)} display={false} />;
  if (names.includes("math-display")) return <MathView tex={textOf(node)} display />;
  return <InlineCode text={textOf(node)} />;
}

const PLUGINS: Pick<Options, "remarkPlugins" | "rehypePlugins" | "components" | "urlTransform"> = {
  remarkPlugins: [[remarkGfm, { singleTilde: false }], remarkGateMath, remarkPlain],
  rehypePlugins: [[rehypeSanitize, SCHEMA], rehypeFinish],
  components: COMPONENTS,
  urlTransform: (url, _key, node) => {
    const { dataFootnoteRef, dataFootnoteBackref } = node.properties;
    return dataFootnoteRef === undefined && dataFootnoteBackref === undefined ? allowedUrl(url) : url;
  },
};

/** Markdown as elements; null when that would take too much. `prefix` keeps the ids of footnotes of messages apart. */
export function rendered(text: string, prefix: string): ReactElement | null {
  if (!isAffordable(text)) return null;
  try {
    return Markdown({
      ...PLUGINS,
      remarkRehypeOptions: {
        clobberPrefix: `${prefix}-`,
        footnoteLabelTagName: "p",
        footnoteLabelProperties: { className: ["footnotes-label"] },
      },
      children: text,
    });
  } catch {
    // Such as a stack that is too small for what is nested in the text: nothing an answer may break the page with.
    return null;
  }
}

/** Drawn again only when its text is another. */
export const MarkdownText = memo(function MarkdownText({ text, prefix }: { text: string; prefix: string }) {
  return rendered(text, prefix) ?? <PlainText text={text} />;
});

export function PlainText({ text }: { text: string }) {
  return (
    <div className="plain-text" dir="auto">
      {revealHidden(text)}
    </div>
  );
}
