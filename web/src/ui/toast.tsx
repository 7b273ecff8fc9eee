import CircleAlert from "lucide-react/icons/circle-alert";
import CircleCheck from "lucide-react/icons/circle-check";
import Info from "lucide-react/icons/info";
import X from "lucide-react/icons/x";
import { useEffect, useRef, useState } from "react";
import { create } from "zustand";
import { Button, IconButton } from "./button";
import { classes } from "./classes";
import { announce } from "./status";

export type ToastKind = "info" | "success" | "error";

export interface ToastAction {
  label: string;
  run: () => void;
}

interface Toast {
  id: number;
  text: string;
  kind: ToastKind;
  action: ToastAction | null;
}

const MOST = 3;
const SHOWN_MS = { info: 5_000, success: 4_000, error: 10_000 };

const useToasts = create<{ toasts: Toast[]; made: number }>(() => ({ toasts: [], made: 0 }));

/** Show a short text at the edge of the page for some seconds. What must not be missed belongs into the page. */
export function toast(text: string, kind: ToastKind = "info", action: ToastAction | null = null): void {
  useToasts.setState(({ toasts, made }) => {
    const others = toasts.filter((other) => other.text !== text);
    return { made: made + 1, toasts: [...others, { id: made + 1, text, kind, action }].slice(-MOST) };
  });
  if (kind !== "error") announce(text);
}

function dismiss(id: number): void {
  useToasts.setState(({ toasts }) => ({ toasts: toasts.filter((toast) => toast.id !== id) }));
}

/** Where toasts appear. Once in the page. */
export function Toasts() {
  const { toasts, made } = useToasts();
  const ref = useRef<HTMLElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: shown anew with each toast, to be above dialogs
  useEffect(() => {
    const region = ref.current;
    if (!region || toasts.length === 0) return;
    region.showPopover();
    return () => region.hidePopover();
  }, [made, toasts.length]);
  return (
    <section ref={ref} className="ui-toasts" aria-label="Notifications" popover="manual">
      {toasts.map((toast) => (
        <ToastCard key={toast.id} toast={toast} />
      ))}
    </section>
  );
}

const ICONS = { info: <Info />, success: <CircleCheck />, error: <CircleAlert /> };

function ToastCard({ toast: { id, text, kind, action } }: { toast: Toast }) {
  const [held, setHeld] = useState(false);
  useEffect(() => {
    if (held) return;
    const timer = setTimeout(() => dismiss(id), SHOWN_MS[kind]);
    return () => clearTimeout(timer);
  }, [held, id, kind]);
  const hold = () => setHeld(true);
  const release = () => setHeld(false);
  const act = () => {
    dismiss(id);
    action?.run();
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it only stays longer while somebody is at it
    <div
      className={classes("ui-toast", `is-${kind}`)}
      role={kind === "error" ? "alert" : "group"}
      onPointerEnter={hold}
      onPointerLeave={release}
      onFocus={hold}
      onBlur={release}
    >
      <span className="ui-toast-icon" aria-hidden="true">
        {ICONS[kind]}
      </span>
      <p>{text}</p>
      {action ? (
        <Button size="sm" variant="ghost" onClick={act}>
          {action.label}
        </Button>
      ) : null}
      <IconButton size="sm" label="Dismiss" icon={<X />} onClick={() => dismiss(id)} />
    </div>
  );
}
