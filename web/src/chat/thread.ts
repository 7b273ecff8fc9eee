import type { Message } from "../api/types";

/** One message of the branch that is shown. `siblings` are the ids of all that stand in its place, oldest first. */
export interface Entry {
  message: Message;
  siblings: readonly string[];
  /** Where it is among them, from 0. */
  position: number;
}

interface Tree {
  byId: Map<string, Message>;
  /** By the id of the parent; null for the beginnings. */
  children: Map<string | null, Message[]>;
}

/** A parent that is not there (deleted by a retention that ran meanwhile) makes a beginning of its child. */
function treeOf(messages: readonly Message[]): Tree {
  const byId = new Map(messages.map((message) => [message.id, message]));
  const children = new Map<string | null, Message[]>();
  for (const message of messages) {
    const parent = message.parent !== null && byId.has(message.parent) ? message.parent : null;
    const siblings = children.get(parent);
    if (siblings) siblings.push(message);
    else children.set(parent, [message]);
  }
  return { byId, children };
}

function parentOf(tree: Tree, message: Message): string | null {
  return message.parent !== null && tree.byId.has(message.parent) ? message.parent : null;
}

/** The end of the newest branch below `id`. */
function descend(tree: Tree, id: string | null): string | null {
  let end = id;
  for (let steps = 0; steps <= tree.byId.size; steps++) {
    const next = tree.children.get(end)?.at(-1);
    if (!next) break;
    end = next.id;
  }
  return end;
}

/** The messages from the beginning to the end of the branch through `leaf` (the newest one, when there is no such). */
export function branch(messages: readonly Message[], leaf: string | null): Entry[] {
  const tree = treeOf(messages);
  const end = descend(tree, leaf !== null && tree.byId.has(leaf) ? leaf : null);
  const entries: Entry[] = [];
  let message = end === null ? undefined : tree.byId.get(end);
  while (message && entries.length < messages.length) {
    const parent = parentOf(tree, message);
    const siblings = (tree.children.get(parent) ?? [message]).map((sibling) => sibling.id);
    entries.push({ message, siblings, position: siblings.indexOf(message.id) });
    message = parent === null ? undefined : tree.byId.get(parent);
  }
  return entries.reverse();
}

/** The leaf to show when the branch through `id` is chosen: the newest below it. */
export function leafBelow(messages: readonly Message[], id: string): string {
  return descend(treeOf(messages), id) ?? id;
}

/** The first of `leaves` that is there; null when none is. */
export function leafIn(messages: readonly Message[], ...leaves: (string | null | undefined)[]): string | null {
  return leaves.find((leaf) => leaf && messages.some((message) => message.id === leaf)) ?? null;
}

/** The messages with `message` in them: in its place when it is there already, else as the newest. */
export function merged(messages: readonly Message[], message: Message): Message[] {
  const known = messages.some((other) => other.id === message.id);
  if (!known) return [...messages, message];
  return messages.map((other) => (other.id === message.id ? message : other));
}

/** Without the answers that ended before their first word. The daemon does not keep them; here they are shown until
 * something else is asked. */
export function withoutEmpty(messages: readonly Message[]): Message[] {
  return messages.filter(
    ({ role, content, thinking, outcome }) =>
      role === "user" || content !== "" || thinking !== null || outcome === "completed",
  );
}

/** A message that the daemon has not told of (yet). */
export function draftOf(role: Message["role"], id: string, parent: string | null, values: Partial<Message>): Message {
  return {
    id,
    parent,
    role,
    content: "",
    thinking: null,
    images: [],
    model: null,
    created_at: new Date().toISOString(),
    outcome: null,
    error_code: null,
    input_tokens: null,
    output_tokens: null,
    duration: null,
    notice: null,
    ...values,
  };
}

/** Whether an answer can be gone on with: it was stopped, or the bound on its length (`num_predict`) has cut it. */
export function isUnfinished(message: Message, longest: number | null | undefined): boolean {
  if (message.role !== "assistant" || message.content === "") return false;
  if (message.outcome === "stopped" || message.outcome === "failed") return true;
  return typeof longest === "number" && message.output_tokens !== null && message.output_tokens >= longest;
}
