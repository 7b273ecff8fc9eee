import { beforeEach, describe, expect, it, vi } from "vitest";
import type { ClientFrame, RunningTurn, ServerFrame, Start } from "../api/types";
import { delayAfter } from "./clock";
import { Connection, GIVEN_UP, GOING, type PlainHttp, type Probe, type Socket, type Status } from "./connection";
import { FakeClock, settled } from "./testing";

class FakeSocket implements Socket {
  sent: ClientFrame[] = [];
  closed: number | undefined;
  heard: (data: unknown) => void = () => undefined;
  ended: (code: number) => void = () => undefined;

  send(data: string): void {
    this.sent.push(JSON.parse(data) as ClientFrame);
  }

  close(code?: number): void {
    this.closed = code;
  }

  listen(heard: (data: unknown) => void, closed: (code: number) => void): void {
    this.heard = heard;
    this.ended = closed;
  }

  say(frame: unknown): void {
    this.heard(JSON.stringify(frame));
  }

  hello(turns: RunningTurn[] = []): void {
    this.say({ type: "hello", version: "1", grace_seconds: 30, turns });
  }
}

const START = { type: "start", ref: "r1" } as unknown as Start;
const RUNNING: RunningTurn = { turn: "T1", ref: "r1", conversation: null, message: "A1", state: "queued" };

const clock = { current: new FakeClock() };
let sockets: FakeSocket[];
let statuses: Status[];
let frames: ServerFrame[];
let resumed: RunningTurn[][];
let probed: Probe;
let throws: boolean;
let beacon: string[][];
let plain: { [Name in keyof PlainHttp]: ReturnType<typeof vi.fn> };
let connection: Connection;

function last(): FakeSocket {
  const socket = sockets.at(-1);
  if (!socket) throw new Error("no socket was opened");
  return socket;
}

beforeEach(() => {
  clock.current = new FakeClock();
  sockets = [];
  statuses = [];
  frames = [];
  resumed = [];
  beacon = [];
  probed = [];
  throws = false;
  plain = { start: vi.fn(), attach: vi.fn(), stop: vi.fn(), turns: vi.fn(() => []), close: vi.fn() };
  connection = new Connection(
    {
      clock: clock.current,
      random: () => 1,
      socket: () => {
        if (throws) throw new Error("refused by a policy");
        sockets.push(new FakeSocket());
        return last();
      },
      http: () => plain as unknown as PlainHttp,
      probe: () => Promise.resolve(probed),
      beacon: (turns) => beacon.push(turns),
    },
    {
      frame: (frame) => frames.push(frame),
      status: (status) => statuses.push(status),
      resumed: (running) => resumed.push(running),
    },
  );
});

/** As if no socket got through, twice. */
async function blocked(): Promise<void> {
  connection.open();
  last().ended(1006);
  await settled();
  clock.current.pass(500);
  last().ended(1006);
  await settled();
}

describe("a connection", () => {
  it("stands with the hello, and hands on what comes", () => {
    connection.open();
    connection.open();
    expect(sockets).toHaveLength(1);
    expect(connection.start(START)).toBe(false);
    last().hello([RUNNING]);
    expect(connection.status).toBe("online");
    expect(resumed).toEqual([[RUNNING]]);
    expect(connection.start(START)).toBe(true);
    last().say({ type: "gone", turn: "T1" });
    last().heard("<html>");
    expect(frames).toEqual([{ type: "gone", turn: "T1" }]);
    expect(last().sent).toEqual([START]);
  });

  it("comes back when it is lost, without a word to the turns", async () => {
    connection.open();
    last().hello();
    last().ended(1006);
    expect(connection.status).toBe("waiting");
    clock.current.pass(500);
    expect(sockets).toHaveLength(2);
    last().hello([RUNNING]);
    expect(resumed).toHaveLength(2);
  });

  it("asks whether anybody is there when it is silent, and gives up without an answer", () => {
    connection.open();
    const first = last();
    first.hello();
    clock.current.pass(20_000);
    expect(first.sent).toEqual([{ type: "here" }]);
    first.say({ type: "here" });
    clock.current.pass(20_000);
    expect(first.sent).toHaveLength(2);
    clock.current.pass(10_000);
    // 1000 would end the turns: the daemon takes it for a page that was closed.
    expect(first.closed).toBe(GIVEN_UP);
    clock.current.pass(500);
    expect(sockets).toHaveLength(2);
    // What the old one says counts no more.
    first.hello();
    expect(connection.status).toBe("connecting");
  });

  it("gives up a socket that says nothing at all", async () => {
    connection.open();
    clock.current.pass(10_000);
    expect(last().closed).toBe(GIVEN_UP);
    expect(connection.status).toBe("waiting");
  });

  it("tries at once when the network is back", () => {
    connection.open();
    last().hello();
    last().ended(1006);
    connection.nudge();
    expect(sockets).toHaveLength(2);
    last().hello();
    connection.nudge();
    expect(last().sent).toEqual([{ type: "here" }]);
    clock.current.pass(4000);
    expect(connection.status).toBe("waiting");
  });

  it("waits longer and longer while nothing answers, and never uses HTTP then", async () => {
    probed = "unreachable";
    connection.open();
    for (const wait of [500, 1000, 2000, 4000]) {
      last().ended(1006);
      await settled();
      const before = sockets.length;
      clock.current.pass(wait - 1);
      expect(sockets).toHaveLength(before);
      clock.current.pass(1);
      expect(sockets).toHaveLength(before + 1);
    }
    probed = [];
    last().ended(1006);
    await settled();
    expect(connection.status).toBe("waiting");
  });

  it("is over when nobody is logged in", async () => {
    connection.open();
    last().hello();
    probed = "logged-out";
    last().ended(4401);
    await settled();
    expect(connection.status).toBe("out");
    expect(clock.current.waiting).toBe(0);
    connection.open();
    expect(connection.status).toBe("connecting");
  });

  it("comes back when the session could be renewed", async () => {
    connection.open();
    last().ended(4401);
    await settled();
    clock.current.pass(500);
    last().hello();
    expect(connection.status).toBe("online");
  });

  it("says good-bye", () => {
    connection.open();
    last().hello();
    connection.leave();
    expect(last().sent).toEqual([{ type: "bye" }]);
    expect(last().closed).toBe(GOING);
    expect(beacon).toEqual([]);
    expect(clock.current.waiting).toBe(0);
  });

  it("lets its turns wait for a page that is loaded again, but those that it cannot come back to", () => {
    connection.open();
    last().hello();
    connection.pause(["T2"]);
    expect(last().sent).toEqual([{ type: "stop", turn: "T2" }]);
    expect(last().closed).toBe(GIVEN_UP);
    expect(connection.status).toBe("idle");
    expect(clock.current.waiting).toBe(0);
  });
});

describe("plain HTTP", () => {
  it("is used when sockets fail twice although the daemon answers", async () => {
    probed = [RUNNING];
    await blocked();
    expect(connection.status).toBe("plain");
    expect(resumed).toEqual([[RUNNING]]);
    expect(connection.start(START)).toBe(true);
    connection.attach("T1");
    connection.stop("T1");
    expect(plain.start).toHaveBeenCalledWith(START);
    expect(plain.attach).toHaveBeenCalledWith("T1");
    expect(plain.stop).toHaveBeenCalledWith("T1");
  });

  it("is used when a policy forbids sockets", async () => {
    throws = true;
    connection.open();
    await settled();
    clock.current.pass(500);
    await settled();
    expect(connection.status).toBe("plain");
  });

  it("is used when there are too many sockets", async () => {
    connection.open();
    last().ended(4429);
    await settled();
    expect(connection.status).toBe("plain");
  });

  it("makes room for a socket as soon as one gets through", async () => {
    await blocked();
    clock.current.pass(60_000);
    expect(connection.status).toBe("plain");
    last().ended(1006);
    clock.current.pass(119_999);
    expect(sockets).toHaveLength(3);
    clock.current.pass(1);
    last().hello([RUNNING]);
    expect(connection.status).toBe("online");
    expect(plain.close).toHaveBeenCalled();
    expect(resumed.at(-1)).toEqual([RUNNING]);
  });

  it("says good-bye with a beacon", async () => {
    await blocked();
    plain.turns.mockReturnValue(["T1"]);
    connection.leave();
    expect(beacon).toEqual([["T1"]]);
    expect(plain.close).toHaveBeenCalled();
  });

  it("says good-bye to those that a page that is loaded again cannot come back to", async () => {
    await blocked();
    connection.pause(["T2"]);
    expect(beacon).toEqual([["T2"]]);
    expect(plain.close).toHaveBeenCalled();
    connection.pause([]);
    expect(beacon).toHaveLength(1);
  });
});

describe("delayAfter", () => {
  it("grows, with a bound, and is half chance", () => {
    expect([1, 2, 3, 20].map((failures) => delayAfter(failures, 1))).toEqual([500, 1000, 2000, 30_000]);
    expect(delayAfter(1, 0)).toBe(250);
  });
});
