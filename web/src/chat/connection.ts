import type { ClientFrame, RunningTurn, ServerFrame, Start } from "../api/types";
import { type Clock, delayAfter } from "./clock";
import { frameOf } from "./lines";

/** What a WebSocket has that is used here. */
export interface Socket {
  send(data: string): void;
  close(code?: number): void;
  listen(heard: (data: unknown) => void, closed: (code: number) => void): void;
}

/** The same over plain HTTP (streams.ts). */
export interface PlainHttp {
  start(start: Start): void;
  attach(turn: string): void;
  stop(turn: string): void;
  turns(): string[];
  close(): void;
}

/** Whether the daemon answers over HTTP: the caller's running turns if it does. The session was renewed if need be. */
export type Probe = RunningTurn[] | "unreachable" | "logged-out";

export interface Environment {
  clock: Clock;
  random(): number;
  socket(): Socket;
  http(frame: (frame: ServerFrame) => void): PlainHttp;
  probe(): Promise<Probe>;
  /** Tells the daemon, while the page is being closed, that these turns are not followed any more. */
  beacon(turns: string[]): void;
}

/** `plain`: over HTTP, because no WebSocket gets through. `out`: nobody is logged in. */
export type Status = "idle" | "connecting" | "online" | "waiting" | "plain" | "out";

export interface Listener {
  frame(frame: ServerFrame): void;
  status(status: Status): void;
  /** A connection stands (again); `running` are the user's turns. */
  resumed(running: RunningTurn[]): void;
}

const HELLO_WITHIN_MS = 10_000;
const SILENT_MS = 20_000;
const ANSWER_WITHIN_MS = 10_000;
/** For who comes back to the page: a connection that died while the computer slept must not keep him waiting. */
const QUICK_ANSWER_MS = 4_000;
/** Sockets that failed in a row although the daemon answered over HTTP: then something blocks them. */
const MOST_BLOCKED = 2;
const SOCKET_AGAIN_MS = 60_000;
const SOCKET_AGAIN_MOST_MS = 600_000;

/** The page goes for good. */
export const GOING = 1000;
/** This socket is given up, and another one will come: the turns are to wait for it. */
export const GIVEN_UP = 4000;
export const SESSION_OVER = 4401;
export const TOO_MANY_SOCKETS = 4429;

/** The way to the daemon: one WebSocket for the page, or plain HTTP where none gets through. It comes back by itself. */
export class Connection {
  status: Status = "idle";
  private socket: Socket | null = null;
  private readonly plain: PlainHttp;
  /** Attempts that got no hello, in a row. */
  private failures = 0;
  private blocked = 0;
  /** Sockets that were tried in vain while plain HTTP was used. */
  private trials = 0;
  private retry: () => void = () => undefined;
  private deadline: () => void = () => undefined;
  /** Grows with everything that makes an answer to an earlier question meaningless. */
  private epoch = 0;

  constructor(
    private readonly env: Environment,
    private readonly listener: Listener,
  ) {
    this.plain = env.http((frame) => listener.frame(frame));
  }

  /** Connects, unless that has happened. */
  open(): void {
    if (this.status === "idle" || this.status === "out") this.connect();
  }

  /** Something has changed (the network, the tab became visible): what waits is tried now, what is silent is asked. */
  nudge(): void {
    if (this.status === "waiting") this.connect();
    else if (this.status === "online") this.ask(QUICK_ANSWER_MS);
  }

  /** The page goes away, or its user has logged out: what only it follows ends at once. */
  leave(): void {
    if (this.status === "online") this.send({ type: "bye" });
    const followed = this.plain.turns();
    if (followed.length > 0) this.env.beacon(followed);
    this.plain.close();
    this.reset(GOING);
    this.change("idle");
  }

  /** The page is loaded again: what it follows waits for it, but for `unkept`, which nobody can come back to. */
  pause(unkept: string[]): void {
    if (this.status !== "plain") for (const turn of unkept) this.stop(turn);
    else if (unkept.length > 0) this.env.beacon(unkept);
    this.plain.close();
    this.reset();
    this.change("idle");
  }

  /** Whether it was handed over. If not, `resumed` will come, and it can be said again then. */
  start(start: Start): boolean {
    if (this.status === "plain") this.plain.start(start);
    return this.status === "plain" || this.send(start);
  }

  attach(turn: string): void {
    if (this.status === "plain") this.plain.attach(turn);
    else this.send({ type: "attach", turn });
  }

  stop(turn: string): void {
    if (this.status === "plain") this.plain.stop(turn);
    else this.send({ type: "stop", turn });
  }

  private send(frame: ClientFrame): boolean {
    if (this.status !== "online" || !this.socket) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  private change(status: Status): void {
    if (this.status === status) return;
    this.status = status;
    this.listener.status(status);
  }

  /** Forgets the socket and everything that was planned. */
  private reset(code = GIVEN_UP): void {
    this.epoch++;
    this.retry();
    this.deadline();
    this.socket?.close(code);
    this.socket = null;
  }

  private connect(): void {
    this.reset();
    if (this.status !== "plain") this.change("connecting");
    const epoch = this.epoch;
    try {
      this.socket = this.env.socket();
      this.socket.listen(
        (data) => epoch === this.epoch && this.received(data),
        (code) => epoch === this.epoch && this.lost(code),
      );
      this.deadline = this.env.clock.later(HELLO_WITHIN_MS, () => this.lost(null));
    } catch {
      // A policy that forbids WebSockets throws at once.
      this.lost(null);
    }
  }

  private received(data: unknown): void {
    const frame = typeof data === "string" ? frameOf(data) : null;
    if (!frame) return;
    if (frame.type === "hello") this.greeted(frame.turns);
    else if (this.status === "online") this.await();
    if (frame.type !== "hello" && frame.type !== "here") this.listener.frame(frame);
  }

  private greeted(running: RunningTurn[]): void {
    this.failures = 0;
    this.blocked = 0;
    this.trials = 0;
    // The turns that came over HTTP are followed here from now on.
    this.plain.close();
    this.change("online");
    this.await();
    this.listener.resumed(running);
  }

  private await(): void {
    this.deadline();
    this.deadline = this.env.clock.later(SILENT_MS, () => this.ask(ANSWER_WITHIN_MS));
  }

  private ask(within: number): void {
    this.deadline();
    this.deadline = this.env.clock.later(within, () => this.lost(null));
    this.send({ type: "here" });
  }

  private lost(code: number | null): void {
    const wasOnline = this.status === "online";
    this.reset();
    if (code === TOO_MANY_SOCKETS) this.blocked = MOST_BLOCKED;
    if (!wasOnline || code === SESSION_OVER || code === TOO_MANY_SOCKETS) this.failures++;
    if (this.status === "plain") {
      this.again();
      return;
    }
    this.change("waiting");
    // A socket that is refused tells no reason: only HTTP does.
    if (this.failures > 0) void this.examine();
    else this.plan(delayAfter(1, this.env.random()));
  }

  private plan(ms: number): void {
    this.retry();
    this.retry = this.env.clock.later(ms, () => this.connect());
  }

  /** While plain HTTP is used, a socket is tried again now and then: a proxy may have been put right. */
  private again(): void {
    const wait = Math.min(SOCKET_AGAIN_MS * 2 ** this.trials, SOCKET_AGAIN_MOST_MS);
    this.trials++;
    this.plan(wait);
  }

  private async examine(): Promise<void> {
    const epoch = this.epoch;
    const found = await this.env.probe().catch((): Probe => "unreachable");
    if (epoch !== this.epoch || this.status !== "waiting") return;
    if (found === "logged-out") return this.change("out");
    this.blocked = found === "unreachable" ? 0 : this.blocked + 1;
    if (found === "unreachable" || this.blocked < MOST_BLOCKED) {
      this.plan(delayAfter(this.failures, this.env.random()));
    } else {
      this.change("plain");
      this.again();
      this.listener.resumed(found);
    }
  }
}
