import { create } from "zustand";

const useStatus = create<{ text: string; turn: number }>(() => ({ text: "", turn: 0 }));

/** Have a text read out by screen readers, when they have finished what they are at. Nothing is shown. */
export function announce(text: string): void {
  useStatus.setState((before) => ({ text, turn: before.turn + 1 }));
}

/** Where `announce` speaks. Once in the page. */
export function StatusRegion() {
  const { text, turn } = useStatus();
  // The same words twice are read twice only when the node is another one.
  return (
    <div className="sr-only" role="status" aria-live="polite">
      <span key={turn}>{text}</span>
    </div>
  );
}
