import { useEffect, useRef } from "react";

const DELAY_MS = 450;
const GAP = 6;

/** Shows `data-tip` of what the pointer rests on, or what the keyboard has reached. Once in the page.
 *
 * It repeats the name that the element has anyway, so screen readers are spared it. */
export function Tooltips() {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const tip = ref.current;
    return tip ? serve(tip) : undefined;
  }, []);
  return <div ref={ref} className="ui-tip" popover="manual" aria-hidden="true" />;
}

function serve(tip: HTMLElement): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const hide = () => {
    clearTimeout(timer);
    tip.hidePopover();
  };
  const over = (event: PointerEvent) => {
    hide();
    const owner = ownerOf(event.target);
    if (owner && event.pointerType === "mouse") timer = setTimeout(() => show(tip, owner), DELAY_MS);
  };
  const focused = (event: FocusEvent) => {
    hide();
    const owner = ownerOf(event.target);
    if (owner?.matches(":focus-visible")) show(tip, owner);
  };
  const listeners = new AbortController();
  const { signal } = listeners;
  document.addEventListener("pointerover", over, { signal });
  document.addEventListener("focusin", focused, { signal });
  for (const name of ["focusout", "pointerdown", "keydown", "scroll"] as const) {
    document.addEventListener(name, hide, { signal, capture: true, passive: true });
  }
  return () => {
    listeners.abort();
    hide();
  };
}

function ownerOf(target: EventTarget | null): HTMLElement | null {
  return target instanceof Element ? target.closest<HTMLElement>("[data-tip]") : null;
}

function show(tip: HTMLElement, owner: HTMLElement): void {
  if (!owner.isConnected || owner.getAttribute("aria-expanded") === "true") return;
  tip.textContent = owner.dataset.tip ?? "";
  tip.showPopover();
  const at = owner.getBoundingClientRect();
  const size = tip.getBoundingClientRect();
  const below = at.bottom + GAP + size.height < window.innerHeight;
  const left = at.left + at.width / 2 - size.width / 2;
  tip.style.left = `${Math.max(GAP, Math.min(left, window.innerWidth - size.width - GAP))}px`;
  tip.style.top = `${below ? at.bottom + GAP : at.top - GAP - size.height}px`;
}
