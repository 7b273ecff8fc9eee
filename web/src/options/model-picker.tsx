import ChevronDown from "lucide-react/icons/chevron-down";
import TriangleAlert from "lucide-react/icons/triangle-alert";
import { useEffect, useId, useRef, useState } from "react";
import { useModels } from "../api/queries";
import { classes } from "../ui";
import type { Side } from "../ui/menu-behaviour";
import { ModelList } from "./model-list";
import { modelOf, preferred, stateOf } from "./models";
import { usePreferences } from "./preferences";
import "./model-picker.css";

interface ModelPickerProps {
  /** null: none is chosen yet; as soon as the models are known, one is. */
  value: string | null;
  onChange: (model: string) => void;
  /** It was chosen with the keyboard. Takes the focus, which else goes back to the button. */
  onKeyed?: (() => void) | undefined;
  /** Where the list opens when there is room. */
  side?: Side | undefined;
  disabled?: boolean | undefined;
  className?: string | undefined;
}

/** A button with the model's name; it opens the list of all that may be used. */
export function ModelPicker(props: ModelPickerProps) {
  const { value, onChange, onKeyed, side = "bottom", disabled, className } = props;
  const result = useModels();
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const id = useId();
  const models = result.data ?? null;
  useDefault(value, models, onChange);
  const { model, isGone, text } = shownOf(value, models);
  const toggle = (next: boolean) => {
    setOpen(next);
    // What is in memory changes all the time.
    if (next) void result.refetch();
  };
  const close = (refocus: boolean) => {
    setOpen(false);
    if (refocus) button.current?.focus();
  };
  const choose = (name: string, byKey: boolean) => {
    usePreferences.setState({ lastModel: name });
    close(true);
    onChange(name);
    if (byKey) onKeyed?.();
  };
  return (
    <>
      <button
        ref={button}
        type="button"
        className={classes("model-button", isGone && "is-gone", className)}
        disabled={disabled}
        title={text}
        aria-haspopup="listbox"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        onClick={() => toggle(!open)}
        onKeyDown={(event) => {
          if (event.altKey || (event.key !== "ArrowDown" && event.key !== "ArrowUp")) return;
          event.preventDefault();
          toggle(true);
        }}
      >
        <span className="sr-only">Model: </span>
        {isGone ? <TriangleAlert aria-hidden="true" /> : null}
        {model ? <span className={classes("model-dot", model.loaded && "is-loaded")} aria-hidden="true" /> : null}
        <span className="model-button-name">{text}</span>
        {isGone ? <span className="sr-only">, not available any more</span> : null}
        {model ? <span className="sr-only">, {stateOf(model)}</span> : null}
        <ChevronDown aria-hidden="true" />
      </button>
      {open ? <ModelList {...{ id, result, value, side, button, choose, close }} /> : null}
    </>
  );
}

function shownOf(value: string | null, models: ReturnType<typeof useModels>["data"] | null) {
  const model = modelOf(models ?? [], value);
  const isGone = value !== null && models !== null && model === null;
  const none = models?.length === 0 ? "No model" : "Choose a model";
  return { model, isGone, text: value ?? (models ? none : "Model") };
}

/** Chooses for who has not chosen, so that a question can be asked at once. */
function useDefault(
  value: string | null,
  models: Parameters<typeof preferred>[0] | null,
  onChange: (model: string) => void,
): void {
  const last = usePreferences((preferences) => preferences.lastModel);
  const wanted = value === null && models ? preferred(models, last) : null;
  const latest = useRef(onChange);
  useEffect(() => {
    latest.current = onChange;
  });
  useEffect(() => {
    if (wanted !== null) latest.current(wanted);
  }, [wanted]);
}
