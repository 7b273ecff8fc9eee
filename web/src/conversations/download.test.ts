import { beforeEach, describe, expect, it, vi } from "vitest";
import { fileName, saveConversation } from "./download";

describe("fileName", () => {
  it.each([
    [null, null],
    ["attachment", null],
    ['attachment; filename="Bread and butter.md"', "Bread and butter.md"],
    ["attachment; filename=bread.json", "bread.json"],
    ["attachment; filename=\"x.md\"; filename*=UTF-8''Br%C3%B6tchen.md", "Brötchen.md"],
    ["attachment; filename=x.md; filename*=UTF-8''%E0%A4%A", "x.md"],
    ['attachment; filename="../../etc/passwd"', ".._.._etc_passwd"],
    ['attachment; filename="say \\"hi\\".md"', "say _hi_.md"],
  ])("%s", (disposition, name) => {
    expect(fileName(disposition)).toBe(name);
  });
});

describe("saveConversation", () => {
  let saved: string[];

  beforeEach(() => {
    saved = [];
    vi.useFakeTimers();
    URL.createObjectURL = vi.fn(() => "blob:x");
    URL.revokeObjectURL = vi.fn();
    vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function click(this: HTMLAnchorElement) {
      saved.push(this.download);
    });
  });

  it("has the browser save it under the daemon's name", async () => {
    const headers = { "content-disposition": 'attachment; filename="Bread.md"' };
    const asked = vi.fn(() => Promise.resolve(new Response("# Bread", { headers })));
    vi.stubGlobal("fetch", asked);
    await saveConversation("C1", "markdown");
    expect(asked).toHaveBeenCalledWith("gate/conversations/C1/export?format=markdown", expect.anything());
    expect(saved).toEqual(["Bread.md"]);
    vi.runAllTimers();
    expect(URL.revokeObjectURL).toHaveBeenCalledWith("blob:x");
  });

  it("saves nothing that is cut off", async () => {
    const broken = new ReadableStream({ start: (stream) => stream.error(new TypeError("network error")) });
    vi.stubGlobal(
      "fetch",
      vi.fn(() => Promise.resolve(new Response(broken))),
    );
    await expect(saveConversation("C1", "json")).rejects.toThrow("did not come to its end");
    expect(saved).toEqual([]);
  });

  it("saves nothing when the daemon refuses", async () => {
    const gone = new Response(JSON.stringify({ title: "No", status: 404, code: "not_found", detail: "No." }), {
      status: 404,
    });
    vi.stubGlobal(
      "fetch",
      vi.fn(() => Promise.resolve(gone)),
    );
    await expect(saveConversation("C1", "json")).rejects.toMatchObject({ code: "not_found" });
    expect(saved).toEqual([]);
  });
});
