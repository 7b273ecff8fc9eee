import type { ComponentProps, MouseEvent, ReactNode } from "react";
import { classes } from "./classes";
import { Spinner } from "./spinner";

export type ButtonVariant = "primary" | "secondary" | "ghost" | "danger";
export type ButtonSize = "md" | "sm";

export interface ButtonProps extends ComponentProps<"button"> {
  variant?: ButtonVariant | undefined;
  size?: ButtonSize | undefined;
  icon?: ReactNode;
  /** It is at work: it keeps the focus, and a second click does nothing. */
  busy?: boolean | undefined;
}

/** A button, of type "button" unless it says otherwise. */
export function Button(props: ButtonProps) {
  const { variant = "secondary", size = "md", icon, busy = false, className, children, onClick, ...rest } = props;
  const clicked = (event: MouseEvent<HTMLButtonElement>) => {
    if (busy) event.preventDefault();
    else onClick?.(event);
  };
  return (
    <button
      type="button"
      {...rest}
      className={classes("ui-button", `is-${variant}`, `is-${size}`, className)}
      aria-busy={busy || undefined}
      aria-disabled={busy || rest["aria-disabled"] || undefined}
      onClick={clicked}
    >
      {busy ? <Spinner /> : icon}
      {children}
    </button>
  );
}

export interface IconButtonProps extends Omit<ComponentProps<"button">, "children" | "title" | "aria-label"> {
  /** Its name, which is also its tooltip. */
  label: string;
  icon: ReactNode;
  variant?: ButtonVariant | undefined;
  size?: ButtonSize | undefined;
  /** For a button that is on or off. */
  pressed?: boolean | undefined;
}

export function IconButton(props: IconButtonProps) {
  const { label, icon, variant = "ghost", size = "md", pressed, className, ...rest } = props;
  return (
    <button
      type="button"
      {...rest}
      className={classes("ui-button ui-icon-button", `is-${variant}`, `is-${size}`, className)}
      aria-label={label}
      aria-pressed={pressed}
      data-tip={label}
    >
      {icon}
    </button>
  );
}
