import ArrowUp from "lucide-react/icons/arrow-up";
import MessageCircleDashed from "lucide-react/icons/message-circle-dashed";
import SlidersHorizontal from "lucide-react/icons/sliders-horizontal";
import Square from "lucide-react/icons/square";
import { useState } from "react";
import { useAbout } from "../api/queries";
import { ModelPicker } from "../options/model-picker";
import { OptionsDialog } from "../options/options";
import { changed } from "../options/parameters";
import { usePreferences } from "../options/preferences";
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
}

export function ComposerBar({ view, actions, block, reason, onFiles }: ComposerBarProps) {
  return (
    <div className="composer-bar">
      <AttachButton reason={reason} onFiles={onFiles} />
      <OptionsButton view={view} actions={actions} />
      <TemporaryButton view={view} />
      <ModelPicker value={view.model} onChange={actions.setModel} side="top" className="composer-model" />
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
  const { stopping, phase } = view.shape;
  const waits = phase === "queued" || phase === "sending";
  const label = waits ? "Cancel" : "Stop";
  return (
    <Button
      variant="primary"
      className="composer-stop"
      icon={<Square />}
      busy={stopping}
      onClick={actions.stop}
      title={`${label} (Esc)`}
    >
      {label}
    </Button>
  );
}

function OptionsButton({ view, actions }: { view: View; actions: Actions }) {
  const [open, setOpen] = useState(false);
  const count = changed(view.settings);
  const label = count === 0 ? "Options" : `Options: ${count} changed`;
  return (
    <>
      <span className="composer-options">
        <IconButton label={label} icon={<SlidersHorizontal />} aria-haspopup="dialog" onClick={() => setOpen(true)} />
        {count > 0 ? <span className="composer-mark" aria-hidden="true" /> : null}
      </span>
      <OptionsDialog
        open={open}
        onClose={() => setOpen(false)}
        value={view.settings}
        onChange={actions.setSettings}
        model={view.model}
      />
    </>
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
