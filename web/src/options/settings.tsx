import Download from "lucide-react/icons/download";
import Trash2 from "lucide-react/icons/trash-2";
import { type ReactNode, useId, useState } from "react";
import { problemOf } from "../api/http";
import { useAbout, useDeleteAllConversations } from "../api/queries";
import { freshChat } from "../chat/chats";
import { saveEverything } from "../conversations/download";
import { Button, Dialog, Failure, TextField, toast, useTheme } from "../ui";
import { Choices } from "./choices";
import { usePreferences } from "./preferences";
import { isMac, keyNames } from "./shortcuts";
import { ShortcutList } from "./shortcuts-dialog";
import "./settings.css";

/** How the page looks and behaves in this browser, and what is kept on the server. */
export function Settings() {
  return (
    <div className="settings">
      <Part title="This page">
        <Appearance />
      </Part>
      <Part title="What is kept">
        <Kept />
      </Part>
      <Part title="Keyboard">
        <ShortcutList />
      </Part>
    </div>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  const id = useId();
  return (
    <section className="settings-part" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {children}
    </section>
  );
}

function Appearance() {
  const { theme, setTheme } = useTheme();
  const sendKey = usePreferences((preferences) => preferences.sendKey);
  const mod = keyNames(["Mod", "Enter"], isMac()).join(isMac() ? "" : "+");
  return (
    <>
      <Choices
        legend="Theme"
        options={[
          { value: "system", label: "As the system" },
          { value: "light", label: "Light" },
          { value: "dark", label: "Dark" },
        ]}
        value={theme}
        onChange={setTheme}
      />
      <Choices
        legend="Send a message with"
        options={[
          { value: "enter", label: "Enter" },
          { value: "ctrl-enter", label: mod },
        ]}
        value={sendKey}
        onChange={(next) => usePreferences.setState({ sendKey: next })}
        hint={sendKey === "enter" ? "Shift+Enter begins a new line." : "Enter begins a new line."}
      />
      <p className="ui-hint">These are remembered in this browser only.</p>
    </>
  );
}

function Kept() {
  const { data: about, error, refetch } = useAbout();
  if (error && !about) return <Failure error={error} onRetry={() => void refetch()} />;
  if (!about) return null;
  if (!about.conversations) {
    return (
      <p>
        Nothing. Whoever runs this gateway has chosen not to keep conversations: a chat is gone when you leave it, on
        the server and here.
      </p>
    );
  }
  return (
    <>
      <p>
        Your conversations, with their pictures, are kept on the server for {days(about.conversation_days)} after their
        last message, then deleted. Temporary chats are never kept. Only you can read them here; whoever runs the server
        has access to its disk.
      </p>
      <div className="settings-row">
        <ExportAll />
        <DeleteAll />
      </div>
    </>
  );
}

function days(count: number): string {
  return count === 1 ? "one day" : `${count} days`;
}

function ExportAll() {
  const [busy, setBusy] = useState(false);
  const save = async () => {
    setBusy(true);
    try {
      await saveEverything();
    } catch (error) {
      toast(problemOf(error).text, "error");
    } finally {
      setBusy(false);
    }
  };
  return (
    <Button icon={<Download />} busy={busy} onClick={save}>
      Export all conversations
    </Button>
  );
}

const WORD = "DELETE";

function DeleteAll() {
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button icon={<Trash2 />} className="settings-danger" onClick={() => setOpen(true)}>
        Delete all conversations…
      </Button>
      {open ? <DeleteAllDialog onClose={() => setOpen(false)} /> : null}
    </>
  );
}

function DeleteAllDialog({ onClose }: { onClose: () => void }) {
  const [typed, setTyped] = useState("");
  const id = useId();
  const { mutate, isPending, error } = useDeleteAllConversations();
  const isMeant = typed.trim() === WORD;
  const remove = () => {
    if (!isMeant || isPending) return;
    mutate(undefined, {
      onSuccess: ({ deleted }) => {
        freshChat();
        onClose();
        toast(deleted === 1 ? "One conversation deleted" : `${deleted} conversations deleted`, "success");
      },
    });
  };
  const footer = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button type="submit" form={id} variant="danger" disabled={!isMeant} busy={isPending}>
        Delete all
      </Button>
    </>
  );
  return (
    <Dialog open role="alertdialog" size="sm" title="Delete all conversations?" {...{ onClose, footer }}>
      <p>
        Every conversation, message and picture of yours is deleted for good. An export made before is all that stays.
      </p>
      <form
        id={id}
        onSubmit={(event) => {
          event.preventDefault();
          remove();
        }}
      >
        <TextField
          label={`Type ${WORD} to confirm`}
          autoComplete="off"
          autoCapitalize="characters"
          spellCheck={false}
          value={typed}
          onChange={(event) => setTyped(event.target.value)}
        />
      </form>
      {error ? <Failure error={error} /> : null}
    </Dialog>
  );
}
