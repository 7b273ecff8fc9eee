import ArrowDown from "lucide-react/icons/arrow-down";
import MessageCircleQuestion from "lucide-react/icons/message-circle-question-mark";
import { type MouseEvent, type ReactNode, useDeferredValue, useEffect, useRef } from "react";
import { Button, IconButton } from "../ui";
import { AnswerItem } from "./answer-item";
import { useChats } from "./chats";
import { useChatting } from "./context";
import { QuestionItem } from "./question-item";
import { useScrolling } from "./scrolling";
import type { Entry } from "./thread";
import type { View } from "./view";

interface TranscriptProps {
  view: View;
  /** Whether it is known what goes on in the conversation. */
  isSettled: boolean;
  /** Shown while nothing was said. */
  empty: ReactNode;
}

/** Messages that are there at once when a long conversation is opened; the ones before follow behind. */
const AT_ONCE = 20;

/** The branch that is shown. What streams is no live region: a screen reader could not keep up with it. */
export function Transcript({ view, isSettled, empty }: TranscriptProps) {
  const { entries, shape, isRunning } = view;
  const names = useChats((state) => state.names);
  const frame = useRef<HTMLElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const { atEnd, toEnd, hold, letGo } = useScrolling(frame, content);
  const { ref } = shape;
  const started = useRef(ref);
  useEffect(() => {
    // Whoever asks wants to see what becomes of it.
    if (ref !== started.current) toEnd();
    started.current = ref;
  }, [ref, toEnd]);
  const isEmpty = entries.length === 0;
  const isWhole = useDeferredValue(true, entries.length <= AT_ONCE);
  const begin = isWhole ? 0 : entries.length - AT_ONCE;
  const clicked = ({ target }: MouseEvent) => {
    // A branch that is switched must not move the switch away from the pointer.
    hold(closest(target, ".branch"));
    // While the model thinks, its thoughts are what is at the end.
    if (!isRunning && closest(target, ".thinking-toggle")) letGo();
  };
  return (
    <div className="transcript">
      <section ref={frame} className="transcript-frame" aria-label="Conversation" tabIndex={isEmpty ? -1 : 0}>
        <div ref={content} className="transcript-content" onClickCapture={clicked}>
          {isEmpty ? empty : null}
          {entries.map((entry, index) =>
            index < begin ? null : (
              <Item key={names[entry.message.id] ?? entry.message.id} {...{ entry, index, view }} />
            ),
          )}
          {isRunning || !isSettled ? null : <Unanswered entry={entries.at(-1)} />}
        </div>
      </section>
      {atEnd || isEmpty ? null : (
        <div className="transcript-jump">
          <IconButton label="Jump to the latest" icon={<ArrowDown />} variant="secondary" onClick={toEnd} />
        </div>
      )}
    </div>
  );
}

function closest(target: EventTarget, selector: string): Element | null {
  return target instanceof Element ? target.closest(selector) : null;
}

interface ItemOfProps {
  entry: Entry;
  index: number;
  view: View;
}

function Item({ entry, index, view }: ItemOfProps) {
  const { message, siblings, position } = entry;
  const { entries, shape, isRunning } = view;
  const props = {
    message,
    siblings: siblings.join(" "),
    position,
    isLast: index >= entries.length - 1,
    turn: isRunning && message.id === shape.message ? shape.ref : null,
  };
  return (
    <div data-index={index}>{message.role === "user" ? <QuestionItem {...props} /> : <AnswerItem {...props} />}</div>
  );
}

/** A question at the end of the branch: its answer was stopped before the first word, or lost. */
function Unanswered({ entry }: { entry: Entry | undefined }) {
  const { actions } = useChatting();
  if (entry?.message.role !== "user") return null;
  return (
    <div className="unanswered">
      <MessageCircleQuestion aria-hidden="true" />
      <p>This question has no answer.</p>
      <Button size="sm" onClick={() => actions.regenerate(entry.message.id)}>
        Ask again
      </Button>
    </div>
  );
}
