import "./answer.css";
import { memo, useId, useRef } from "react";
import { useDue } from "./due";
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
  /** It is drawn before all others; else when there is time for it. */
  first?: boolean;
  /** How long the model has thought, in seconds, when that is known. */
  thinkingSeconds?: number | null;
  /** This page has seen it think, for so many seconds. */
  onThought?: ((seconds: number) => void) | undefined;
}

/** Characters; shorter answers are drawn at once. */
const SHORT = 1_000;

/** An answer of a model: Markdown, and nothing that the model could do to the page or its user. */
export const Answer = memo(function Answer(props: AnswerProps) {
  const { content, thinking, streaming, first = false, thinkingSeconds = null, onThought } = props;
  // An id may not begin with everything that React puts into one.
  const prefix = `m${useId().replace(/\W/g, "")}`;
  const parts = separate(content, streaming);
  const reasons = [thinking ?? "", parts.thinking].filter((text) => text !== "").join("\n\n");
  const thinks = streaming && (parts.open || parts.answer === "");
  const text = usePaced(parts.answer, streaming);
  const reasoning = usePaced(reasons, thinks);
  const box = useRef<HTMLDivElement>(null);
  const isDue = useDue(box, streaming || first || content.length < SHORT);
  const Blocks = useBlocks();
  return (
    <div ref={box} className="answer" aria-busy={!isDue || undefined}>
      {reasoning ? (
        <Thinking text={reasoning} running={thinks} prefix={prefix} seconds={thinkingSeconds} onMeasured={onThought} />
      ) : null}
      <div className={isDue ? "answer-text" : "answer-text is-coming"}>
        {isDue && Blocks ? <Blocks text={text} streaming={streaming} prefix={prefix} /> : <PlainText text={text} />}
      </div>
    </div>
  );
});
