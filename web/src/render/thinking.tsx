import ChevronRight from "lucide-react/icons/chevron-right";
import { useEffect, useId, useRef, useState } from "react";
import { create } from "zustand";
import { useBlocks } from "./engine";
import { PlainText } from "./plain";

/** Whoever wants to see the reasoning once, wants to see it in the next answer too; a new page begins closed. */
const useOpenness = create<{ open: boolean }>(() => ({ open: false }));

interface ThinkingProps {
  text: string;
  /** It still thinks. */
  running: boolean;
  prefix: string;
  /** How long it took, when that is known. */
  seconds: number | null;
  /** It was watched from the beginning to the end, and took so many seconds. */
  onMeasured?: ((seconds: number) => void) | undefined;
}

/** The reasoning of a model, folded. */
export function Thinking({ text, running, prefix, seconds, onMeasured }: ThinkingProps) {
  const [open, setOpen] = useState(useOpenness.getState().open);
  const measured = useSeconds(running, text, onMeasured);
  const id = useId();
  const toggle = () => {
    useOpenness.setState({ open: !open });
    setOpen(!open);
  };
  return (
    <div className="thinking">
      <button type="button" className="thinking-toggle" aria-expanded={open} aria-controls={id} onClick={toggle}>
        <ChevronRight />
        <span className={running ? "is-running" : undefined}>{labelOf(running, seconds ?? measured)}</span>
      </button>
      <div id={id} className="thinking-text answer-text" hidden={!open}>
        {open ? <Text text={text} running={running} prefix={`${prefix}-t`} /> : null}
      </div>
    </div>
  );
}

function Text({ text, running, prefix }: Pick<ThinkingProps, "text" | "running" | "prefix">) {
  const Blocks = useBlocks();
  return Blocks ? <Blocks text={text} streaming={running} prefix={prefix} /> : <PlainText text={text} />;
}

export function labelOf(running: boolean, seconds: number | null): string {
  if (running) return "Thinking…";
  if (seconds === null) return "Thoughts";
  const whole = Math.max(1, Math.round(seconds));
  return whole < 60 ? `Thought for ${whole} s` : `Thought for ${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** Characters; who has more of the reasoning at once has not seen its beginning. */
const BEGINNING = 400;

/** How long it thinks, when this page sees it from the beginning to the end. */
function useSeconds(running: boolean, text: string, onMeasured: ThinkingProps["onMeasured"]): number | null {
  const [seconds, setSeconds] = useState<number | null>(null);
  const isBeginning = useRef(running && text.length < BEGINNING);
  const begun = useRef<number | null>(null);
  useEffect(() => {
    if (running && isBeginning.current) {
      isBeginning.current = false;
      begun.current = performance.now();
    }
    if (running || begun.current === null) return;
    const taken = (performance.now() - begun.current) / 1_000;
    begun.current = null;
    setSeconds(taken);
    onMeasured?.(taken);
  }, [running, onMeasured]);
  return seconds;
}
