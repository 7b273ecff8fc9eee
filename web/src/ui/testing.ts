/** Before all tests: what jsdom does not have, and a clean page after each. */
import { cleanup, configure } from "@testing-library/react";
import { afterEach, beforeAll } from "vitest";

// Nothing is measured by it: a machine that has much to do is no reason to fail.
configure({ asyncUtilTimeout: 10_000 });

beforeAll(() => {
  lendDialogs();
  lendPopovers();
  window.matchMedia ??= unmatched;
  Element.prototype.scrollIntoView ??= () => undefined;
});

afterEach(() => {
  cleanup();
  localStorage.clear();
  sessionStorage.clear();
});

/** Enough of `<dialog>`: open, the Esc key, the focus given back. */
function lendDialogs(): void {
  const before = new WeakMap<HTMLDialogElement, Element | null>();
  const proto = HTMLDialogElement.prototype;
  if (typeof proto.showModal === "function") return;
  const onEscape = (event: KeyboardEvent) => {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    const dialogs = document.querySelectorAll<HTMLDialogElement>("dialog[open]");
    dialogs[dialogs.length - 1]?.dispatchEvent(new Event("cancel", { cancelable: true }));
  };
  document.addEventListener("keydown", onEscape);
  proto.show = proto.showModal = function showModal(this: HTMLDialogElement) {
    before.set(this, document.activeElement);
    this.setAttribute("open", "");
  };
  proto.close = function close(this: HTMLDialogElement) {
    if (!this.hasAttribute("open")) return;
    this.removeAttribute("open");
    const focused = before.get(this);
    if (focused instanceof HTMLElement) focused.focus();
    this.dispatchEvent(new Event("close"));
  };
}

function lendPopovers(): void {
  const proto = HTMLElement.prototype;
  if (typeof proto.showPopover === "function") return;
  // Its style sheet knows popovers, and hides them.
  proto.showPopover = function showPopover(this: HTMLElement) {
    this.style.display = "block";
  };
  proto.hidePopover = function hidePopover(this: HTMLElement) {
    this.style.removeProperty("display");
  };
}

function unmatched(media: string): MediaQueryList {
  const deaf = () => undefined;
  return {
    matches: false,
    media,
    onchange: null,
    addEventListener: deaf,
    removeEventListener: deaf,
    addListener: deaf,
    removeListener: deaf,
    dispatchEvent: () => false,
  };
}
