import { useId, useState } from "react";
import { useCreateKey, useMe, useModels } from "../api/queries";
import type { NewApiKey } from "../api/types";
import { Button, Dialog, Failure, Select, Skeleton, Switch, TextField } from "../ui";
import { faultOf, useWork } from "./form";
import { type KeyForm, keyName, LIVES, LONGEST_NAME, wishOf } from "./key-wish";

interface CreateKeyProps {
  open: boolean;
  onClose: () => void;
  onMade: (key: NewApiKey) => void;
}

const EMPTY: KeyForm = { name: "", life: "90", date: "", level: "", models: null };
const WORST_LEVEL = 5;

export function CreateKey({ open, onClose, onMade }: CreateKeyProps) {
  const id = useId();
  const [form, setForm] = useState(EMPTY);
  const { mutateAsync: create, reset } = useCreateKey();
  const { busy, error, submit, setError } = useWork(async () => {
    const made = await create(wishOf(form));
    setForm(EMPTY);
    onMade(made);
    // The secret is where it is shown, and nowhere else.
    reset();
  });
  const close = () => {
    setError(null);
    onClose();
  };
  const isReady = keyName(form.name) !== "" && (form.models === null || form.models.length > 0);
  const footer = (
    <>
      <Button onClick={close}>Cancel</Button>
      <Button type="submit" form={id} variant="primary" busy={busy} disabled={!isReady}>
        Create
      </Button>
    </>
  );
  return (
    <Dialog open={open} onClose={close} title="Create an API key" footer={footer} dismissable={false}>
      <form id={id} className="account-form" onSubmit={submit}>
        <NameField form={form} onChange={setForm} error={faultOf(error, "name")} />
        <LifeField form={form} onChange={setForm} error={faultOf(error, "expires_at")} />
        <LevelField form={form} onChange={setForm} />
        <ModelsField form={form} onChange={setForm} />
        {error && error.param !== "name" && error.param !== "expires_at" ? <Failure error={error} /> : null}
      </form>
    </Dialog>
  );
}

interface PartProps {
  form: KeyForm;
  onChange: (form: KeyForm) => void;
  error?: string | null;
}

function NameField({ form, onChange, error }: PartProps) {
  const name = keyName(form.name);
  return (
    <TextField
      label="Name"
      hint={
        name === ""
          ? "What it is for, like laptop or editor. An ending of your own is added."
          : `It will be called ${name}-… with an ending of your own, so that it is nobody else's.`
      }
      error={error}
      value={form.name}
      onChange={(event) => onChange({ ...form, name: event.target.value })}
      autoComplete="off"
      maxLength={LONGEST_NAME}
      required
      data-autofocus
    />
  );
}

function LifeField({ form, onChange, error }: PartProps) {
  return (
    <div className="account-pair">
      <Select
        label="Expires"
        options={LIVES}
        error={form.life === "date" ? null : error}
        value={form.life}
        onChange={(event) => onChange({ ...form, life: event.target.value })}
      />
      {form.life === "date" ? (
        <TextField
          label="Date"
          type="date"
          error={error}
          value={form.date}
          min={new Date().toISOString().slice(0, 10)}
          onChange={(event) => onChange({ ...form, date: event.target.value })}
          required
        />
      ) : null}
    </div>
  );
}

function remarkOn(level: number, own: number): string {
  if (level === own) return ", your own";
  return level === WORST_LEVEL ? ", the last" : "";
}

/** Only levels that are not better than one's own; who has the last one has no choice. */
function LevelField({ form, onChange }: PartProps) {
  const own = useMe()?.level ?? WORST_LEVEL;
  if (own >= WORST_LEVEL) return null;
  const levels = Array.from({ length: WORST_LEVEL - own + 1 }, (_, index) => own + index);
  const options = [
    { value: "", label: "As usual for keys" },
    ...levels.map((level) => ({ value: String(level), label: `Priority ${level}${remarkOn(level, own)}` })),
  ];
  return (
    <Select
      label="Priority"
      hint={`Priority 1 is served first. Take ${WORST_LEVEL} for work that can wait.`}
      options={options}
      value={form.level}
      onChange={(event) => onChange({ ...form, level: event.target.value })}
    />
  );
}

function ModelsField({ form, onChange }: PartProps) {
  const { data, error } = useModels();
  const { models } = form;
  const choose = (name: string, isChosen: boolean) => {
    const others = (models ?? []).filter((other) => other !== name);
    onChange({ ...form, models: isChosen ? [...others, name] : others });
  };
  return (
    <fieldset className="account-models">
      <legend className="sr-only">Models</legend>
      <Switch
        label="All models"
        hint="Those you may use, also new ones."
        checked={models === null}
        onChange={(all) => onChange({ ...form, models: all ? null : [] })}
      />
      {models !== null && error ? <Failure error={error} /> : null}
      {models !== null && !data && !error ? <Skeleton label="Loading the models" /> : null}
      {models !== null && data ? (
        <div className="account-choices">
          {data.map(({ name }) => (
            <label key={name}>
              <input
                type="checkbox"
                checked={models.includes(name)}
                onChange={(event) => choose(name, event.target.checked)}
              />
              <span>{name}</span>
            </label>
          ))}
          {data.length === 0 ? <p className="account-none">There is no model at the moment.</p> : null}
        </div>
      ) : null}
    </fieldset>
  );
}
