import { beforeEach, describe, expect, it, vi } from "vitest";
import { MOST_PRESETS, presetsOf, removePreset, savePreset } from "./presets";

beforeEach(() => localStorage.clear());

describe("presets", () => {
  it("are kept by name, one of each", () => {
    savePreset("u1", { name: "Pirate", text: "Arr" });
    savePreset("u1", { name: "Editor", text: "Correct" });
    savePreset("u1", { name: "Pirate", text: "Arrr!" });
    expect(presetsOf("u1")).toEqual([
      { name: "Editor", text: "Correct" },
      { name: "Pirate", text: "Arrr!" },
    ]);
    removePreset("u1", "Pirate");
    expect(presetsOf("u1").map((one) => one.name)).toEqual(["Editor"]);
  });

  it("are each user's own", () => {
    savePreset("u1", { name: "Pirate", text: "Arr" });
    expect(presetsOf("u2")).toEqual([]);
  });

  it("survive damage", () => {
    localStorage.setItem("llmgate.presets.u1", "{");
    expect(presetsOf("u1")).toEqual([]);
    localStorage.setItem("llmgate.presets.u1", JSON.stringify([null, 1, { name: "ok", text: "t" }, { name: "" }]));
    expect(presetsOf("u1")).toEqual([{ name: "ok", text: "t" }]);
  });

  it("are bounded", () => {
    for (let n = 0; n < MOST_PRESETS; n++) savePreset("u1", { name: `p${n}`, text: "" });
    expect(savePreset("u1", { name: "one more", text: "" })).toBe(false);
    expect(savePreset("u1", { name: "p1", text: "changed" })).toBe(true);
  });

  it("say when the browser keeps nothing", () => {
    vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
      throw new DOMException("full", "QuotaExceededError");
    });
    expect(savePreset("u1", { name: "Pirate", text: "Arr" })).toBe(false);
  });
});
