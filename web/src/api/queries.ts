/** What the page reads from the daemon, cached, and what it changes there. */
import {
  type InfiniteData,
  QueryClient,
  useInfiniteQuery,
  useMutation,
  useQuery,
  useQueryClient,
} from "@tanstack/react-query";
import { useMemo } from "react";
import { Problem, request, useAuth } from "./http";
import type {
  About,
  ApiKey,
  Conversation,
  ConversationDetail,
  Me,
  Model,
  NewApiKey,
  Page,
  Session,
  UsageRow,
} from "./types";
import { read, send } from "./wire";

export const keys = {
  about: ["about"] as const,
  models: ["models"] as const,
  conversations: ["conversations"] as const,
  conversationList: (search: string) => ["conversations", "list", search] as const,
  conversation: (id: string) => ["conversations", "one", id] as const,
  sessions: ["sessions"] as const,
  apiKeys: ["keys"] as const,
  usage: (by: UsageBy, days: number) => ["usage", by, days] as const,
};

/** How old the list of models may get on a page that is looked at. */
const MODELS_MS = 60_000;

export type UsageBy = "day" | "model" | "key";

export interface KeyWish {
  name: string;
  level?: number;
  models?: string[];
  expires_at?: string;
}

export function makeQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        // The gateway may well be on this machine or in this house: whether there is internet says nothing.
        networkMode: "always",
        staleTime: 30_000,
        retry: (failures, error) => failures < 2 && error instanceof Problem && error.isPassing,
      },
      mutations: { networkMode: "always", retry: false },
    },
  });
}

/** The one of the page; also for who is no component, like the store of turns. */
export const queryClient = makeQueryClient();

export function useAbout() {
  return useQuery({
    queryKey: keys.about,
    // Public: asked without a session, and a failure says nothing about one.
    queryFn: async ({ signal }) => read<About>(await send("GET", "gate/about", { signal })),
  });
}

/** Who is logged in; null when nobody is. */
export function useMe(): Me | null {
  return useAuth((auth) => (auth.state === "in" ? auth.me : null));
}

export function useModels() {
  return useQuery({
    queryKey: keys.models,
    queryFn: ({ signal }) => allPages<Model>("gate/models", signal),
    // What is in memory changes without anybody telling. Nothing is asked while the page is hidden.
    refetchInterval: MODELS_MS,
    refetchOnWindowFocus: "always",
  });
}

/** The latest first; `conversations` are those of all pages read so far. */
export function useConversations(search = "") {
  const result = useInfiniteQuery({
    queryKey: keys.conversationList(search),
    queryFn: ({ pageParam, signal }) =>
      request<Page<Conversation>>("GET", "gate/conversations", {
        query: { search: search || null, after: pageParam, limit: 50 },
        signal,
      }),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  });
  const pages = result.data?.pages;
  const conversations = useMemo(() => pages?.flatMap((page) => page.data) ?? [], [pages]);
  return { ...result, conversations };
}

export function useConversation(id: string | null) {
  return useQuery({
    queryKey: keys.conversation(id ?? ""),
    queryFn: ({ signal }) => request<ConversationDetail>("GET", `gate/conversations/${id}`, { signal }),
    enabled: id !== null,
  });
}

export function useDeleteAllConversations() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => request<{ deleted: number }>("DELETE", "gate/conversations"),
    onSuccess: () => {
      client.removeQueries({ queryKey: ["conversations", "one"] });
      return client.invalidateQueries({ queryKey: ["conversations", "list"] });
    },
  });
}

/** Show a title at once wherever it is shown; the daemon has it already. */
export function putTitle(client: QueryClient, id: string, title: string, by: Conversation["titled_by"] = "auto"): void {
  const retitled = <T extends Conversation>(one: T): T => (one.id === id ? { ...one, title, titled_by: by } : one);
  client.setQueryData<ConversationDetail>(keys.conversation(id), (one) => one && retitled(one));
  client.setQueriesData<InfiniteData<Page<Conversation>>>({ queryKey: ["conversations", "list"] }, (list) =>
    list ? { ...list, pages: list.pages.map((page) => ({ ...page, data: page.data.map(retitled) })) } : list,
  );
}

/** Gives a conversation the title that it has in the list, once it is in there. */
export function takeListedTitle(client: QueryClient, id: string): void {
  const lists = client.getQueriesData<InfiniteData<Page<Conversation>>>({ queryKey: ["conversations", "list"] });
  const all = lists.flatMap(([, list]) => list?.pages.flatMap((page) => page.data) ?? []);
  const found = all.find((one) => one.id === id);
  if (found) putTitle(client, id, found.title, found.titled_by);
}

export function useSessions() {
  return useQuery({
    queryKey: keys.sessions,
    queryFn: ({ signal }) => allPages<Session>("gate/auth/sessions", signal),
  });
}

export function useEndSession() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => request<Session>("POST", `gate/auth/sessions/${id}/revoke`),
    onSettled: () => client.invalidateQueries({ queryKey: keys.sessions }),
  });
}

export function useApiKeys() {
  return useQuery({ queryKey: keys.apiKeys, queryFn: ({ signal }) => allPages<ApiKey>("gate/keys", signal) });
}

export function useCreateKey() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (wish: KeyWish) => request<NewApiKey>("POST", "gate/keys", { body: wish }),
    // The answer holds the secret: it is dropped as soon as nobody shows it.
    gcTime: 0,
    onSuccess: () => client.invalidateQueries({ queryKey: keys.apiKeys }),
  });
}

export function useRevokeKey() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => request<ApiKey>("POST", `gate/keys/${id}/revoke`),
    onSettled: () => client.invalidateQueries({ queryKey: keys.apiKeys }),
  });
}

export function useUsage(by: UsageBy, days: number) {
  return useQuery({
    queryKey: keys.usage(by, days),
    queryFn: ({ signal }) => allPages<UsageRow>("gate/usage", signal, { by, days }),
    placeholderData: (before) => before,
  });
}

const MOST_PAGES = 20;

/** A list that is short by its nature, whole. */
async function allPages<Row>(path: string, signal: AbortSignal, query: Record<string, string | number> = {}) {
  const rows: Row[] = [];
  let after: string | null = null;
  for (let count = 0; count < MOST_PAGES; count += 1) {
    const page: Page<Row> = await request<Page<Row>>("GET", path, { query: { ...query, after }, signal });
    rows.push(...page.data);
    after = page.next;
    if (!after) break;
  }
  return rows;
}
