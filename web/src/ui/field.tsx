import { type ComponentProps, type ReactNode, useId } from "react";
import { classes } from "./classes";

interface FieldParts {
  label: string;
  /** The label is only read out, not shown. */
  hideLabel?: boolean | undefined;
  hint?: ReactNode;
  /** What is wrong with the value. */
  error?: string | null | undefined;
}

interface FrameProps extends FieldParts {
  id: string;
  className?: string | undefined;
  children: ReactNode;
}

/** What a field needs around it. */
function Frame({ id, label, hideLabel = false, hint, error, className, children }: FrameProps) {
  return (
    <div className={classes("ui-field", className)}>
      <label htmlFor={id} className={hideLabel ? "sr-only" : "ui-label"}>
        {label}
      </label>
      {children}
      {hint ? (
        <div id={`${id}-hint`} className="ui-hint">
          {hint}
        </div>
      ) : null}
      {error ? (
        <div id={`${id}-error`} className="ui-error" role="alert">
          {error}
        </div>
      ) : null}
    </div>
  );
}

function described(id: string, { hint, error }: FieldParts) {
  const parts = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  return { "aria-describedby": parts || undefined, "aria-invalid": error ? true : undefined };
}

export interface TextFieldProps extends Omit<ComponentProps<"input">, "id">, FieldParts {
  id?: string | undefined;
  /** Stands inside the field, at its end: a small button. */
  trailing?: ReactNode;
}

export function TextField(props: TextFieldProps) {
  const { label, hideLabel, hint, error, trailing, className, id: given, ...rest } = props;
  const own = useId();
  const id = given ?? own;
  return (
    <Frame {...{ id, label, hideLabel, hint, error, className }}>
      <div className="ui-control">
        <input {...rest} id={id} className="ui-input" {...described(id, { label, hint, error })} />
        {trailing ? <span className="ui-trailing">{trailing}</span> : null}
      </div>
    </Frame>
  );
}

export interface TextAreaProps extends Omit<ComponentProps<"textarea">, "id">, FieldParts {
  id?: string | undefined;
}

export function TextArea({ label, hideLabel, hint, error, className, id: given, ...rest }: TextAreaProps) {
  const own = useId();
  const id = given ?? own;
  return (
    <Frame {...{ id, label, hideLabel, hint, error, className }}>
      <textarea {...rest} id={id} className="ui-input ui-textarea" {...described(id, { label, hint, error })} />
    </Frame>
  );
}

export interface Choice {
  value: string;
  label: string;
  disabled?: boolean;
}

export interface SelectProps extends Omit<ComponentProps<"select">, "id" | "children">, FieldParts {
  id?: string | undefined;
  options: readonly Choice[];
}

export function Select({ label, hideLabel, hint, error, className, id: given, options, ...rest }: SelectProps) {
  const own = useId();
  const id = given ?? own;
  return (
    <Frame {...{ id, label, hideLabel, hint, error, className }}>
      <select {...rest} id={id} className="ui-input ui-select" {...described(id, { label, hint, error })}>
        {options.map(({ value, label: text, disabled }) => (
          <option key={value} value={value} disabled={disabled}>
            {text}
          </option>
        ))}
      </select>
    </Frame>
  );
}

export interface SwitchProps {
  label: string;
  hint?: ReactNode;
  checked: boolean;
  onChange: (checked: boolean) => void;
  disabled?: boolean | undefined;
}

export function Switch({ label, hint, checked, onChange, disabled }: SwitchProps) {
  const id = useId();
  return (
    <div className="ui-switch-row">
      <div>
        <label htmlFor={id} className="ui-label">
          {label}
        </label>
        {hint ? (
          <div id={`${id}-hint`} className="ui-hint">
            {hint}
          </div>
        ) : null}
      </div>
      <input
        id={id}
        type="checkbox"
        role="switch"
        className="ui-switch"
        checked={checked}
        aria-checked={checked}
        disabled={disabled}
        aria-describedby={hint ? `${id}-hint` : undefined}
        onChange={(event) => onChange(event.target.checked)}
      />
    </div>
  );
}
