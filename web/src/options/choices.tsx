import { type ReactNode, useId } from "react";
import "./choices.css";

interface ChoicesProps<Value extends string> {
  legend: string;
  options: readonly { value: Value; label: string }[];
  value: Value;
  onChange: (value: Value) => void;
  hint?: ReactNode;
  disabled?: boolean | undefined;
}

/** A few choices side by side, of which one holds: radio buttons. */
export function Choices<Value extends string>(props: ChoicesProps<Value>) {
  const { legend, options, value, onChange, hint, disabled } = props;
  const id = useId();
  return (
    <fieldset className="choices" disabled={disabled} aria-describedby={hint ? `${id}-hint` : undefined}>
      <legend className="ui-label">{legend}</legend>
      <div className="choices-row">
        {options.map((option) => (
          <label key={option.value} className="choices-option">
            <input
              type="radio"
              name={id}
              value={option.value}
              checked={option.value === value}
              onChange={() => onChange(option.value)}
            />
            <span>{option.label}</span>
          </label>
        ))}
      </div>
      {hint ? (
        <div id={`${id}-hint`} className="ui-hint">
          {hint}
        </div>
      ) : null}
    </fieldset>
  );
}
