import { type PointerEvent, type ReactNode, type SyntheticEvent, useEffect, useRef } from "react";

interface DrawerProps {
  open: boolean;
  onClose: () => void;
  children: ReactNode;
}

/** The sidebar where there is no room for one: it slides over the page, and takes the focus until it is closed. What
 * is in it lives on while it is closed. */
export function Drawer({ open, onClose, children }: DrawerProps) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const drawer = ref.current;
    if (!open || !drawer) return;
    drawer.showModal();
    // close() gives the focus back to the button that opened it.
    return () => drawer.close();
  }, [open]);
  const cancelled = (event: SyntheticEvent) => {
    if (event.target !== ref.current) return;
    event.preventDefault();
    onClose();
  };
  const closed = (event: SyntheticEvent) => {
    if (event.target === ref.current && open && !ref.current.open) onClose();
  };
  const pressed = (event: PointerEvent) => {
    if (event.target === ref.current) onClose();
  };
  return (
    <dialog
      ref={ref}
      data-drawer
      className="frame-drawer"
      aria-label="Conversations and account"
      onCancel={cancelled}
      onClose={closed}
      onPointerDown={pressed}
    >
      {children}
    </dialog>
  );
}
