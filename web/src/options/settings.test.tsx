import { act, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { beforeEach, describe, expect, it } from "vitest";
import { type Answers, daemon, renderPage } from "../conversations/testing";
import { DEFAULTS, usePreferences } from "./preferences";
import { Settings } from "./settings";
import { run } from "./shortcuts";
import { ShortcutsDialog } from "./shortcuts-dialog";

beforeEach(() => usePreferences.setState(DEFAULTS));

function open(answers: Answers = {}) {
  const asked = daemon({ "GET gate/about": { conversations: true, conversation_days: 30 }, ...answers });
  renderPage(<Settings />);
  return asked;
}

describe("Settings", () => {
  it("changes the theme and the key that sends", async () => {
    open();
    await userEvent.click(screen.getByRole("radio", { name: "Dark" }));
    await userEvent.click(screen.getByRole("radio", { name: "Ctrl+Enter" }));
    expect(usePreferences.getState()).toMatchObject({ theme: "dark", sendKey: "ctrl-enter" });
    expect(screen.getByText("Enter begins a new line.")).toBeTruthy();
  });

  it("says what is kept, and for how long", async () => {
    open();
    await screen.findByText(/for 30 days after/);
  });

  it("says when nothing is kept", async () => {
    open({ "GET gate/about": { conversations: false, conversation_days: 0 } });
    await screen.findByText(/chosen not to keep conversations/);
    expect(screen.queryByRole("button", { name: /Delete all/ })).toBeNull();
  });

  it("deletes all only when that is really meant", async () => {
    const asked = open({ "DELETE gate/conversations": { deleted: 3 } });
    await userEvent.click(await screen.findByRole("button", { name: /^Delete all/ }));
    const dialog = within(screen.getByRole("alertdialog"));
    const word = dialog.getByRole("textbox", { name: "Type DELETE to confirm" });
    expect(document.activeElement).toBe(word);
    await userEvent.type(word, "delete{Enter}");
    expect(dialog.getByRole("button", { name: "Delete all" })).toHaveProperty("disabled", true);
    expect(asked.filter((one) => one.method === "DELETE")).toEqual([]);
    await userEvent.clear(word);
    await userEvent.type(word, "DELETE{Enter}");
    await waitFor(() => expect(screen.queryByRole("alertdialog")).toBeNull());
    expect(asked.filter((one) => one.method === "DELETE")).toHaveLength(1);
    expect((await screen.findAllByText("3 conversations deleted")).length).toBeGreaterThan(0);
  });

  it("says why an export failed", async () => {
    open({ "GET gate/conversations/export": 403 });
    await userEvent.click(await screen.findByRole("button", { name: "Export all conversations" }));
    await screen.findByText("The daemon has refused.");
  });

  it("has nothing to complain about for axe", async () => {
    open();
    await screen.findByText(/for 30 days/);
    const { violations } = await axe.run(document.body, {
      rules: { "color-contrast": { enabled: false }, region: { enabled: false } },
    });
    expect(violations.map((violation) => violation.id)).toEqual([]);
  });
});

describe("ShortcutsDialog", () => {
  it("opens with its command, and lists what sends", async () => {
    daemon({});
    renderPage(<ShortcutsDialog />);
    expect(screen.queryByRole("dialog")).toBeNull();
    act(() => void run("help"));
    const dialog = within(screen.getByRole("dialog", { name: "Keyboard shortcuts" }));
    expect(dialog.getByText("Send the message").parentElement?.textContent).toBe("Send the messageEnter");
    act(() => usePreferences.setState({ sendKey: "ctrl-enter" }));
    expect(dialog.getByText("Send the message").parentElement?.textContent).toBe("Send the messageCtrlEnter");
    await userEvent.keyboard("{Escape}");
    expect(screen.queryByRole("dialog")).toBeNull();
  });
});
