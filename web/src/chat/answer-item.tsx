import ChevronDown from "lucide-react/icons/chevron-down";
import Info from "lucide-react/icons/info";
import Pencil from "lucide-react/icons/pencil";
import RefreshCw from "lucide-react/icons/refresh-cw";
import StepForward from "lucide-react/icons/step-forward";
import { memo, useCallback, useId, useState } from "react";
import type { Message } from "../api/types";
import { Answer } from "../render/answer";
import { Button, CopyButton, classes, IconButton, Menu } from "../ui";
import { BranchSwitch } from "./branch-switch";
import { type EndingOf, useChats } from "./chats";
import { useChatting } from "./context";
import { Details } from "./details";
import { ProblemNote } from "./problem-note";
import { QueueCard } from "./queue-card";
import { TextEditor } from "./text-editor";
import { keepThought, thoughtOf } from "./thoughts";
import { isUnfinished } from "./thread";
import { type Turn, useTurns } from "./turns";
import { type Editing, useEditing } from "./use-editing";

export interface ItemProps {
  message: Message;
  /** The ids of all that stand in its place, with blanks between: so it is the same as long as they are. */
  siblings: string;
  position: number;
  isLast: boolean;
  /** The turn that writes it; null when it is written. */
  turn: string | null;
}

/** An answer, while it comes and when it is there: always the same element, so that nothing is drawn twice. */
export const AnswerItem = memo(function AnswerItem({ message, siblings, position, isLast, turn: ref }: ItemProps) {
  const turn = useTurns((state) => (ref === null ? null : (state.turns[ref] ?? null)));
  const ending = useChats((state) => state.endings[message.id] ?? null);
  const { editing, begin, end, button } = useEditing();
  const { actions } = useChatting();
  const shown = shownOf(message, turn);
  const thought = useCallback((seconds: number) => keepThought(message.id, seconds), [message.id]);
  const correct = async (text: string) => {
    await actions.correct(message, text);
    end();
  };
  return (
    <article className={classes("message is-answer", !isLast && "is-earlier")} aria-busy={shown.isLive}>
      <h2 className="sr-only">Answer</h2>
      {shown.notice ? <p className="message-notice">{shown.notice}</p> : null}
      {turn && shown.isEmpty ? <QueueCard turn={turn} onStop={actions.stop} /> : null}
      {editing ? (
        <TextEditor
          label="The answer, corrected"
          text={message.content}
          action="Save"
          hint="The model reads the corrected text when you go on."
          onDone={correct}
          onCancel={end}
        />
      ) : (
        <Answer
          content={shown.content}
          thinking={shown.thinking}
          streaming={shown.isLive}
          first={isLast}
          thinkingSeconds={shown.isLive ? null : thoughtOf(message.id)}
          onThought={thought}
        />
      )}
      {shown.isLive ? null : <Outcome message={message} ending={ending} />}
      <div className="message-foot">
        {shown.isLive || editing ? null : (
          <AnswerTools {...{ message, siblings, position, isLast, ending }} pencil={button} onEdit={begin} />
        )}
      </div>
    </article>
  );
});

function shownOf(message: Message, turn: Turn | null) {
  if (!turn) {
    const { content, thinking, notice } = message;
    return { content, thinking, notice, isLive: false, isEmpty: false };
  }
  const { content, thinking, notice } = turn;
  return { content, thinking: thinking || null, notice, isLive: true, isEmpty: content === "" && thinking === "" };
}

/** How it ended, when that was not by itself. */
function Outcome({ message, ending }: { message: Message; ending: EndingOf | null }) {
  const { actions, isRunning } = useChatting();
  const { outcome, parent } = message;
  if (outcome === "stopped") return <p className="message-outcome">Stopped</p>;
  if (outcome !== "failed") return null;
  const error = ending?.error ?? {
    title: "The answer failed",
    status: 0,
    code: message.error_code ?? "failed",
    detail: "This answer has failed before it was complete.",
    hint: message.error_code ? `The reason: ${message.error_code.replaceAll("_", " ")}.` : null,
  };
  const retry = parent !== null && !isRunning ? () => actions.regenerate(parent) : null;
  return <ProblemNote error={error} at={ending?.at ?? 0} retry={retry} />;
}

interface ToolsProps extends Omit<ItemProps, "turn"> {
  ending: EndingOf | null;
  pencil: Editing["button"];
  onEdit: () => void;
}

function AnswerTools({ message, siblings, position, isLast, ending, pencil, onEdit }: ToolsProps) {
  const { actions, isRunning, longest } = useChatting();
  const [open, setOpen] = useState(false);
  const id = useId();
  const canGoOn = isLast && !isRunning && isUnfinished(message, longest);
  return (
    <>
      <div className="message-tools">
        <BranchSwitch what="answer" siblings={siblings.split(" ")} position={position} onChoose={actions.choose} />
        {message.content === "" ? null : <CopyButton size="sm" label="Copy the answer" text={message.content} />}
        {isRunning ? null : (
          <>
            <Regenerate question={message.parent} />
            {message.content === "" ? null : (
              <IconButton ref={pencil} size="sm" label="Correct the answer" icon={<Pencil />} onClick={onEdit} />
            )}
          </>
        )}
        <IconButton
          size="sm"
          label="Details"
          icon={<Info />}
          aria-expanded={open}
          aria-controls={id}
          onClick={() => setOpen(!open)}
        />
        {canGoOn ? (
          <Button size="sm" icon={<StepForward />} onClick={() => actions.proceed(message)}>
            Continue
          </Button>
        ) : null}
        {message.model && !open ? <span className="message-model">{message.model}</span> : null}
      </div>
      {open ? <Details id={id} message={message} usage={ending?.usage ?? null} /> : null}
    </>
  );
}

function Regenerate({ question }: { question: string | null }) {
  const { actions, models } = useChatting();
  if (question === null) return null;
  const items = models.map((model) => ({ label: model, onSelect: () => actions.regenerate(question, model) }));
  return (
    <span className="message-pair">
      <IconButton size="sm" label="Answer again" icon={<RefreshCw />} onClick={() => actions.regenerate(question)} />
      {items.length > 1 ? (
        <Menu
          label="Answer again with another model"
          items={[{ group: "Answer again with", items }]}
          align="start"
          trigger={(menu) => (
            <IconButton
              {...menu}
              size="sm"
              className="message-more"
              label="Answer again with another model"
              icon={<ChevronDown />}
            />
          )}
        />
      ) : null}
    </span>
  );
}
