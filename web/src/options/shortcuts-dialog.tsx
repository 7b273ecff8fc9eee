import { useState } from "react";
import { Dialog } from "../ui";
import { usePreferences } from "./preferences";
import { isMac, keyNames, SHORTCUTS, type Shortcut, useCommand } from "./shortcuts";
import "./shortcuts.css";

/** The list of shortcuts, which `?` opens. Once, in the page's frame. */
export function ShortcutsDialog() {
  const [open, setOpen] = useState(false);
  useCommand("help", () => setOpen(true));
  return (
    <Dialog open={open} onClose={() => setOpen(false)} title="Keyboard shortcuts">
      <ShortcutList />
    </Dialog>
  );
}

/** All shortcuts, by what they do. */
export function ShortcutList() {
  const sendKey = usePreferences((preferences) => preferences.sendKey);
  const mac = isMac();
  const send: Shortcut[] =
    sendKey === "enter"
      ? [
          { label: "Send the message", keys: ["Enter"], command: null },
          { label: "New line in the message", keys: ["Shift", "Enter"], command: null },
        ]
      : [
          { label: "Send the message", keys: ["Mod", "Enter"], command: null },
          { label: "New line in the message", keys: ["Enter"], command: null },
        ];
  return (
    <>
      <Table title="Everywhere" shortcuts={SHORTCUTS} mac={mac} />
      <Table title="In the message field" shortcuts={send} mac={mac} />
      <Table title="In the list of conversations" shortcuts={IN_LIST} mac={mac} />
    </>
  );
}

const IN_LIST: Shortcut[] = [
  { label: "Next, previous", keys: ["ArrowDown", "ArrowUp"], command: null },
  { label: "First, last", keys: ["Home", "End"], command: null },
  { label: "Rename", keys: ["F2"], command: null },
  { label: "Delete", keys: ["Delete"], command: null },
];

interface TableProps {
  title: string;
  shortcuts: readonly Shortcut[];
  mac: boolean;
}

function Table({ title, shortcuts, mac }: TableProps) {
  return (
    <section className="shortcuts">
      <h3>{title}</h3>
      <dl>
        {shortcuts.map(({ label, keys }) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>
              {keyNames(keys, mac).map((name) => (
                <kbd key={name}>{name}</kbd>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
