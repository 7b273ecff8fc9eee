import { useEffect } from "react";

/** Less than this is a toolbar, not a keyboard. In CSS pixels. */
const KEYBOARD = 120;

/** Where a keyboard on the screen lies over the page instead of making it smaller (iOS), make it smaller ourselves:
 * `--room` is the height that is left. */
export function useRoom(): void {
  useEffect(() => {
    const viewport = window.visualViewport;
    if (!viewport) return;
    const { style } = document.documentElement;
    const fit = () => {
      const isCovered = window.innerHeight - viewport.height > KEYBOARD && viewport.scale === 1;
      if (!isCovered) return style.removeProperty("--room");
      style.setProperty("--room", `${viewport.height}px`);
      // The browser has moved the page up to show the field, which is in sight now anyway.
      window.scrollTo(0, 0);
    };
    viewport.addEventListener("resize", fit);
    return () => {
      viewport.removeEventListener("resize", fit);
      style.removeProperty("--room");
    };
  }, []);
}
