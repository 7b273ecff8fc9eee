import { fireEvent, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { daemon, model, page, renderPage } from "../conversations/testing";
import { draftOf, type Options, review } from "./draft";
import { OptionsDialog } from "./options";
import { DEFAULTS, usePreferences } from "./preferences";

const NONE: Options = { system: null, parameters: {} };

beforeEach(() => usePreferences.setState(DEFAULTS));

function open(value: Options = NONE, name = "small") {
  const onChange = vi.fn();
  const onClose = vi.fn();
  daemon({ "GET gate/models": page([model("small", { context_length: 4096, thinking: false }), model("plain")]) });
  renderPage(<OptionsDialog open onClose={onClose} value={value} onChange={onChange} model={name} />);
  return { onChange, onClose };
}

// By label and at once: roles and single keys take their time in a form of this size.
const field = (name: string) => screen.getByLabelText(name, { selector: "input, textarea" });
const fill = (name: string, value: string) => fireEvent.change(field(name), { target: { value } });
const save = () => userEvent.click(screen.getByRole("button", { name: "Save" }));

describe("OptionsDialog", () => {
  it("saves what was set, and nothing else", async () => {
    const { onChange, onClose } = open(NONE, "plain");
    fill("System prompt", "Be short.");
    fill("Temperature", "0,2");
    fill("Stop strings", "END");
    await userEvent.click(screen.getByRole("radio", { name: "Off" }));
    await save();
    const parameters = { temperature: 0.2, stop: ["END"], think: false };
    expect(onChange).toHaveBeenCalledExactlyOnceWith({ system: "Be short.", parameters });
    expect(onClose).toHaveBeenCalledOnce();
  });

  it("says what is wrong as one types, and does not save it", async () => {
    const { onChange } = open();
    const wrong = field("Top P");
    await userEvent.type(wrong, "2");
    expect(screen.getByRole("alert").textContent).toBe("Between 0 and 1, please.");
    expect(wrong.getAttribute("aria-invalid")).toBe("true");
    await save();
    expect(onChange).not.toHaveBeenCalled();
    expect(document.activeElement).toBe(wrong);
    fill("Top P", "0.9");
    await save();
    expect(onChange).toHaveBeenCalledExactlyOnceWith({ system: null, parameters: { top_p: 0.9 } });
  });

  it("is bounded by what the model can", async () => {
    open();
    await screen.findByText(/This model: up to 4,096/);
    fill("Context length", "8192");
    expect(screen.getByRole("alert").textContent).toBe("Between 256 and 4,096, please.");
    expect(screen.getByRole("group", { name: "Reasoning" }).hasAttribute("disabled")).toBe(true);
  });

  it("goes back to the model's default, one or all", async () => {
    const { onChange } = open({ system: "Old", parameters: { temperature: 0, top_k: 5, think: true } });
    await userEvent.click(screen.getByRole("button", { name: "Top K: model’s default" }));
    await save();
    expect(onChange).toHaveBeenLastCalledWith({ system: "Old", parameters: { temperature: 0, think: true } });
    await userEvent.click(screen.getByRole("button", { name: "Reset all" }));
    await save();
    expect(onChange).toHaveBeenLastCalledWith(NONE);
  });

  it("changes nothing when it is cancelled", async () => {
    const { onChange, onClose } = open();
    fill("Seed", "1");
    await userEvent.click(screen.getByRole("button", { name: "Cancel" }));
    expect(onChange).not.toHaveBeenCalled();
    expect(onClose).toHaveBeenCalledOnce();
  });

  it("keeps system prompts to be used again", async () => {
    open();
    fill("System prompt", "Arr");
    await userEvent.click(screen.getByRole("button", { name: "Save prompt…" }));
    await userEvent.type(field("Name of the saved prompt"), "Pirate{Enter}");
    await screen.findByText("Saved as “Pirate”");
    const choice = screen.getByRole("combobox", { name: "Saved prompts" });
    fill("System prompt", "");
    await userEvent.selectOptions(choice, "Pirate");
    expect((field("System prompt") as HTMLTextAreaElement).value).toBe("Arr");
    await userEvent.click(screen.getByRole("button", { name: "Forget “Pirate”" }));
    await waitFor(() => expect(screen.queryByRole("option", { name: "Pirate" })).toBeNull());
    expect((field("System prompt") as HTMLTextAreaElement).value).toBe("Arr");
  });

  it("has nothing to complain about for axe", async () => {
    open({ system: "x", parameters: { top_k: -1 } });
    await screen.findByText(/This model: up to/);
    const { violations } = await axe.run(document.body, {
      rules: { "color-contrast": { enabled: false }, region: { enabled: false } },
    });
    expect(violations.map((violation) => violation.id)).toEqual([]);
  });
});

describe("a draft", () => {
  it("means what it was made of", () => {
    const all: Options = {
      system: "Be kind.",
      parameters: {
        temperature: 0,
        top_p: 0.5,
        top_k: 1,
        repeat_penalty: 1.1,
        seed: 0,
        num_predict: 10,
        num_ctx: 2048,
        stop: ["\n"],
        think: false,
      },
    };
    expect(review(draftOf(all), null).value).toEqual(all);
    expect(review(draftOf({ system: null, parameters: { top_p: null, think: null } }), null).value).toEqual(NONE);
  });
});
