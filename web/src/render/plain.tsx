import { revealHidden } from "./reveal";

/** A text as it was written: what is no Markdown, or cannot be drawn as such, or not yet. */
export function PlainText({ text }: { text: string }) {
  return (
    <div className="plain-text" dir="auto">
      {revealHidden(text)}
    </div>
  );
}
