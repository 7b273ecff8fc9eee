import { memo, useEffect, useRef, useState } from "react";
import { idle } from "./idle";
import { revealAll } from "./reveal";

/** Longer formulas are shown as their source: typesetting takes time. */
const MAX_TEX = 5_000;

type Engine = typeof import("./math-engine");

/** The engine comes with the first formula, and once. When it cannot be loaded, sources stay sources. */
const engine = (): Promise<Engine | null> => import("./math-engine").catch(() => null);

interface Shown {
  tex: string;
  display: boolean;
  error: string | null;
}

/** A formula: its source, until it is typeset. */
export const MathView = memo(function MathView({ tex, display }: { tex: string; display: boolean }) {
  const box = useRef<HTMLSpanElement>(null);
  const [shown, setShown] = useState<Shown | null>(null);
  useEffect(() => {
    if (tex.length > MAX_TEX) return;
    let cancel = () => {};
    let gone = false;
    engine().then((loaded) => {
      if (gone || !loaded) return;
      cancel = idle.add(() => {
        if (box.current) setShown({ tex, display, error: loaded.typeset(box.current, tex, display) });
      });
    });
    return () => {
      gone = true;
      cancel();
    };
  }, [tex, display]);
  const current = shown?.tex === tex && shown.display === display ? shown : null;
  const done = current !== null && current.error === null;
  return (
    <span className={display ? "math math-block" : "math"} dir="ltr">
      <span ref={box} hidden={!done} />
      {done ? null : (
        <code
          className="math-source"
          title={current?.error ? `This formula cannot be shown: ${current.error}` : undefined}
        >
          {revealAll(tex)}
        </code>
      )}
    </span>
  );
});
