import RotateCcw from "lucide-react/icons/rotate-ccw";
import TriangleAlert from "lucide-react/icons/triangle-alert";
import X from "lucide-react/icons/x";
import type { ProblemDocument } from "../api/types";
import { Button, IconButton } from "../ui";
import { useSecondsUntil } from "./ticking";
import { roughly } from "./words";

interface ProblemNoteProps {
  error: ProblemDocument;
  /** When it happened, in milliseconds since 1970. */
  at: number;
  retry?: (() => void) | null;
  onDismiss?: () => void;
}

/** What went wrong and what to do about it. When the daemon says how long to wait, that is counted down. */
export function ProblemNote({ error, at, retry, onDismiss }: ProblemNoteProps) {
  const { detail, title, hint, retry_after: after, request_id: request } = error;
  const left = useSecondsUntil(after ? at + after * 1000 : null);
  return (
    <div className="ui-note is-danger problem">
      <TriangleAlert aria-hidden="true" />
      <div className="ui-note-text">
        <div role="alert">
          <p>{detail || title}</p>
          {hint ? <p className="ui-note-hint">{hint}</p> : null}
        </div>
        {left > 0 && !retry ? <p className="ui-note-hint tabular">You can send again in {timeOf(left)}.</p> : null}
        {request ? <p className="ui-note-id">Request {request}</p> : null}
      </div>
      {retry ? (
        <Button size="sm" icon={<RotateCcw />} aria-disabled={left > 0} onClick={() => left > 0 || retry()}>
          <span className="tabular">{left > 0 ? `Retry in ${timeOf(left)}` : "Retry"}</span>
        </Button>
      ) : null}
      {onDismiss ? <IconButton size="sm" label="Dismiss" icon={<X />} onClick={onDismiss} /> : null}
    </div>
  );
}

function timeOf(seconds: number): string {
  return seconds < 90 ? `${seconds} s` : roughly(seconds);
}
