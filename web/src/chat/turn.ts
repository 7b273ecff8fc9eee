import type { Outcome, ProblemDocument, TurnFrame, TurnState, Usage } from "../api/types";
import type { Wish } from "./starting";

export type Phase = "sending" | TurnState;

/** Where it stands in the line. Moments are milliseconds of the page's clock. */
export interface Line {
  ahead: number;
  level: number;
  submittedLevel: number;
  aged: boolean;
  /** Whether more are ahead than at some time before: somebody with a higher priority has come. */
  grew: boolean;
  /** When it is expected to have its slot; null where there is nothing to estimate from. */
  due: number | null;
  /** Whether there was an estimate, and is none any more: nobody is served, or who knew of it was replaced. */
  lost: boolean;
}

export interface Ending {
  outcome: Outcome;
  error: ProblemDocument | null;
  usage: Usage | null;
}

/** One question to the model and its answer, as far as the page knows of it. */
export interface Turn {
  ref: string;
  /** The chat of this page that it belongs to (see chats.ts). */
  chat: string;
  /** The daemon's id; null until it has accepted the turn. */
  id: string | null;
  conversation: string | null;
  /** What was asked for; null as soon as the daemon has taken it. */
  wish: Wish | null;
  /** The end of the branch that was shown before. */
  before: string | null;
  isNewQuestion: boolean;
  model: string;
  /** The question that is answered, and the id that the answer will have. */
  parent: string | null;
  message: string;
  phase: Phase;
  seq: number;
  /** A frame is missing: nothing counts until the snapshot has come. */
  astray: boolean;
  since: number;
  line: Line | null;
  loading: boolean;
  thinking: string;
  content: string;
  /** What the answer had from the beginning: one that is gone on with. */
  begins: string;
  notice: string | null;
  stopping: boolean;
  ending: Ending | null;
}

export interface Begin {
  ref: string;
  chat: string;
  conversation: string | null;
  wish: Wish | null;
  before: string | null;
  model: string;
  parent: string | null;
  /** What the answer begins with: that of the answer that is continued. */
  content: string;
}

export function begun(from: Begin, now: number): Turn {
  return {
    ...from,
    id: null,
    isNewQuestion: from.wish?.kind === "send",
    message: `${from.ref}.answer`,
    phase: "sending",
    seq: 0,
    astray: false,
    since: now,
    line: null,
    loading: false,
    thinking: "",
    begins: from.content,
    notice: null,
    stopping: false,
    ending: null,
  };
}

/** Seconds for which an estimate that is over, or none at all, says nothing yet. */
const PATIENCE = 10;

/** An estimate that differs by less than this is no news: numbers that jump about say less than a calm one. */
const CALM_MS = 3000;
const CALM_SHARE = 0.2;

function due(before: number | null, seconds: number | null, now: number): number | null {
  if (seconds === null) return null;
  const told = now + seconds * 1000;
  if (before === null || before <= now) return told;
  return Math.abs(told - before) <= Math.max(CALM_MS, (before - now) * CALM_SHARE) ? before : told;
}

type Frame<Type extends TurnFrame["type"]> = Extract<TurnFrame, { type: Type }>;

function isLost(before: Line | null, seconds: number | null): boolean {
  return seconds === null && before !== null && (before.lost || before.due !== null);
}

function queued(turn: Turn, frame: Frame<"queued">, now: number): Turn {
  const before = turn.line;
  const line: Line = {
    ahead: frame.ahead,
    level: frame.level,
    submittedLevel: frame.submitted_level,
    aged: frame.aged,
    grew: before !== null && (before.grew || frame.ahead > before.ahead),
    due: due(before?.due ?? null, frame.estimated_wait, now),
    lost: isLost(before, frame.estimated_wait),
  };
  return { ...turn, phase: "queued", line, since: now - frame.waited * 1000 };
}

const NEW_LINE: Line = { ahead: 0, level: 0, submittedLevel: 0, aged: false, grew: false, due: null, lost: false };

function restored(turn: Turn, frame: Frame<"snapshot">, now: number): Turn {
  const waits = frame.state === "queued" && frame.ahead !== null;
  const isPast = frame.state !== "queued" && frame.state !== "ended";
  const { ahead, estimated_wait: wait } = frame;
  const before = turn.line ?? NEW_LINE;
  const line = { ...before, ahead: ahead ?? 0, due: due(before.due, wait, now), lost: isLost(before, wait) };
  return {
    ...turn,
    id: frame.turn,
    conversation: frame.conversation ?? turn.conversation,
    wish: null,
    model: frame.model,
    parent: frame.parent ?? turn.parent,
    message: frame.message,
    // How it ended is told by the last frame, which follows.
    phase: frame.state === "ended" ? "answering" : frame.state,
    astray: false,
    since: frame.waited !== null && waits ? now - frame.waited * 1000 : turn.since,
    line: waits ? line : isPast ? null : turn.line,
    loading: frame.loading,
    thinking: frame.thinking,
    content: frame.content,
    notice: frame.notice,
  };
}

/** Some models think on between their words. */
function more(phase: Phase): Phase {
  return phase === "answering" ? phase : "thinking";
}

function advanced(turn: Turn, frame: Exclude<TurnFrame, Frame<"snapshot">>, now: number): Turn {
  switch (frame.type) {
    case "accepted":
      return {
        ...turn,
        id: frame.turn,
        conversation: frame.conversation,
        wish: null,
        // A temporary chat's messages are known to nobody but the page.
        parent: frame.parent ?? turn.parent,
        message: frame.message,
        phase: turn.phase === "sending" ? "queued" : turn.phase,
      };
    case "queued":
      return queued(turn, frame, now);
    case "started":
      return { ...turn, phase: "started", line: null, loading: frame.loading };
    case "notice":
      return { ...turn, notice: frame.text };
    case "thinking":
      return { ...turn, phase: more(turn.phase), loading: false, thinking: turn.thinking + frame.text };
    case "token":
      return { ...turn, phase: "answering", loading: false, content: turn.content + frame.text };
    case "done":
      return { ...turn, phase: "ended", ending: { outcome: frame.outcome, error: frame.error, usage: frame.usage } };
  }
}

/** The turn after `frame`. When the frame is not the next one, the turn is astray: its follower has to attach again. */
export function step(turn: Turn, frame: TurnFrame, now: number): Turn {
  if (turn.phase === "ended") return turn;
  if (frame.type === "snapshot") return { ...restored(turn, frame, now), seq: frame.seq };
  // The end of a turn tells all of it, whatever was missed before.
  if (frame.type !== "done" && (turn.astray || frame.seq !== turn.seq + 1)) return { ...turn, astray: true };
  return { ...advanced(turn, frame, now), seq: frame.seq };
}

/** Whether it should have its slot by now, or nobody knows when it will. `waited` is in seconds. */
export function isStuck(line: Line, waited: number, now: number): boolean {
  if (line.due !== null) return now >= line.due + PATIENCE * 1000;
  return line.lost || (line.ahead === 0 && waited >= PATIENCE);
}

/** Seconds until it is expected to have its slot; null when nothing is known. */
export function remaining(line: Line, now: number): number | null {
  return line.due === null ? null : Math.max(0, (line.due - now) / 1000);
}
