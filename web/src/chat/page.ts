import { navigate } from "wouter/use-hash-location";
import { ensureSession, open, Problem, request, urlOf, useAuth } from "../api/http";
import { queryClient } from "../api/queries";
import type { Page, RunningTurn } from "../api/types";
import { useChats } from "./chats";
import { wallClock } from "./clock";
import { Connection, type Probe, type Socket } from "./connection";
import { forgetDrafts } from "./drafts";
import { PageEffects } from "./effects";
import { browserFrame } from "./pace";
import { Streams } from "./streams";
import { Turns } from "./turns";

export interface Live {
  turns: Turns;
  connection: Connection;
}

/** `gate/ws` beside the document, whatever path a proxy has put before it. */
export function socketUrl(document: string): string {
  const url = new URL("gate/ws", document);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = url.hash = "";
  return url.href;
}

function socketOf(socket: WebSocket): Socket {
  return {
    // On one that is closing it would only complain: that it is closed will be heard soon.
    send: (data) => socket.readyState === WebSocket.OPEN && socket.send(data),
    close: (code) => socket.close(code),
    listen: (heard, closed) => {
      socket.onmessage = ({ data }) => heard(data);
      socket.onclose = ({ code }) => closed(code);
    },
  };
}

export async function runningTurns(): Promise<RunningTurn[]> {
  return (await request<Page<RunningTurn>>("GET", "gate/chat")).data;
}

async function probe(): Promise<Probe> {
  try {
    return await runningTurns();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return error.status === 401 ? "logged-out" : "unreachable";
  }
}

function beacon(turns: string[]): void {
  const body = new Blob([JSON.stringify({ turns })], { type: "application/json" });
  navigator.sendBeacon(urlOf("gate/chat/bye"), body);
}

function arrived(conversation: string): void {
  // Whoever has gone elsewhere meanwhile stays there.
  if (location.hash.replace(/^#?\/?/, "") === "") navigate(`/c/${conversation}`, { replace: true });
}

function build(): Live {
  const clock = wallClock;
  const turns = new Turns(clock, browserFrame, new PageEffects(queryClient, arrived, clock.now));
  const connection = new Connection(
    {
      clock,
      random: Math.random,
      socket: () => socketOf(new WebSocket(socketUrl(document.baseURI))),
      http: (frame) =>
        new Streams({
          clock,
          random: Math.random,
          open: (method, path, body, signal) => open(method, path, { body, signal }),
          frame,
        }),
      probe,
      beacon,
    },
    turns,
  );
  turns.use(connection);
  return { turns, connection };
}

let live: Live | null = null;

/** Nobody can come back to a temporary chat that has made room for a new one: what runs there ends. */
function abandonFresh(): void {
  useChats.subscribe((now, before) => {
    const left = before.chats[before.fresh];
    if (now.fresh === before.fresh || !left?.temporary) return;
    const { [left.key]: _, ...chats } = now.chats;
    useChats.setState({ chats });
    liveOf().turns.stopAll(left.key);
  });
}

/** The turns and the connection of this page. */
export function liveOf(): Live {
  live ??= build();
  return live;
}

let isLive = false;

/** Connects, and keeps the connection as long as the page is there and somebody is logged in. */
export function goLive(): void {
  if (isLive) return;
  isLive = true;
  const { connection, turns } = liveOf();
  const connect = () => {
    const isIn = () => useAuth.getState().state === "in";
    const go = () => isIn() && connection.open();
    // A handshake with a session that has just ended is refused without a reason.
    if (isIn()) void ensureSession().then(go, go);
  };
  const shown = (event: PageTransitionEvent) => {
    if (!event.persisted) return;
    connection.nudge();
    connect();
  };
  const nudge = () => {
    if (document.visibilityState === "visible") connection.nudge();
  };
  abandonFresh();
  useAuth.subscribe((now, before) => {
    if (now.state === before.state) return;
    if (now.reason === "left") forgetDrafts();
    if (now.state === "in") connect();
    else connection.leave();
  });
  window.addEventListener("online", nudge);
  window.addEventListener("offline", nudge);
  document.addEventListener("visibilitychange", nudge);
  let isReload = false;
  // A reload looks like closing to browsers that do not know this event: then what the page follows ends.
  window.addEventListener("pageswap", ({ activation }) => {
    isReload = activation?.navigationType === "reload";
  });
  window.addEventListener("pagehide", ({ persisted }) => {
    // A page that the browser keeps for "back" may come again: its turns have the grace for that.
    if (persisted) return;
    if (isReload) connection.pause(turns.unkept());
    else connection.leave();
  });
  window.addEventListener("pageshow", shown);
  connect();
}
