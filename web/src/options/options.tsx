import RotateCcw from "lucide-react/icons/rotate-ccw";
import { type FormEvent, useId, useRef, useState } from "react";
import { useModels } from "../api/queries";
import type { Model } from "../api/types";
import { Button, Dialog, IconButton, TextArea, TextField } from "../ui";
import { Choices } from "./choices";
import { type Draft, draftOf, EMPTY, isSameDraft, type Options, type Review, review } from "./draft";
import { modelOf } from "./models";
import { bounded, LONGEST_STOP, MOST_STOPS, NUMBER_FIELDS, type NumberField } from "./parameters";
import { usePreferences } from "./preferences";
import { SystemField } from "./system-field";
import "./options.css";

export type { Options } from "./draft";

interface OptionsDialogProps {
  open: boolean;
  onClose: () => void;
  value: Options;
  /** Called once, with all that was set, when the user saves. */
  onChange: (value: Options) => void;
  /** The model of the chat, whose abilities bound the options. Default: the one that was chosen last. */
  model?: string | null | undefined;
}

/** The system prompt and the parameters of a chat. */
export function OptionsDialog({ open, ...rest }: OptionsDialogProps) {
  return open ? <OpenOptions {...rest} /> : null;
}

function OpenOptions({ onClose, value, onChange, model: name }: Omit<OptionsDialogProps, "open">) {
  const last = usePreferences((preferences) => preferences.lastModel);
  const model = modelOf(useModels().data ?? [], name ?? last);
  const [draft, setDraft] = useState(() => draftOf(value));
  const form = useRef<HTMLFormElement>(null);
  const id = useId();
  const reviewed = review(draft, model?.context_length ?? null);
  const change = (part: Partial<Draft>) => setDraft({ ...draft, ...part });
  const save = (event: FormEvent) => {
    event.preventDefault();
    if (!reviewed.value) return form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
    onChange(reviewed.value);
    onClose();
  };
  const footer = (
    <>
      <Button
        variant="ghost"
        className="options-reset"
        icon={<RotateCcw />}
        disabled={isSameDraft(draft, EMPTY)}
        onClick={() => setDraft(EMPTY)}
      >
        Reset all
      </Button>
      <Button onClick={onClose}>Cancel</Button>
      <Button type="submit" form={id} variant="primary">
        Save
      </Button>
    </>
  );
  const isUntouched = isSameDraft(draft, draftOf(value));
  return (
    <Dialog open title="Options of this chat" size="lg" dismissable={isUntouched} {...{ onClose, footer }}>
      <form ref={form} id={id} className="options-form" noValidate onSubmit={save}>
        <SystemField value={draft.system} error={reviewed.errors.system} onChange={(system) => change({ system })} />
        <Parameters {...{ draft, model, change }} errors={reviewed.errors} />
      </form>
    </Dialog>
  );
}

interface ParametersProps {
  draft: Draft;
  errors: Review["errors"];
  model: Model | null;
  change: (part: Partial<Draft>) => void;
}

function Parameters({ draft, errors, model, change }: ParametersProps) {
  const cannotThink = model?.thinking === false;
  return (
    <>
      <Choices
        legend="Reasoning"
        options={[
          { value: "auto", label: "Model’s default" },
          { value: "on", label: "On" },
          { value: "off", label: "Off" },
        ]}
        value={draft.think}
        onChange={(think) => change({ think })}
        disabled={cannotThink && draft.think === "auto"}
        hint={cannotThink ? "This model does not reason." : "Whether the model may think first. It takes longer."}
      />
      <div className="options-grid">
        {NUMBER_FIELDS.map((field) => (
          <NumberInput
            key={field.name}
            field={bounded(field, model?.context_length ?? null)}
            text={draft.numbers[field.name]}
            error={errors.numbers[field.name]}
            onChange={(text) => change({ numbers: { ...draft.numbers, [field.name]: text } })}
          />
        ))}
      </div>
      <TextArea
        label="Stop strings"
        className="options-stops"
        rows={2}
        placeholder="Model’s default"
        hint={`The answer ends before one of these. One a line, at most ${MOST_STOPS} of ${LONGEST_STOP} characters; \\n is a line break.`}
        error={errors.stops}
        spellCheck={false}
        value={draft.stops}
        onChange={(event) => change({ stops: event.target.value })}
      />
    </>
  );
}

interface NumberProps {
  field: NumberField;
  text: string;
  error: string | null;
  onChange: (text: string) => void;
}

/** Not a number field: those hide what cannot be read, and change under a scrolling wheel. */
function NumberInput({ field, text, error, onChange }: NumberProps) {
  const reset = `${field.label}: model’s default`;
  return (
    <TextField
      label={field.label}
      hint={field.about}
      error={error}
      placeholder="Model’s default"
      inputMode={field.whole ? "numeric" : "decimal"}
      autoComplete="off"
      spellCheck={false}
      value={text}
      onChange={(event) => onChange(event.target.value)}
      trailing={
        text === "" ? null : <IconButton size="sm" label={reset} icon={<RotateCcw />} onClick={() => onChange("")} />
      }
    />
  );
}
