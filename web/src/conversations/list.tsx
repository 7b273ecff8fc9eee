import MessagesSquare from "lucide-react/icons/messages-square";
import SearchX from "lucide-react/icons/search-x";
import { type ReactNode, type RefObject, useEffect, useId, useMemo, useRef } from "react";
import type { useConversations } from "../api/queries";
import { Button, Empty, Failure, Skeleton, Spinner } from "../ui";
import { type Group, grouped } from "./groups";
import { Item, type ItemActions } from "./item";

export interface ListState {
  search: string;
  shown: string | null;
  editing: string | null;
  /** Where the focus was last. */
  reached: string | null;
}

interface ListProps {
  result: ReturnType<typeof useConversations>;
  state: ListState;
  actions: ItemActions;
  /** What scrolls. */
  frame: RefObject<HTMLElement | null>;
}

export function List({ result, state, actions, frame }: ListProps) {
  const { conversations, isPending, error, refetch } = result;
  const groups = useMemo(() => grouped(conversations, new Date()), [conversations]);
  if (isPending) return <Skeleton lines={6} label="Loading conversations" />;
  // A list that was read before is better than the news that it cannot be read again.
  if (error && conversations.length === 0) return <Failure error={error} onRetry={() => void refetch()} />;
  if (conversations.length === 0) return <Nothing search={state.search} />;
  const ids = conversations.map((one) => one.id);
  const stop = [state.reached, state.shown].find((id) => id !== null && ids.includes(id)) ?? ids[0] ?? null;
  return (
    <>
      {groups.map((group) => (
        <Section key={group.label} group={group}>
          {group.conversations.map((one) => (
            <Item
              key={one.id}
              conversation={one}
              search={state.search}
              current={one.id === state.shown}
              stop={one.id === stop}
              editing={one.id === state.editing}
              actions={actions}
            />
          ))}
        </Section>
      ))}
      <More result={result} frame={frame} />
    </>
  );
}

function Section({ group, children }: { group: Group; children: ReactNode }) {
  const id = useId();
  return (
    <section className="conv-group" aria-labelledby={id}>
      <h3 id={id} className="conv-heading">
        {group.label}
      </h3>
      <ul className="conv-list">{children}</ul>
    </section>
  );
}

function Nothing({ search }: { search: string }) {
  if (search) {
    return (
      <Empty icon={<SearchX />} title="Nothing found">
        No title and no message has “{search}” in it.
      </Empty>
    );
  }
  return (
    <Empty icon={<MessagesSquare />} title="No conversations yet">
      What you ask is listed here, the latest first.
    </Empty>
  );
}

/** Reads the next page when the end of the list comes near. */
function More({ result, frame }: Pick<ListProps, "result" | "frame">) {
  const { hasNextPage, isFetchingNextPage, isFetchNextPageError, error, fetchNextPage, data } = result;
  const end = useRef<HTMLDivElement>(null);
  const count = data?.pages.length ?? 0;
  const waits = hasNextPage && !isFetchingNextPage && !isFetchNextPageError;
  // biome-ignore lint/correctness/useExhaustiveDependencies: after each page it has to be seen anew where the end is
  useEffect(() => {
    if (!waits || !end.current || typeof IntersectionObserver === "undefined") return;
    const observer = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) void fetchNextPage();
      },
      { root: frame.current, rootMargin: "400px" },
    );
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [waits, count, fetchNextPage]);
  if (isFetchNextPageError) return <Failure error={error} onRetry={() => void fetchNextPage()} />;
  if (!hasNextPage) return null;
  return (
    <div ref={end} className="conv-more">
      {isFetchingNextPage ? (
        <Spinner label="Loading more conversations" />
      ) : (
        <Button size="sm" variant="ghost" onClick={() => void fetchNextPage()}>
          Show more
        </Button>
      )}
    </div>
  );
}
