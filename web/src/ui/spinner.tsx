import type { CSSProperties } from "react";
import { classes } from "./classes";

/** Turns while something is at work. With `label` it is read out; without, what stands beside it says it. */
export function Spinner({ label, large = false }: { label?: string; large?: boolean }) {
  const name = classes("ui-spinner", large && "is-large");
  return label ? <span className={name} role="img" aria-label={label} /> : <span className={name} aria-hidden="true" />;
}

const WIDTHS = ["92%", "78%", "85%", "64%", "88%", "71%"];

/** The grey shape of a text of so many lines that is still to come. */
export function Skeleton({ lines = 3, label = "Loading" }: { lines?: number; label?: string }) {
  return (
    <div className="ui-skeleton" role="status" aria-busy="true">
      <span className="sr-only">{label}…</span>
      {Array.from({ length: lines }, (_, line) => {
        const style: CSSProperties = { width: WIDTHS[line % WIDTHS.length] };
        // biome-ignore lint/suspicious/noArrayIndexKey: the lines are all alike, and never change places
        return <span key={line} className="ui-skeleton-line" style={style} aria-hidden="true" />;
      })}
    </div>
  );
}
