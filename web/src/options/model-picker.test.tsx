import { act, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { useState } from "react";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Model } from "../api/types";
import { type Answers, daemon, model, page, renderPage } from "../conversations/testing";
import { ModelPicker } from "./model-picker";
import { filtered, isSame, preferred, shortCount } from "./models";
import { DEFAULTS, usePreferences } from "./preferences";

const LLAMA = model("llama3.2:latest", {
  context_length: 131_072,
  window: 4096,
  parameters: "3.2B",
  quantization: "Q4_K_M",
});
const QWEN = model("qwen3:8b", { loaded: true, thinking: true, context_length: 40_960 });
const LLAVA = model("llava:7b", { vision: true });
const MODELS = [LLAMA, LLAVA, QWEN];

beforeEach(() => usePreferences.setState(DEFAULTS));

function Picker({ initial, heard }: { initial: string | null; heard: (name: string) => void }) {
  const [value, setValue] = useState(initial);
  const onChange = (name: string) => {
    setValue(name);
    heard(name);
  };
  return <ModelPicker value={value} onChange={onChange} />;
}

function open(initial: string | null, models: Model[] | number = MODELS, answers: Answers = {}) {
  const heard = vi.fn();
  daemon({ "GET gate/models": typeof models === "number" ? models : page(models), ...answers });
  renderPage(<Picker initial={initial} heard={heard} />);
  return heard;
}

const button = () => screen.getByRole("button", { name: /^Model:/ });
/** jsdom shows no popovers. */
const options = () => screen.getAllByRole("option", { hidden: true });
const field = () => screen.getByRole("combobox", { hidden: true });

function active(): string | undefined {
  const id = field().getAttribute("aria-activedescendant");
  return (
    options()
      .find((option) => option.id === id)
      ?.getAttribute("title") ?? undefined
  );
}

describe("the button", () => {
  it("names the model and whether it is in memory", async () => {
    open("qwen3:8b");
    await waitFor(() => expect(button().textContent).toBe("Model: qwen3:8b, in memory"));
  });

  it("says when the model is gone", async () => {
    open("mistral:7b");
    await waitFor(() => expect(button().textContent).toBe("Model: mistral:7b, not available any more"));
  });

  it("says when there is none", async () => {
    open(null, []);
    await waitFor(() => expect(button().textContent).toBe("Model: No model"));
    await userEvent.click(button());
    expect(screen.getByText("There is no model")).toBeTruthy();
  });
});

describe("the default", () => {
  it("is the one that was chosen last", async () => {
    usePreferences.setState({ lastModel: "llama3.2" });
    const heard = open(null);
    await waitFor(() => expect(heard).toHaveBeenCalledExactlyOnceWith("llama3.2:latest"));
  });

  it("is one in memory, when the last one is gone", async () => {
    usePreferences.setState({ lastModel: "gone" });
    const heard = open(null);
    await waitFor(() => expect(heard).toHaveBeenCalledExactlyOnceWith("qwen3:8b"));
    expect(usePreferences.getState().lastModel).toBe("gone");
  });
});

describe("the list", () => {
  it("tells what is known of each, those in memory first", async () => {
    open("llava:7b");
    await waitFor(() => expect(button().textContent).toContain("has to be loaded"));
    await userEvent.click(button());
    expect(options().map((option) => option.textContent)).toEqual([
      "qwen3:8breasoningin memory · 40k context",
      "llama3.2:latesthas to be loaded first · 3.2B · Q4_K_M · 4k of 128k context",
      "llava:7bvisionhas to be loaded first",
    ]);
    expect(options().map((option) => option.getAttribute("aria-selected"))).toEqual(["false", "false", "true"]);
    expect(active()).toBe("llava:7b");
    expect(document.activeElement).toBe(field());
  });

  it("is used with the keyboard", async () => {
    const heard = open("qwen3:8b");
    await waitFor(() => expect(button().textContent).toContain("in memory"));
    button().focus();
    await userEvent.keyboard("{ArrowDown}");
    expect(active()).toBe("qwen3:8b");
    await userEvent.keyboard("{ArrowUp}");
    expect(active()).toBe("llava:7b");
    await userEvent.keyboard("{ArrowDown}{ArrowDown}{Enter}");
    expect(heard).toHaveBeenCalledExactlyOnceWith("llama3.2:latest");
    expect(usePreferences.getState().lastModel).toBe("llama3.2:latest");
    expect(document.activeElement).toBe(button());
    expect(button().getAttribute("aria-expanded")).toBe("false");
  });

  it("gives the focus on after a choice by keyboard, and only then", async () => {
    daemon({ "GET gate/models": page(MODELS) });
    const onKeyed = vi.fn();
    renderPage(<ModelPicker value="qwen3:8b" onChange={vi.fn()} onKeyed={onKeyed} />);
    await userEvent.click(button());
    await waitFor(() => expect(options()).toHaveLength(3));
    await userEvent.click(options()[2] as HTMLElement);
    expect(onKeyed).not.toHaveBeenCalled();
    await userEvent.click(button());
    await userEvent.keyboard("{Escape}");
    expect(onKeyed).not.toHaveBeenCalled();
    await userEvent.click(button());
    await userEvent.keyboard("{Enter}");
    expect(onKeyed).toHaveBeenCalledOnce();
  });

  it("is filtered as one types; Esc closes it and changes nothing", async () => {
    const heard = open("qwen3:8b");
    await userEvent.click(button());
    await waitFor(() => expect(options()).toHaveLength(3));
    await userEvent.keyboard("vision");
    expect(options().map((option) => option.title)).toEqual(["llava:7b"]);
    expect(active()).toBe("llava:7b");
    await userEvent.keyboard("xx");
    expect(screen.getByText(/No model has “visionxx”/)).toBeTruthy();
    await userEvent.keyboard("{Enter}");
    await userEvent.keyboard("{Escape}");
    expect(screen.queryByRole("listbox", { hidden: true })).toBeNull();
    expect(document.activeElement).toBe(button());
    expect(heard).not.toHaveBeenCalled();
  });

  it("is chosen from with the pointer, and closes on a press beside it", async () => {
    const heard = open("qwen3:8b");
    await userEvent.click(button());
    await waitFor(() => expect(options()).toHaveLength(3));
    await userEvent.click(options()[2] as HTMLElement);
    expect(heard).toHaveBeenCalledExactlyOnceWith("llava:7b");
    await userEvent.click(button());
    await userEvent.click(document.body);
    expect(screen.queryByRole("listbox", { hidden: true })).toBeNull();
  });

  it("can be asked for again when it cannot be read", async () => {
    let refuses = true;
    open("qwen3:8b", 403, { "GET gate/models": () => (refuses ? 403 : page(MODELS)) });
    await userEvent.click(button());
    await screen.findByText("The daemon has refused.");
    refuses = false;
    await userEvent.click(screen.getByRole("button", { name: "Try again", hidden: true }));
    await waitFor(() => expect(options()).toHaveLength(3));
  });

  it("has nothing to complain about for axe", async () => {
    open("qwen3:8b");
    await userEvent.click(button());
    await waitFor(() => expect(options()).toHaveLength(3));
    // As a browser would show it.
    act(() => field().parentElement?.removeAttribute("popover"));
    const { violations } = await axe.run(document.body, {
      rules: { "color-contrast": { enabled: false }, region: { enabled: false } },
    });
    expect(violations.map((violation) => violation.id)).toEqual([]);
  });
});

describe("models", () => {
  it.each<[string, string, boolean]>([
    ["llama3.2", "llama3.2:latest", true],
    ["Llama3.2", "llama3.2", true],
    ["llama3.2:1b", "llama3.2", false],
    ["host:5000/org/m", "host:5000/org/m:latest", true],
    ["hf.co/org/m:Q4", "hf.co/org/m", false],
  ])("%s is %s: %s", (one, other, same) => {
    expect(isSame(one, other)).toBe(same);
  });

  it("are found by several words", () => {
    expect(filtered(MODELS, "q4 llama").map((one) => one.name)).toEqual(["llama3.2:latest"]);
    expect(filtered(MODELS, " ")).toHaveLength(3);
  });

  it("have no default when there are none", () => {
    expect(preferred([], "m")).toBeNull();
  });

  it.each([
    [512, "512"],
    [2048, "2k"],
    [40_960, "40k"],
    [131_072, "128k"],
    [1_048_576, "1M"],
    [10_485_760, "10M"],
  ])("%d tokens are %s", (tokens, text) => {
    expect(shortCount(tokens)).toBe(text);
  });
});
