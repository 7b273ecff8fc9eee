import { act, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it, vi } from "vitest";
import { usePreferences } from "../options/preferences";
import { applyTheme, useTheme } from "./theme";

beforeEach(() => act(() => usePreferences.setState({ theme: "system" })));

function Page() {
  const { theme, isDark, setTheme } = useTheme();
  return (
    <button type="button" onClick={() => setTheme("dark")}>
      {theme} {isDark ? "is dark" : "is light"}
    </button>
  );
}

it("follows the system until something else is chosen", async () => {
  const end = applyTheme();
  render(<Page />);
  expect(document.documentElement.dataset.theme).toBeUndefined();
  await userEvent.click(screen.getByRole("button", { name: "system is light" }));
  expect(screen.getByRole("button", { name: "dark is dark" })).toBeTruthy();
  expect(document.documentElement.dataset.theme).toBe("dark");
  act(() => usePreferences.setState({ theme: "system" }));
  expect(document.documentElement.dataset.theme).toBeUndefined();
  end();
});

it("knows a dark system", () => {
  const listen = () => undefined;
  const dark = { matches: true, addEventListener: listen, removeEventListener: listen };
  vi.spyOn(window, "matchMedia").mockReturnValue(dark as unknown as MediaQueryList);
  render(<Page />);
  expect(screen.getByRole("button", { name: "system is dark" })).toBeTruthy();
});
