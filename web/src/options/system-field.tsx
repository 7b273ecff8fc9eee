import { type KeyboardEvent, useState } from "react";
import { useMe } from "../api/queries";
import { announce, Button, Select, TextArea, TextField } from "../ui";
import { LONGEST_SYSTEM } from "./parameters";
import { LONGEST_NAME, MOST_PRESETS, presetsOf, removePreset, savePreset } from "./presets";

interface SystemFieldProps {
  value: string;
  error: string | null;
  onChange: (system: string) => void;
}

/** The system prompt, and those that were saved to be used again. */
export function SystemField({ value, error, onChange }: SystemFieldProps) {
  const user = useMe()?.user_id ?? null;
  const [presets, setPresets] = useState(() => presetsOf(user));
  const [naming, setNaming] = useState(false);
  const used = presets.find((preset) => preset.text === value)?.name ?? "";
  const read = () => setPresets(presetsOf(user));
  const remove = () => {
    removePreset(user, used);
    read();
    announce(`“${used}” is not saved any more`);
  };
  const saved = (name: string) => {
    const isKept = savePreset(user, { name, text: value });
    if (isKept) {
      read();
      setNaming(false);
      announce(`Saved as “${name}”`);
    }
    return isKept;
  };
  return (
    <div className="options-system">
      <TextArea
        label="System prompt"
        hint="What the model is told before the conversation: who it is, how it answers."
        placeholder="Model’s default"
        rows={4}
        error={error}
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
      {naming ? (
        <NameField initial={used} onSave={saved} onCancel={() => setNaming(false)} />
      ) : (
        <div className="options-presets">
          <Select
            label="Saved prompts"
            hideLabel
            options={[
              { value: "", label: presets.length === 0 ? "No saved prompts" : "Saved prompts…" },
              ...presets.map(({ name }) => ({ value: name, label: name })),
            ]}
            disabled={presets.length === 0}
            value={used}
            onChange={(event) => {
              const preset = presets.find(({ name }) => name === event.target.value);
              if (preset) onChange(preset.text);
            }}
          />
          <Button disabled={value.trim() === "" || value.length > LONGEST_SYSTEM} onClick={() => setNaming(true)}>
            Save prompt…
          </Button>
          {used ? <Button onClick={remove}>Forget “{used}”</Button> : null}
        </div>
      )}
    </div>
  );
}

interface NameFieldProps {
  initial: string;
  /** Whether it could be saved. */
  onSave: (name: string) => boolean;
  onCancel: () => void;
}

function NameField({ initial, onSave, onCancel }: NameFieldProps) {
  const [name, setName] = useState(initial);
  const [failed, setFailed] = useState(false);
  const tidied = name.replace(/\s+/g, " ").trim();
  const save = () => {
    if (tidied !== "") setFailed(!onSave(tidied));
  };
  const pressed = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
    // Neither saves nor closes the dialog around it.
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Enter") save();
    else onCancel();
  };
  return (
    <div className="options-presets">
      <TextField
        label="Name of the saved prompt"
        hideLabel
        placeholder="Name"
        maxLength={LONGEST_NAME}
        autoFocus
        value={name}
        error={failed ? `The browser has no room for it, or there are ${MOST_PRESETS} already.` : null}
        onChange={(event) => setName(event.target.value)}
        onKeyDown={pressed}
      />
      <Button variant="primary" disabled={tidied === ""} onClick={save}>
        Save prompt
      </Button>
      <Button onClick={onCancel}>Cancel</Button>
    </div>
  );
}
