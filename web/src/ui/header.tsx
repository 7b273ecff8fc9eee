import { type ReactNode, useEffect } from "react";
import { createPortal } from "react-dom";
import { create } from "zustand";

interface Slots {
  title: HTMLElement | null;
  actions: HTMLElement | null;
}

/** The places in the page's header that the part below it may fill. Set by the frame. */
export const useHeaderSlots = create<Slots>(() => ({ title: null, actions: null }));

/** What the header says this is, and the browser's tab too when `name` is given. */
export function HeaderTitle({ name, children }: { name?: string | undefined; children?: ReactNode }) {
  const slot = useHeaderSlots((slots) => slots.title);
  useEffect(() => {
    if (!name) return;
    document.title = `${name} · llmgate`;
    return () => {
      document.title = "llmgate";
    };
  }, [name]);
  return slot ? createPortal(children ?? name, slot) : null;
}

/** Buttons at the end of the header. */
export function HeaderActions({ children }: { children: ReactNode }) {
  const slot = useHeaderSlots((slots) => slots.actions);
  return slot ? createPortal(children, slot) : null;
}
