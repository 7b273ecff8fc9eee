import { useSyncExternalStore } from "react";
import { type Theme, usePreferences } from "../options/preferences";

export type { Theme } from "../options/preferences";

const DARK = "(prefers-color-scheme: dark)";

function watchSystem(onChange: () => void): () => void {
  const query = window.matchMedia?.(DARK);
  query?.addEventListener("change", onChange);
  return () => query?.removeEventListener("change", onChange);
}

function isSystemDark(): boolean {
  return window.matchMedia?.(DARK).matches ?? false;
}

function setTheme(theme: Theme): void {
  usePreferences.setState({ theme });
}

/** The theme that was chosen, and whether the page is dark now. */
export function useTheme(): { theme: Theme; isDark: boolean; setTheme: (theme: Theme) => void } {
  const theme = usePreferences((preferences) => preferences.theme);
  const systemDark = useSyncExternalStore(watchSystem, isSystemDark);
  return { theme, isDark: theme === "dark" || (theme === "system" && systemDark), setTheme };
}

/** Keep `data-theme` of the page as chosen, from before the first paint on. Returns what ends that. */
export function applyTheme(): () => void {
  const apply = (theme: Theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  };
  apply(usePreferences.getState().theme);
  return usePreferences.subscribe(({ theme }) => apply(theme));
}
