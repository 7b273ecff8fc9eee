/** What the tests of the sidebar and of the options share: a page with a daemon that answers from a table. */
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { configure, render } from "@testing-library/react";
import type { ReactNode } from "react";
import { vi } from "vitest";
import type { Conversation, Model, Page } from "../api/types";
import { StatusRegion, Toasts } from "../ui";

// A machine that is busy with other things as well is slow, and nothing is wrong with that.
configure({ asyncUtilTimeout: 5_000 });
vi.setConfig({ testTimeout: 30_000 });

export interface Asked {
  method: string;
  path: string;
  query: URLSearchParams;
  body: unknown;
}

/** `GET gate/models` → what is answered, or who answers it. A number is the status of a refusal. */
export type Answers = Record<string, unknown>;

/** Stands in for the daemon; the list returned grows with what it is asked. */
export function daemon(answers: Answers): Asked[] {
  const asked: Asked[] = [];
  vi.stubGlobal("fetch", async (input: string, init: RequestInit = {}) => {
    const [path = "", search = ""] = input.split("?");
    const method = init.method ?? "GET";
    const body: unknown = typeof init.body === "string" ? JSON.parse(init.body) : null;
    const one = { method, path, query: new URLSearchParams(search), body };
    asked.push(one);
    const known = answers[`${method} ${path}`];
    const answer: unknown = typeof known === "function" ? await known(one) : known;
    if (answer instanceof Response) return answer;
    if (answer === undefined) return refusal(404);
    if (typeof answer === "number") return answer === 204 ? new Response(null, { status: 204 }) : refusal(answer);
    return new Response(JSON.stringify(answer));
  });
  return asked;
}

function refusal(status: number): Response {
  const document = { title: "Refused", status, code: "refused", detail: "The daemon has refused." };
  return new Response(JSON.stringify(document), { status });
}

export function client(): QueryClient {
  return new QueryClient({
    defaultOptions: { queries: { retry: false, staleTime: 30_000 }, mutations: { retry: false } },
  });
}

export function renderPage(children: ReactNode, queries = client()) {
  return render(
    <QueryClientProvider client={queries}>
      {children}
      <StatusRegion />
      <Toasts />
    </QueryClientProvider>,
  );
}

export function page<Row>(data: Row[], next: string | null = null): Page<Row> {
  return { data, next };
}

export function conversation(id: string, title = `About ${id}`, updated_at = new Date().toISOString()): Conversation {
  return { id, title, titled_by: "auto", model: "m", created_at: updated_at, updated_at };
}

export function model(name: string, rest: Partial<Model> = {}): Model {
  const unknown = { vision: null, thinking: null, tools: null, context_length: null, window: null };
  return { name, loaded: false, ...unknown, parameters: null, quantization: null, size: null, ...rest };
}
