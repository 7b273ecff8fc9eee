/** For tests: the chat as it is in the page, with a daemon that says what it is told to say. */
import { QueryClientProvider } from "@tanstack/react-query";
import { act, render } from "@testing-library/react";
import { vi } from "vitest";
import { Router } from "wouter";
import { useHashLocation } from "wouter/use-hash-location";
import { useAuth } from "../api/http";
import { queryClient } from "../api/queries";
import type { About, ClientFrame, ConversationDetail, Model, RunningTurn, ServerFrame, Start } from "../api/types";
import { routeOf } from "../route";
import { StatusRegion } from "../ui";
import { Chat } from "./chat";

export const MODELS = ["llama3.2", "llava"].map(
  (name): Model => ({
    name,
    loaded: name === "llama3.2",
    vision: name === "llava",
    thinking: false,
    tools: false,
    context_length: 8192,
    window: 8192,
    parameters: null,
    quantization: null,
    size: null,
  }),
);

const ABOUT: About = {
  version: "1",
  registration: false,
  setup_needed: false,
  password_min_length: 8,
  conversations: true,
  conversation_days: 90,
  cookies: true,
};

export interface Asked {
  method: string;
  path: string;
  body: unknown;
}

/** The daemon's side of the page. */
export class Daemon {
  conversations = new Map<string, ConversationDetail>();
  running: RunningTurn[] = [];
  asked: Asked[] = [];
  sent: ClientFrame[] = [];
  sockets: PageSocket[] = [];

  /** What the page is told over its socket. */
  say(...frames: ServerFrame[]): Promise<void> {
    return act(async () => {
      for (const frame of frames) this.sockets.at(-1)?.onmessage?.({ data: JSON.stringify(frame) });
    });
  }

  get start(): Start {
    const start = this.sent.filter((frame) => frame.type === "start").at(-1);
    if (!start) throw new Error("nothing was asked");
    return start;
  }

  changes(method: string): Asked[] {
    return this.asked.filter((one) => one.method === method);
  }

  answer = async (input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    const method = init.method ?? "GET";
    const path = String(input);
    const body: unknown = typeof init.body === "string" ? JSON.parse(init.body) : null;
    this.asked.push({ method, path, body });
    return Response.json(this.resource(method, path, body));
  };

  private resource(method: string, path: string, body: unknown): unknown {
    if (path === "gate/about") return ABOUT;
    if (path === "gate/models") return { data: MODELS, next: null };
    if (path === "gate/chat") return { data: this.running, next: null };
    const [, id, , message] = /^gate\/conversations\/(\w+)(\/messages\/(\w+))?$/.exec(path) ?? [];
    const conversation = this.conversations.get(id ?? "");
    if (!conversation) return { data: [], next: null };
    if (method === "PATCH" && message) {
      return { ...conversation.messages.find((one) => one.id === message), ...(body as object) };
    }
    return conversation;
  }
}

let daemon = new Daemon();

class PageSocket {
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;

  constructor() {
    daemon.sockets.push(this);
    queueMicrotask(() => {
      const hello = { type: "hello", version: "1", grace_seconds: 30, turns: [] };
      this.onmessage?.({ data: JSON.stringify(hello) });
    });
  }

  send(text: string): void {
    daemon.sent.push(JSON.parse(text) as ClientFrame);
  }

  close(): void {
    // The page wants to hear no more of it.
  }
}

function Page() {
  const [path] = useHashLocation();
  const route = routeOf(path);
  return route.page === "chat" ? <Chat conversationId={route.conversation} /> : null;
}

/** Show the page at this address. The connection is that of the whole file, as in a browser it is that of the page. */
export async function showPage(hash: string, prepared: (daemon: Daemon) => void = () => undefined): Promise<Daemon> {
  const { sockets } = daemon;
  daemon = new Daemon();
  daemon.sockets = sockets;
  prepared(daemon);
  vi.stubGlobal("fetch", daemon.answer);
  vi.stubGlobal("WebSocket", PageSocket);
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe(): void {}
      unobserve(): void {}
      disconnect(): void {}
    },
  );
  queryClient.clear();
  history.replaceState(null, "", hash);
  useAuth.setState({
    state: "in",
    life: null,
    me: {
      kind: "session",
      id: "U1",
      name: "anna",
      role: "user",
      level: 3,
      user_id: "U1",
      session_id: "S1",
      models: null,
    },
  });
  await act(async () => {
    render(
      <QueryClientProvider client={queryClient}>
        <Router hook={useHashLocation}>
          <Page />
          <StatusRegion />
        </Router>
      </QueryClientProvider>,
    );
  });
  return daemon;
}
