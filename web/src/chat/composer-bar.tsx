import ArrowUp from "lucide-react/icons/arrow-up";
import MessageCircleDashed from "lucide-react/icons/message-circle-dashed";
import SlidersHorizontal from "lucide-react/icons/sliders-horizontal";
import Square from "lucide-react/icons/square";
import { useAbout } from "../api/queries";
import { ModelPicker } from "../options/model-picker";
import { changed } from "../options/parameters";
import { usePreferences } from "../options/preferences";
import { run } from "../options/shortcuts";
import { Button, classes, IconButton } from "../ui";
import type { Actions } from "./asking";
import { AttachButton } from "./attachments";
import type { View } from "./view";

interface ComposerBarProps {
  view: View;
  actions: Actions;
  /** Why nothing can be sent now. */
  block: string | null;
  /** Why no picture can be attached. */
  reason: string | null;
  onFiles: (files: readonly File[]) => void;
  onOptions: () => void;
}

export function ComposerBar({ view, actions, block, reason, onFiles, onOptions }: ComposerBarProps) {
  return (
    <div className="composer-bar">
      <AttachButton reason={reason} onFiles={onFiles} />
      <OptionsButton count={changed(view.settings)} onClick={onOptions} />
      <TemporaryButton view={view} />
      <ModelPicker
        value={view.model}
        onChange={actions.setModel}
        onKeyed={() => run("focus-composer")}
        side="top"
        className="composer-model"
      />
      {view.isRunning ? <StopButton view={view} actions={actions} /> : <SendButton block={block} />}
    </div>
  );
}

function SendButton({ block }: { block: string | null }) {
  return (
    <button
      type="submit"
      className={classes("ui-button ui-icon-button is-primary is-md composer-send")}
      aria-label="Send"
      data-tip={block ?? "Send"}
      aria-disabled={block !== null}
    >
      <ArrowUp />
    </button>
  );
}

function StopButton({ view, actions }: { view: View; actions: Actions }) {
  const { stopping, inLine } = view.shape;
  const label = inLine ? "Leave the line" : "Stop";
  return (
    <Button
      variant="primary"
      className="composer-stop"
      icon={<Square />}
      busy={stopping}
      onClick={actions.stop}
      title={`${label} (Esc)`}
    >
      {inLine ? <span className="composer-leave">{label}</span> : label}
    </Button>
  );
}

function OptionsButton({ count, onClick }: { count: number; onClick: () => void }) {
  const label = count === 0 ? "Options" : `Options: ${count} changed`;
  return (
    <span className="composer-options">
      <IconButton label={label} icon={<SlidersHorizontal />} aria-haspopup="dialog" onClick={onClick} />
      {count > 0 ? <span className="composer-mark" aria-hidden="true" /> : null}
    </span>
  );
}

/** Only before the first question: afterwards something is kept, or has never been. */
function TemporaryButton({ view }: { view: View }) {
  const keeps = useAbout().data?.conversations ?? true;
  if (view.chat.temporary !== null || !keeps) return null;
  const toggle = () => usePreferences.setState(({ temporary }) => ({ temporary: !temporary }));
  return (
    <IconButton label="Temporary chat" icon={<MessageCircleDashed />} pressed={view.isTemporary} onClick={toggle} />
  );
}
