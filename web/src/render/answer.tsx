import "./answer.css";
import { memo, useDeferredValue, useId } from "react";
import { useBlocks } from "./engine";
import { usePaced } from "./pace";
import { PlainText } from "./plain";
import { separate } from "./think";
import { Thinking } from "./thinking";

export interface AnswerProps {
  content: string;
  /** The reasoning, from models that give it apart. */
  thinking: string | null;
  streaming: boolean;
  /** How long the model has thought, in seconds, when that is known. */
  thinkingSeconds?: number | null;
}

/** Characters; shorter answers are drawn at once. */
const SHORT = 1_000;

/** An answer of a model: Markdown, and nothing that the model could do to the page or its user. */
export const Answer = memo(function Answer({ content, thinking, streaming, thinkingSeconds = null }: AnswerProps) {
  // An id may not begin with everything that React puts into one.
  const prefix = `m${useId().replace(/\W/g, "")}`;
  const parts = separate(content, streaming);
  const reasons = [thinking ?? "", parts.thinking].filter((text) => text !== "").join("\n\n");
  const thinks = streaming && (parts.open || parts.answer === "");
  const text = usePaced(parts.answer, streaming);
  const reasoning = usePaced(reasons, thinks);
  // A long conversation opens at once: its answers are drawn piece by piece behind it.
  const isDue = useDeferredValue(true, streaming || content.length < SHORT);
  const Blocks = useBlocks();
  return (
    <div className="answer" aria-busy={!isDue || undefined}>
      {reasoning ? <Thinking text={reasoning} running={thinks} prefix={prefix} seconds={thinkingSeconds} /> : null}
      <div className={isDue ? "answer-text" : "answer-text is-coming"}>
        {isDue && Blocks ? <Blocks text={text} streaming={streaming} prefix={prefix} /> : <PlainText text={text} />}
      </div>
    </div>
  );
});
