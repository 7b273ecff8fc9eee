import X from "lucide-react/icons/x";
import {
  type PointerEvent,
  type ReactNode,
  type SyntheticEvent,
  useId,
  useLayoutEffect,
  useRef,
  useState,
} from "react";
import { Button, IconButton } from "./button";
import { classes } from "./classes";
import { Failure } from "./failure";

export interface DialogProps {
  open: boolean;
  /** Called when the user wants it closed: Esc, the cross, a click beside it. */
  onClose: () => void;
  title: string;
  children?: ReactNode;
  /** The row of buttons at its end. */
  footer?: ReactNode;
  size?: "sm" | "md" | "lg";
  /** false: a click beside it does not close it, since something would be lost. */
  dismissable?: boolean;
  role?: "dialog" | "alertdialog";
}

/** A modal dialog. The focus goes to what has `data-autofocus`, else to the first field, else to the dialog, stays
 * inside, and returns to where it was. Its content lives only while it is open. */
export function Dialog({ open, ...rest }: DialogProps) {
  return open ? <OpenDialog {...rest} /> : null;
}

function OpenDialog(props: Omit<DialogProps, "open">) {
  const { onClose, title, children, footer, size = "md", dismissable = true, role } = props;
  const id = useId();
  const ref = useRef<HTMLDialogElement>(null);
  const beside = useRef(false);
  useLayoutEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    focusFirst(dialog);
    // close() gives the focus back; taking the element out of the page would not.
    return () => dialog?.close();
  }, []);
  const cancelled = (event: SyntheticEvent) => {
    if (event.target !== ref.current) return;
    event.preventDefault();
    onClose();
  };
  // Some browsers close it themselves at the second Esc, whatever the page says.
  const closed = (event: SyntheticEvent) => {
    if (event.target === ref.current && !ref.current.open) onClose();
  };
  // A text that is selected from inside to beside must not close it: both ends of the click are looked at.
  const pressed = (event: PointerEvent) => {
    beside.current = event.target === ref.current;
  };
  const released = (event: PointerEvent) => {
    if (beside.current && event.target === ref.current && dismissable) onClose();
    beside.current = false;
  };
  return (
    <dialog
      ref={ref}
      role={role}
      className={classes("ui-dialog", `is-${size}`)}
      aria-labelledby={`${id}-title`}
      tabIndex={-1}
      onCancel={cancelled}
      onClose={closed}
      onPointerDown={pressed}
      onPointerUp={released}
    >
      <div className="ui-dialog-box">
        <header className="ui-dialog-head">
          <h2 id={`${id}-title`}>{title}</h2>
          <IconButton label="Close" icon={<X />} onClick={onClose} className="ui-dialog-close" />
        </header>
        <div className="ui-dialog-body">{children}</div>
        {footer ? <footer className="ui-dialog-foot">{footer}</footer> : null}
      </div>
    </dialog>
  );
}

function focusFirst(dialog: HTMLDialogElement | null): void {
  const wanted =
    dialog?.querySelector<HTMLElement>("[data-autofocus]") ??
    dialog?.querySelector<HTMLElement>(":is(input, textarea, select):not(:disabled, [type=hidden])");
  (wanted ?? dialog)?.focus();
}

export interface ConfirmDialogProps {
  open: boolean;
  onClose: () => void;
  title: string;
  /** What will happen. */
  children: ReactNode;
  confirmLabel: string;
  /** Default: true, since what needs a confirmation mostly cannot be taken back. */
  danger?: boolean;
  /** What to do. The dialog stays until it is done, and shows why when it fails. */
  onConfirm: () => unknown;
}

/** Asks before something is done. Cancel has the focus. */
export function ConfirmDialog(props: ConfirmDialogProps) {
  const { open, onClose, title, children, confirmLabel, danger = true, onConfirm } = props;
  return open ? <OpenConfirm {...{ onClose, title, children, confirmLabel, danger, onConfirm }} /> : null;
}

type OpenConfirmProps = Omit<Required<ConfirmDialogProps>, "open">;

function OpenConfirm({ onClose, title, children, confirmLabel, danger, onConfirm }: OpenConfirmProps) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const confirm = async () => {
    setBusy(true);
    setError(null);
    try {
      await onConfirm();
      onClose();
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  const footer = (
    <>
      <Button onClick={onClose} data-autofocus>
        Cancel
      </Button>
      <Button variant={danger ? "danger" : "primary"} busy={busy} onClick={confirm}>
        {confirmLabel}
      </Button>
    </>
  );
  return (
    <Dialog open role="alertdialog" size="sm" {...{ onClose, title, footer }}>
      {children}
      {error ? <Failure error={error} /> : null}
    </Dialog>
  );
}
