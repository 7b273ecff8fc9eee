import { type InfiniteData, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, renderHook, waitFor } from "@testing-library/react";
import type { ReactNode } from "react";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { keys } from "../api/queries";
import type { Conversation, Page } from "../api/types";
import { neighbour, tidy, useRemove, useRename } from "./changes";

const NOW = "2026-11-23T12:00:00Z";

function conversation(id: string): Conversation {
  return { id, title: `Title ${id}`, titled_by: "auto", model: "m", created_at: NOW, updated_at: NOW };
}

let client: QueryClient;

function page({ children }: { children: ReactNode }) {
  return <QueryClientProvider client={client}>{children}</QueryClientProvider>;
}

function shown(search = ""): string[] {
  const list = client.getQueryData<InfiniteData<Page<Conversation>>>(keys.conversationList(search));
  return list?.pages.flatMap((one) => one.data.map((entry) => entry.title)) ?? [];
}

/** A daemon that answers when it is told to. */
function daemon(): { answer: (response: Response) => void; asked: ReturnType<typeof vi.fn> } {
  let answer: (response: Response) => void = () => undefined;
  const promise = new Promise<Response>((resolve) => {
    answer = resolve;
  });
  const asked = vi.fn(() => promise);
  vi.stubGlobal("fetch", asked);
  return { answer, asked };
}

function problem(status: number, code: string): Response {
  return new Response(JSON.stringify({ title: "No", status, code, detail: "No." }), { status });
}

beforeEach(() => {
  client = new QueryClient({ defaultOptions: { queries: { retry: false }, mutations: { retry: false } } });
  const pages = [
    { data: [conversation("a"), conversation("b")], next: "x" },
    { data: [conversation("c")], next: null },
  ];
  client.setQueryData(keys.conversationList(""), { pages, pageParams: [null, "x"] });
  client.setQueryData(keys.conversationList("t"), { pages, pageParams: [null, "x"] });
});

describe("useRename", () => {
  it("shows the title at once, in every list", async () => {
    const { answer, asked } = daemon();
    const { result } = renderHook(() => useRename(), { wrapper: page });
    act(() => result.current.mutate({ id: "c", title: "New" }));
    await waitFor(() => expect(shown()).toEqual(["Title a", "Title b", "New"]));
    expect(shown("t")).toEqual(["Title a", "Title b", "New"]);
    answer(new Response(JSON.stringify({ ...conversation("c"), title: "New" })));
    await waitFor(() => expect(result.current.isSuccess).toBe(true));
    expect(asked).toHaveBeenCalledWith("gate/conversations/c", expect.objectContaining({ method: "PATCH" }));
    expect(shown()).toEqual(["Title a", "Title b", "New"]);
  });

  it("takes it back when the daemon refuses", async () => {
    const { answer } = daemon();
    const { result } = renderHook(() => useRename(), { wrapper: page });
    act(() => result.current.mutate({ id: "c", title: "New" }));
    await waitFor(() => expect(shown()).toContain("New"));
    answer(problem(503, "database_unavailable"));
    await waitFor(() => expect(result.current.isError).toBe(true));
    expect(shown()).toEqual(["Title a", "Title b", "Title c"]);
  });
});

describe("useRemove", () => {
  it("takes it out at once and puts it back when the daemon refuses", async () => {
    const { answer } = daemon();
    const { result } = renderHook(() => useRemove(), { wrapper: page });
    act(() => result.current.mutate("b"));
    await waitFor(() => expect(shown()).toEqual(["Title a", "Title c"]));
    answer(problem(500, "internal"));
    await waitFor(() => expect(result.current.isError).toBe(true));
    expect(shown()).toEqual(["Title a", "Title b", "Title c"]);
  });

  it("is content when it is gone already", async () => {
    const { answer } = daemon();
    const { result } = renderHook(() => useRemove(), { wrapper: page });
    act(() => result.current.mutate("b"));
    answer(problem(404, "not_found"));
    await waitFor(() => expect(result.current.isSuccess).toBe(true));
    expect(shown()).toEqual(["Title a", "Title c"]);
  });
});

describe("tidy", () => {
  it("makes one line of it, of at most 200 characters", () => {
    expect(tidy("  a\n b\t c ")).toBe("a b c");
    expect(tidy(" \n ")).toBe("");
    expect([...tidy("😀".repeat(300))]).toHaveLength(200);
  });
});

describe("neighbour", () => {
  const list = [conversation("a"), conversation("b"), conversation("c")];

  it("is the next or previous in the list", () => {
    expect(neighbour(list, "b", 1)).toBe("c");
    expect(neighbour(list, "b", -1)).toBe("a");
    expect(neighbour(list, "c", 1)).toBeNull();
    expect(neighbour(list, "a", -1)).toBeNull();
  });

  it("is the latest from a new chat", () => {
    expect(neighbour(list, null, 1)).toBe("a");
    expect(neighbour(list, "elsewhere", -1)).toBe("a");
    expect(neighbour([], null, 1)).toBeNull();
  });
});
