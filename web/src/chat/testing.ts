/** For tests: a clock that goes on when it is told to, and messages. */
import type { ConversationDetail, Message, TurnFrame } from "../api/types";
import type { Clock } from "./clock";
import { draftOf } from "./thread";

export class FakeClock implements Clock {
  time = 1_000_000;
  private alarms: { at: number; run: () => void }[] = [];

  now(): number {
    return this.time;
  }

  later(ms: number, run: () => void): () => void {
    const alarm = { at: this.time + ms, run };
    this.alarms.push(alarm);
    return () => {
      this.alarms = this.alarms.filter((other) => other !== alarm);
    };
  }

  /** Let so much time pass, with everything that happens in it. */
  pass(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const next = this.alarms.filter((alarm) => alarm.at <= end).sort((one, other) => one.at - other.at)[0];
      if (!next) break;
      this.alarms = this.alarms.filter((alarm) => alarm !== next);
      this.time = next.at;
      next.run();
    }
    this.time = end;
  }

  get waiting(): number {
    return this.alarms.length;
  }
}

/** Let everything happen that waits for nothing but its turn. */
export async function settled(): Promise<void> {
  for (let round = 0; round < 20; round++) await Promise.resolve();
}

export function conversation(id: string, messages: Message[], leaf: string | null): ConversationDetail {
  return {
    id,
    title: "Rain",
    titled_by: "auto",
    model: "llama3.2",
    created_at: "2026-11-23T10:00:00Z",
    updated_at: "2026-11-23T10:00:00Z",
    system: null,
    parameters: {},
    leaf,
    messages,
  };
}

export function question(id: string, parent: string | null, content = `question ${id}`): Message {
  return draftOf("user", id, parent, { content });
}

export function answer(id: string, parent: string | null, values: Partial<Message> = {}): Message {
  return draftOf("assistant", id, parent, {
    content: `answer ${id}`,
    outcome: "completed",
    model: "llama3.2",
    ...values,
  });
}

type Body<Type extends TurnFrame["type"]> = Omit<Extract<TurnFrame, { type: Type }>, "turn" | "seq" | "type">;

/** The frames of one turn, numbered as the daemon numbers them. */
export class Script {
  private seq = 0;

  constructor(
    readonly turn: string,
    readonly ref: string,
  ) {}

  next<Type extends TurnFrame["type"]>(type: Type, body: Body<Type>): TurnFrame {
    this.seq++;
    return { type, turn: this.turn, seq: this.seq, ...body } as unknown as TurnFrame;
  }

  accepted(values: Partial<Body<"accepted">> = {}): TurnFrame {
    const given = { conversation: "C1", user_message: null, message: "A1", parent: "Q1", ...values };
    return this.next("accepted", { ref: this.ref, ...given });
  }

  queued(ahead: number, values: Partial<Body<"queued">> = {}): TurnFrame {
    const given = { level: 3, submitted_level: 3, aged: false, waited: 0, estimated_wait: null, ...values };
    return this.next("queued", { ahead, ...given });
  }

  started(loading = false): TurnFrame {
    return this.next("started", { waited: 1, loading });
  }

  token(text: string): TurnFrame {
    return this.next("token", { text });
  }

  snapshot(values: Partial<Body<"snapshot">> = {}): TurnFrame {
    return this.next("snapshot", {
      ref: this.ref,
      conversation: "C1",
      parent: "Q1",
      message: "A1",
      model: "llama3.2",
      state: "answering",
      waited: null,
      ahead: null,
      estimated_wait: null,
      loading: false,
      thinking: "",
      content: "",
      notice: null,
      ...values,
    });
  }

  done(message: Message, values: Partial<Body<"done">> = {}): TurnFrame {
    const usage = {
      input_tokens: 10,
      output_tokens: 20,
      waited: 1,
      first_token: 0.5,
      duration: 3,
      tokens_per_second: 40,
    };
    return this.next("done", { outcome: message.outcome ?? "completed", message, error: null, usage, ...values });
  }
}
