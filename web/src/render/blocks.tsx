import { memo, useState } from "react";
import { isAffordable } from "./budget";
import { CodeBlock } from "./code";
import { MarkdownBlock, MarkdownText } from "./markdown";
import { MathView } from "./math";
import { mend } from "./mend";
import { revealAll } from "./reveal";
import { advance, type Block, hasDefinitions, START, type State, split } from "./split";
import { Unfinished } from "./unfinished";

/** Remembers how far a text has been split: what has been read once is not read again. */
class Splitter {
  private state: State = START;
  private known = "";

  /** Always the same for the same text; only the time differs. */
  blocks(text: string): Block[] {
    if (!text.startsWith(this.known)) this.state = START;
    this.state = advance(this.state, text);
    this.known = text.slice(0, this.state.read);
    return split(this.state, text);
  }
}

const plainLines = (text: string): string => text.replace(/\r\n?/g, "\n");

interface BlocksProps {
  text: string;
  streaming: boolean;
  /** Begins the ids of this message. */
  prefix: string;
}

/** An answer block by block: while it streams, only the last block changes. */
export const Blocks = memo(function Blocks({ text, streaming, prefix }: BlocksProps) {
  const [splitter] = useState(() => new Splitter());
  const lines = plainLines(text);
  // The last line is complete when nothing comes behind it.
  const blocks = splitter.blocks(streaming ? lines : `${lines}\n`);
  // Definitions of links and footnotes mostly come last. A block alone does not see them, so in the end it is one.
  if (!streaming && hasDefinitions(blocks) && isAffordable(lines)) return <MarkdownText text={lines} prefix={prefix} />;
  const last = blocks.length - 1;
  return blocks.map((block, at) => (
    <OneBlock key={block.start} {...shownOf(block, streaming && at === last)} prefix={prefix} />
  ));
});

interface Shown {
  kind: Block["kind"];
  text: string;
  info: string;
  open: boolean;
}

function shownOf(block: Block, live: boolean): Shown {
  const open = live && !block.closed;
  if (block.kind === "math") return { kind: "math", text: block.tex, info: "", open: !block.closed };
  if (block.kind === "markdown")
    return { kind: "markdown", text: open ? mend(block.text) : block.text, info: "", open };
  // What may become the closing fence waits until it is clear.
  const code = open ? block.code.replace(/(?:^|\n) {0,3}(?:`+|~+)[ \t]*$/, "") : block.code;
  return { kind: "fence", text: code, info: block.info, open };
}

const OneBlock = memo(function OneBlock({ kind, text, info, open, prefix }: Shown & { prefix: string }) {
  if (kind === "fence" && !isMathFence(info, open))
    return <CodeBlock code={text.replaceAll("\0", "\ufffd")} info={info} open={open} />;
  if (kind === "markdown") {
    return (
      <Unfinished value={open}>
        <MarkdownBlock text={text} prefix={prefix} />
      </Unfinished>
    );
  }
  return open ? <pre className="math-source">{revealAll(text)}</pre> : <MathView tex={text} display />;
});

const isMathFence = (info: string, open: boolean): boolean => info.trim() === "math" && !open;
