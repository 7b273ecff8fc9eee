import Pencil from "lucide-react/icons/pencil";
import { memo, useMemo } from "react";
import type { Message } from "../api/types";
import { Question, type QuestionImage } from "../render/question";
import { CopyButton, classes, IconButton } from "../ui";
import type { ItemProps } from "./answer-item";
import { BranchSwitch } from "./branch-switch";
import { useChats } from "./chats";
import { useChatting } from "./context";
import { sourceOf } from "./pictures";
import { TextEditor } from "./text-editor";
import { useEditing } from "./use-editing";

/** A question of the user. */
export const QuestionItem = memo(function QuestionItem({ message, siblings, position, isLast }: ItemProps) {
  const { actions, chat, isRunning } = useChatting();
  const { editing, begin, end, button } = useEditing();
  const images = useImages(chat, message);
  const resend = async (text: string) => {
    await actions.resend(message, text);
    end();
  };
  return (
    <article className={classes("message is-question", !isLast && "is-earlier", editing && "is-editing")}>
      <h2 className="sr-only">You</h2>
      {editing ? (
        <TextEditor
          label="Your question, changed"
          text={message.content}
          action="Send"
          hint="The conversation goes on from here; what came after stays as another version."
          onDone={resend}
          onCancel={end}
        />
      ) : (
        <>
          <div className="message-bubble">
            <Question content={message.content} images={images} />
          </div>
          <div className="message-foot">
            <div className="message-tools">
              <BranchSwitch
                what="question"
                siblings={siblings.split(" ")}
                position={position}
                onChoose={actions.choose}
              />
              <CopyButton size="sm" label="Copy the question" text={message.content} />
              {isRunning ? null : (
                <IconButton ref={button} size="sm" label="Edit and send again" icon={<Pencil />} onClick={begin} />
              )}
            </div>
          </div>
        </>
      )}
    </article>
  );
});

/** Those that this page has sent itself are here already: reading them again from the daemon would only flicker. */
function useImages(chat: string, message: Message): readonly QuestionImage[] {
  const own = useChats((state) => state.chats[chat]?.pictures[message.id]);
  return useMemo(() => own?.map((picture) => ({ url: sourceOf(picture) })) ?? message.images, [own, message.images]);
}
