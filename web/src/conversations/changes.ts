/** What a user changes in the list: shown at once, taken back when the daemon refuses. */
import { type InfiniteData, type QueryClient, type QueryKey, useMutation, useQueryClient } from "@tanstack/react-query";
import { Problem, request } from "../api/http";
import { keys, putTitle } from "../api/queries";
import type { Conversation, Page } from "../api/types";

export const LONGEST_TITLE = 200;

type List = InfiniteData<Page<Conversation>>;

const LISTS = ["conversations", "list"] as const;

/** What was shown before a change, to show it again. */
type Before = [QueryKey, unknown][];

async function held(client: QueryClient): Promise<Before> {
  // An answer that is under way knows nothing of the change yet.
  await client.cancelQueries({ queryKey: LISTS });
  return client.getQueriesData({ queryKey: keys.conversations });
}

function restore(client: QueryClient, before: Before | undefined): void {
  for (const [key, data] of before ?? []) client.setQueryData(key, data);
}

/** A title as the daemon takes it: one line, not too long; empty when there is nothing to see in it. */
export function tidy(title: string): string {
  const line = title.replace(/\s+/g, " ").trim();
  return [...line].slice(0, LONGEST_TITLE).join("").trim();
}

/** Takes a conversation out of every list that is shown. */
export function takeOut(client: QueryClient, id: string): void {
  client.setQueriesData<List>({ queryKey: LISTS }, (list) =>
    list
      ? { ...list, pages: list.pages.map((page) => ({ ...page, data: page.data.filter((one) => one.id !== id) })) }
      : list,
  );
}

export function useRename() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ id, title }: { id: string; title: string }) =>
      request<Conversation>("PATCH", `gate/conversations/${id}`, { body: { title } }),
    onMutate: async ({ id, title }) => {
      const before = await held(client);
      putTitle(client, id, title, "user");
      return before;
    },
    onError: (_error, _change, before) => restore(client, before),
    onSettled: () => client.invalidateQueries({ queryKey: LISTS }),
  });
}

export function useRemove() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (id: string) => {
      try {
        await request<void>("DELETE", `gate/conversations/${id}`);
      } catch (error) {
        // Another tab was faster: that is what was wanted.
        if (!(error instanceof Problem) || error.status !== 404) throw error;
      }
    },
    onMutate: async (id) => {
      const before = await held(client);
      takeOut(client, id);
      return before;
    },
    onError: (_error, _id, before) => restore(client, before),
    onSettled: () => client.invalidateQueries({ queryKey: LISTS }),
  });
}

/** Where the page goes from conversation `id` to the one before (-1) or after it (1); null at an end. */
export function neighbour(conversations: readonly Conversation[], id: string | null, step: 1 | -1): string | null {
  const at = conversations.findIndex((one) => one.id === id);
  // From a new chat, or from one that is not in the list, both ways lead to the latest.
  return (at === -1 ? conversations[0] : conversations[at + step])?.id ?? null;
}
