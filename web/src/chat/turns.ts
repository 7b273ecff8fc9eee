import { create } from "zustand";
import type { ProblemDocument, RunningTurn, ServerFrame, Start, TurnFrame } from "../api/types";
import type { Clock } from "./clock";
import type { Listener, Status } from "./connection";
import { Pace } from "./pace";
import { type Begin, begun, step, type Turn } from "./turn";

export type { Turn } from "./turn";

interface TurnsState {
  turns: Record<string, Turn>;
  /** The latest turn of each chat, also when it has ended. */
  latest: Record<string, string>;
  status: Status;
}

export const useTurns = create<TurnsState>(() => ({ turns: {}, latest: {}, status: "idle" }));

export function isRunning(turn: Turn | null | undefined): turn is Turn {
  return turn !== null && turn !== undefined && turn.phase !== "ended";
}

function runningOf(state: TurnsState, conversation: string | null): Turn | null {
  if (conversation === null) return null;
  return Object.values(state.turns).find((turn) => turn.conversation === conversation && isRunning(turn)) ?? null;
}

/** The turn that runs in this conversation; it changes up to ten times a second. */
export function useTurn(conversationId: string | null): Turn | null {
  return useTurns((state) => runningOf(state, conversationId));
}

/** Whether one runs: for lists, which need not be drawn with every word. */
export function useIsRunning(conversationId: string | null): boolean {
  return useTurns((state) => runningOf(state, conversationId) !== null);
}

/** The latest turn of a chat of this page, also when it has ended. */
export function useLatest(chat: string): Turn | null {
  return useTurns((state) => state.turns[state.latest[chat] ?? ""] ?? null);
}

/** What has to be told to the daemon. */
export interface Wire {
  /** Whether it was handed over; if not, it is asked for again as soon as there is a connection. */
  start(start: Start): boolean;
  attach(turn: string): void;
  stop(turn: string): void;
}

type Frame<Type extends ServerFrame["type"]> = Extract<ServerFrame, { type: Type }>;

/** What else of the page has to know. A turn is as it is after the frame. */
export interface Effects {
  /** `frame` is null when the acceptance itself was missed: the question is known to the daemon only. */
  accepted(turn: Turn, frame: Frame<"accepted"> | null): void;
  ended(turn: Turn, frame: Frame<"done">): void;
  /** Nothing was started. */
  refused(turn: Turn, error: ProblemDocument): void;
  /** It was taken back before the daemon knew of it. */
  withdrawn(turn: Turn): void;
  /** The daemon does not know it any more. The turn is forgotten when the promise is settled. */
  gone(turn: Turn): Promise<void>;
  titled(conversation: string, title: string): void;
}

const MOST_ENDED = 50;

/** All turns that this page has to do with. Words come by the hundred: they are gathered here, and shown in few steps. */
export class Turns implements Listener {
  private readonly live = new Map<string, Turn>();
  private readonly refs = new Map<string, string>();
  /** Not accepted yet: they may have to be asked for again. */
  private readonly unanswered = new Map<string, Start>();
  private readonly pace: Pace;
  private wire: Wire | null = null;

  constructor(
    private readonly clock: Clock,
    frame: (draw: () => void) => void,
    private readonly effects: Effects,
  ) {
    this.pace = new Pace(clock, frame, () => this.draw());
  }

  use(wire: Wire): void {
    this.wire = wire;
  }

  begin(start: Start, of: Begin): void {
    this.unanswered.set(start.ref, start);
    this.put(begun(of, this.clock.now()));
    useTurns.setState(({ latest }) => ({ latest: { ...latest, [of.chat]: start.ref } }));
    this.pace.now();
    this.ask(start);
  }

  /** Follow a turn that was begun elsewhere: in another tab, or before a reload. */
  follow(running: RunningTurn, chat: string): void {
    if (this.refs.has(running.turn) || this.live.has(running.ref)) return;
    const { ref, turn, conversation, message, state } = running;
    const of = { ref, chat, conversation, wish: null, before: null, model: "", parent: null, content: "" };
    this.put({ ...begun(of, this.clock.now()), id: turn, message, phase: state, astray: true });
    useTurns.setState(({ latest }) => ({ latest: { ...latest, [chat]: ref } }));
    this.wire?.attach(turn);
    this.pace.now();
  }

  stop(ref: string): void {
    const turn = this.live.get(ref);
    if (!isRunning(turn)) return;
    const { status } = useTurns.getState();
    const offline = status !== "online" && status !== "plain";
    if (offline && turn.id === null) {
      this.forget(turn);
      this.effects.withdrawn(turn);
    } else {
      this.put({ ...turn, stopping: true });
      if (turn.id !== null) this.wire?.stop(turn.id);
      this.pace.now();
    }
  }

  /** Nobody can come back to this chat. */
  stopAll(chat: string): void {
    for (const turn of this.live.values()) if (turn.chat === chat) this.stop(turn.ref);
  }

  /** What runs in temporary chats: only this page knows of it. */
  unkept(): string[] {
    return [...this.live.values()].flatMap((turn) =>
      isRunning(turn) && turn.id !== null && turn.conversation === null ? [turn.id] : [],
    );
  }

  status(status: Status): void {
    useTurns.setState({ status });
  }

  resumed(_running: RunningTurn[]): void {
    for (const turn of this.live.values()) {
      if (!isRunning(turn)) continue;
      const start = this.unanswered.get(turn.ref);
      if (turn.id !== null) this.again(turn, turn.id);
      // The daemon knows by the ref whether it had taken it before.
      else if (start) this.ask(start);
    }
  }

  frame(frame: ServerFrame): void {
    switch (frame.type) {
      case "title":
        this.effects.titled(frame.conversation, frame.title);
        break;
      case "refused":
        this.refused(frame);
        break;
      case "gone":
        void this.gone(frame.turn);
        break;
      case "hello":
      case "here":
        break;
      default:
        this.moved(frame);
    }
  }

  private ask(start: Start): void {
    const isHeard = this.wire?.start(start) ?? false;
    if (isHeard && this.unanswered.has(start.ref)) this.unanswered.set(start.ref, { ...start, again: true });
  }

  private again(turn: Turn, id: string): void {
    this.put({ ...turn, astray: true });
    this.wire?.attach(id);
    if (turn.stopping) this.wire?.stop(id);
  }

  private moved(frame: TurnFrame): void {
    const ref = this.refs.get(frame.turn) ?? ("ref" in frame ? frame.ref : undefined);
    const before = ref === undefined ? undefined : this.live.get(ref);
    if (!before || before.phase === "ended") return;
    const after = step(before, frame, this.clock.now());
    this.put(after);
    if (after.astray) {
      if (!before.astray) this.wire?.attach(frame.turn);
      return;
    }
    if (before.id === null) this.accepted(after, frame);
    if (frame.type === "done") this.effects.ended(after, frame);
    // What changes elsewhere in the page has to be seen together with it.
    if (before.id === null || frame.type === "done") this.pace.now();
    else this.pace.ask();
  }

  private accepted(turn: Turn, frame: TurnFrame): void {
    this.unanswered.delete(turn.ref);
    this.effects.accepted(turn, frame.type === "accepted" ? frame : null);
    if (turn.stopping && turn.id !== null) this.wire?.stop(turn.id);
  }

  private refused(frame: Frame<"refused">): void {
    const ref = frame.ref ?? this.unanswered.keys().next().value;
    const turn = ref === undefined ? undefined : this.live.get(ref);
    if (!turn || !this.unanswered.has(turn.ref)) return;
    this.forget(turn);
    this.effects.refused(turn, frame.error);
  }

  private async gone(id: string): Promise<void> {
    const turn = this.live.get(this.refs.get(id) ?? "");
    if (!isRunning(turn)) return;
    await this.effects.gone(turn).catch(() => undefined);
    this.forget(turn);
  }

  private put(turn: Turn): void {
    this.live.set(turn.ref, turn);
    if (turn.id !== null) this.refs.set(turn.id, turn.ref);
  }

  private forget(turn: Turn): void {
    this.live.delete(turn.ref);
    this.unanswered.delete(turn.ref);
    if (turn.id !== null) this.refs.delete(turn.id);
    this.pace.now();
  }

  /** Shows all as it is now. */
  private draw(): void {
    const ended = [...this.live.values()].filter((turn) => turn.phase === "ended");
    for (const turn of ended.slice(0, Math.max(0, ended.length - MOST_ENDED))) {
      this.live.delete(turn.ref);
      if (turn.id !== null) this.refs.delete(turn.id);
    }
    useTurns.setState({ turns: Object.fromEntries(this.live) });
  }
}
