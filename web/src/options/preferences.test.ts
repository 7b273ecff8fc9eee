import { beforeEach, describe, expect, it, vi } from "vitest";
import { DEFAULTS, STORAGE_KEY, sound, takeOver, usePreferences } from "./preferences";

beforeEach(() => {
  localStorage.clear();
  sessionStorage.clear();
  usePreferences.setState(DEFAULTS);
});

function stored(): Record<string, unknown> {
  return JSON.parse(localStorage.getItem(STORAGE_KEY) ?? "null") as Record<string, unknown>;
}

describe("sound", () => {
  it.each([null, undefined, 7, "x", [], { theme: 1, sendKey: {}, lastModel: 5, sidebar: "yes" }, { lastModel: "" }])(
    "makes defaults of %j",
    (bad) => {
      const { temporary: _, ...defaults } = DEFAULTS;
      expect(sound(bad)).toEqual(defaults);
    },
  );

  it("keeps what is good beside what is not", () => {
    expect(sound({ theme: "dark", sendKey: "ctrl-enter", lastModel: "m:1b", sidebar: 0, more: 1 })).toEqual({
      theme: "dark",
      sendKey: "ctrl-enter",
      lastModel: "m:1b",
      sidebar: true,
    });
  });
});

describe("usePreferences", () => {
  it("is kept", async () => {
    usePreferences.setState({ theme: "dark", lastModel: "m" });
    expect(stored()).toMatchObject({ theme: "dark", lastModel: "m" });
    localStorage.setItem(STORAGE_KEY, JSON.stringify({ theme: "light" }));
    await usePreferences.persist.rehydrate();
    expect(usePreferences.getState()).toMatchObject({ theme: "light", lastModel: null });
  });

  it("keeps whether chats are temporary for this tab only", () => {
    usePreferences.setState({ temporary: true });
    expect(stored()).not.toHaveProperty("temporary");
    expect(sessionStorage.length).toBe(1);
  });

  it.each(["{", "null", "[]", '"dark"'])("begins with defaults when %s is stored", async (bad) => {
    localStorage.setItem(STORAGE_KEY, bad);
    await usePreferences.persist.rehydrate();
    expect(usePreferences.getState()).toEqual(DEFAULTS);
  });

  it("works in a browser that keeps nothing", () => {
    vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
      throw new DOMException("no", "SecurityError");
    });
    usePreferences.setState({ theme: "dark" });
    expect(usePreferences.getState().theme).toBe("dark");
  });
});

describe("takeOver", () => {
  function fromOtherTab(value: object | null): void {
    takeOver(new StorageEvent("storage", { key: STORAGE_KEY, newValue: value && JSON.stringify(value) }));
  }

  it("takes what another tab has chosen, but for what is this tab's own", () => {
    usePreferences.setState({ temporary: true, sidebar: false });
    fromOtherTab({ theme: "dark", sidebar: true });
    expect(usePreferences.getState()).toMatchObject({ theme: "dark", temporary: true, sidebar: false });
  });

  it("does not write back what is the same", () => {
    usePreferences.setState({ theme: "dark" });
    const written = vi.spyOn(Storage.prototype, "setItem");
    fromOtherTab({ theme: "dark" });
    expect(written).not.toHaveBeenCalled();
  });

  it("minds only its own key", () => {
    usePreferences.setState({ theme: "dark" });
    takeOver(new StorageEvent("storage", { key: "other", newValue: "{}" }));
    expect(usePreferences.getState().theme).toBe("dark");
    takeOver(new StorageEvent("storage", { key: null, newValue: null }));
    expect(usePreferences.getState().theme).toBe("system");
  });
});
