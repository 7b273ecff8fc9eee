import "./question.css";
import { memo, useState } from "react";
import type { ImageRef } from "../api/types";
import { Button, classes, Dialog } from "../ui";
import { revealHidden } from "./reveal";

/** A picture that the daemon keeps, or one that only this page has yet. */
export type QuestionImage = Pick<ImageRef, "id"> | { url: string };

export interface QuestionProps {
  content: string;
  images: readonly QuestionImage[];
}

/** A question as it was written: no Markdown, every line kept. */
export const Question = memo(function Question({ content, images }: QuestionProps) {
  return (
    <div className="question">
      {images.length > 0 ? <Pictures images={images} /> : null}
      {content === "" ? null : <Text content={content} />}
    </div>
  );
});

/** What was pasted with a question would else lie between it and its answer. */
const isLong = (content: string): boolean => content.length > 1_500 || content.split("\n").length > 25;

function Text({ content }: { content: string }) {
  const [open, setOpen] = useState(false);
  const canFold = isLong(content);
  return (
    <>
      <div className={classes("question-text", canFold && !open && "is-folded")} dir="auto">
        {revealHidden(content)}
      </div>
      {canFold ? (
        <Button size="sm" variant="ghost" className="question-fold" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? "Show less" : "Show all"}
        </Button>
      ) : null}
    </>
  );
}

/** Where a picture is; null when it is nowhere where pictures of a question are. */
export function pictureSource(image: QuestionImage): string | null {
  if ("id" in image) return `gate/images/${encodeURIComponent(image.id)}`;
  return /^(?:blob:|data:image\/(?:png|jpeg|webp|gif);base64,)/.test(image.url) ? image.url : null;
}

function Pictures({ images }: { images: readonly QuestionImage[] }) {
  const [large, setLarge] = useState<string | null>(null);
  const sources = images.map(pictureSource).filter((source) => source !== null);
  return (
    <>
      <ul className="question-pictures">
        {sources.map((source, at) => (
          <li key={source}>
            <Thumbnail
              source={source}
              name={`Picture ${at + 1} of ${sources.length}`}
              onOpen={() => setLarge(source)}
            />
          </li>
        ))}
      </ul>
      <Dialog open={large !== null} onClose={() => setLarge(null)} title="Picture" size="lg">
        {large === null ? null : <img className="question-large" src={large} alt="As it was sent, large" />}
      </Dialog>
    </>
  );
}

function Thumbnail({ source, name, onOpen }: { source: string; name: string; onOpen: () => void }) {
  const [failed, setFailed] = useState(false);
  if (failed) return <span className="question-missing">{name} cannot be shown</span>;
  return (
    <button type="button" className="question-thumbnail" aria-label={`${name}: show it large`} onClick={onOpen}>
      <img src={source} alt="" loading="lazy" decoding="async" onError={() => setFailed(true)} />
    </button>
  );
}
