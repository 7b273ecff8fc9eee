import { useEffect } from "react";
import { useModels } from "../api/queries";
import { Button, Spinner } from "../ui";
import type { Status } from "./connection";
import { useNow } from "./ticking";
import { isStuck, type Line, remaining, type Turn } from "./turn";
import { useTurns } from "./turns";
import { elapsed, outlook, place, roughly } from "./words";
import "./queue-card.css";

/** More dots than this say nothing more. */
const MOST_DOTS = 12;

interface QueueCardProps {
  turn: Turn;
  onStop: () => void;
}

/** What goes on before the first word comes: in line, loading, beginning. */
export function QueueCard({ turn, onStop }: QueueCardProps) {
  const status = useTurns((state) => state.status);
  if (turn.phase === "queued" && turn.line) return <Waiting turn={turn} line={turn.line} onStop={onStop} />;
  return <Beginning turn={turn} text={beginning(turn, status)} />;
}

function beginning(turn: Turn, status: Status): string {
  if (turn.stopping) return "Stopping…";
  if (turn.phase === "sending") {
    if (status === "waiting") return "There is no connection. Your question is sent as soon as it is back.";
    return status === "online" || status === "plain" ? "Sending…" : "Connecting…";
  }
  if (turn.phase === "queued") return "Getting in line…";
  if (turn.phase === "thinking") return "Thinking…";
  return turn.loading ? `Loading ${turn.model} into memory…` : "Reading your question…";
}

function Beginning({ turn, text }: { turn: Turn; text: string }) {
  const now = useNow(true);
  const seconds = (now - turn.since) / 1000;
  return (
    <div className="queue is-beginning">
      <Spinner />
      <p>
        {text}
        {turn.loading && !turn.stopping ? (
          <span className="queue-more">The first answer of a model takes longer; the next ones begin at once.</span>
        ) : null}
      </p>
      {/* At once it would only flicker. */}
      {seconds >= 3 ? <span className="queue-time tabular">{elapsed(seconds)}</span> : null}
    </div>
  );
}

function Waiting({ turn, line, onStop }: { turn: Turn; line: Line; onStop: () => void }) {
  const now = useNow(true);
  const waited = (now - turn.since) / 1000;
  const stuck = isStuck(line, waited, now);
  const left = stuck ? null : remaining(line, now);
  const inMemory = useInMemory(stuck);
  return (
    <section className="queue is-waiting" aria-label="Your place in the line">
      <div className="queue-head">
        <p className="queue-place">
          <strong className="tabular">{place(line.ahead)}</strong>{" "}
          {left === null ? null : (
            <span className="queue-left">
              <span className="queue-dash">— </span>starts in {roughly(left)}
            </span>
          )}
        </p>
        <Button size="sm" busy={turn.stopping} onClick={onStop}>
          {turn.stopping ? "Leaving…" : "Leave the line"}
        </Button>
      </div>
      <div className="queue-row">
        <Dots ahead={line.ahead} />
        <span className="queue-time tabular">Waiting for {elapsed(waited)}</span>
      </div>
      <p className="queue-about">{outlook(line, stuck, inMemory)}</p>
    </section>
  );
}

/** Whether the servers hold any model, as far as is known; asked anew when it matters. */
function useInMemory(stuck: boolean): boolean {
  const { data, refetch } = useModels();
  useEffect(() => {
    if (stuck) void refetch();
  }, [stuck, refetch]);
  return data?.some((model) => model.loaded) ?? true;
}

function Dots({ ahead }: { ahead: number }) {
  const shown = Math.min(ahead, MOST_DOTS);
  return (
    <div className="queue-dots" aria-hidden="true">
      <span className="queue-dot is-you" />
      {Array.from({ length: shown }, (_, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they differ in nothing else
        <span key={index} className="queue-dot" />
      ))}
      {ahead > shown ? <span className="queue-rest">+{ahead - shown}</span> : null}
    </div>
  );
}
