import { describe, expect, it, vi } from "vitest";
import { useAuth } from "../api/http";
import type { Me } from "../api/types";
import { draftOf, dropDraft, forgetDrafts, joined, keepDraft } from "./drafts";
import { type Key, sends } from "./fields";
import { socketUrl } from "./page";
import { fitted, roomBeside, sizeOf } from "./pictures";
import { isAtEnd } from "./scrolling";
import { keepThought, thoughtOf } from "./thoughts";

describe("drafts", () => {
  it("are kept until they have arrived", () => {
    keepDraft("C1", "hello");
    expect(draftOf("C1")).toBe("hello");
    dropDraft("C1", "something else");
    expect(draftOf("C1")).toBe("hello");
    dropDraft("C1", "hello");
    expect(draftOf("C1")).toBe("");
  });

  it("are their user's, and gone when he has logged out", () => {
    const me = (user_id: string) => useAuth.setState({ me: { user_id } as Me });
    me("ann");
    keepDraft("new", "secret");
    me("bob");
    expect(draftOf("new")).toBe("");
    forgetDrafts();
    me("ann");
    expect(draftOf("new")).toBe("");
    useAuth.setState({ me: null });
  });

  it("come back above what was typed since", () => {
    expect(joined("old", "  ")).toBe("old");
    expect(joined("old", "old")).toBe("old");
    expect(joined("old", "new")).toBe("old\n\nnew");
  });
});

describe("thoughts", () => {
  it("are known by their answer, the latest of them", async () => {
    keepThought("A1", 3.04);
    expect([thoughtOf("A1"), thoughtOf("A2")]).toEqual([3, null]);
    vi.resetModules();
    const reloaded = await import("./thoughts");
    expect(reloaded.thoughtOf("A1")).toBe(3);
    for (let count = 0; count < 200; count++) reloaded.keepThought(`B${count}`, 1);
    expect([reloaded.thoughtOf("A1"), reloaded.thoughtOf("B0")]).toEqual([null, 1]);
  });
});

describe("sends", () => {
  const enter: Key = {
    key: "Enter",
    shiftKey: false,
    ctrlKey: false,
    metaKey: false,
    altKey: false,
    isComposing: false,
    keyCode: 13,
  };

  it.each<[Partial<Key>, "enter" | "ctrl-enter", boolean, boolean]>([
    [{}, "enter", false, true],
    [{ shiftKey: true }, "enter", false, false],
    [{ altKey: true }, "enter", false, false],
    [{ isComposing: true }, "enter", false, false],
    [{ keyCode: 229 }, "enter", false, false],
    [{}, "enter", true, false],
    [{}, "ctrl-enter", false, false],
    [{ ctrlKey: true }, "ctrl-enter", false, true],
    [{ metaKey: true }, "ctrl-enter", true, true],
    [{ key: "a" }, "enter", false, false],
  ])("%j with %s, touch: %s → %s", (values, sendKey, isTouch, expected) => {
    expect(sends({ ...enter, ...values }, sendKey, isTouch)).toBe(expected);
  });
});

describe("pictures", () => {
  it("are scaled down with their proportions, never up", () => {
    expect(fitted(3136, 1568)).toEqual({ width: 1568, height: 784 });
    expect(fitted(10, 20)).toEqual({ width: 10, height: 20 });
    expect(fitted(1, 100_000)).toEqual({ width: 1, height: 1568 });
  });

  it("are counted in bytes", () => {
    expect(["QQ==", "QUI=", "QUJD"].map(sizeOf)).toEqual([1, 2, 3]);
  });

  it("have to fit into one frame", () => {
    const large = { media_type: "image/png", data: "a".repeat(9 * 1024 * 1024) };
    const small = { media_type: "image/png", data: "aaaa" };
    expect(roomBeside([large], large)).toBe(true);
    expect(roomBeside([large, large], large)).toBe(false);
    expect(
      roomBeside(
        Array.from({ length: 8 }, () => small),
        small,
      ),
    ).toBe(false);
  });
});

describe("socketUrl", () => {
  it("is beside the document", () => {
    expect(socketUrl("https://host/ai/?a#/c/1")).toBe("wss://host/ai/gate/ws");
    expect(socketUrl("http://localhost:8080/")).toBe("ws://localhost:8080/gate/ws");
  });
});

describe("isAtEnd", () => {
  it("does not take pixels too seriously", () => {
    const element = (scrollTop: number) => ({ scrollTop, scrollHeight: 1000, clientHeight: 400 }) as HTMLElement;
    expect([600, 560, 540].map((top) => isAtEnd(element(top)))).toEqual([true, true, false]);
  });
});
