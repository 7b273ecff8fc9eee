import { describe, expect, it } from "vitest";
import { clientName, lastDays, relative } from "./format";
import { curlOf } from "./key-secret";
import { endOf, keyName, wishOf } from "./key-wish";
import { axisEnd, byDay, totalOf } from "./usage-sums";

const NOW = Date.UTC(2026, 10, 26, 12);

describe("clientName", () => {
  it.each([
    ["Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"],
    ["Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"],
    ["Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"],
    [
      "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1 Version/26.0 Safari/604.1",
      "Safari on iPhone",
    ],
    ["llmgate/1.0 cli", "llmgate"],
    ["", "Unknown client"],
  ])("%s", (agent, name) => {
    expect(clientName(agent)).toBe(name);
  });
});

describe("times", () => {
  it("are told from now", () => {
    const at = (seconds: number) => relative(new Date(NOW + seconds * 1000).toISOString(), NOW);
    expect([at(-5), at(-90), at(-7300), at(-86_400 * 3), at(86_400)]).toEqual([
      "just now",
      "1 minute ago",
      "2 hours ago",
      "3 days ago",
      "tomorrow",
    ]);
  });

  it("are counted in days of the UTC calendar", () => {
    expect(lastDays(3, NOW)).toEqual(["2026-11-24", "2026-11-25", "2026-11-26"]);
  });
});

describe("a key", () => {
  const form = { name: "Büro Rechner!", life: "", date: "", level: "", models: null };

  it("gets a name that keys may have", () => {
    expect(keyName(form.name)).toBe("buro-rechner");
    expect(keyName("  --  ")).toBe("");
    expect(keyName("x".repeat(50))).toHaveLength(33);
  });

  it("asks only for what was chosen", () => {
    expect(wishOf(form, NOW)).toEqual({ name: "buro-rechner" });
    expect(wishOf({ ...form, life: "30", level: "4", models: ["a"] }, NOW)).toEqual({
      name: "buro-rechner",
      level: 4,
      models: ["a"],
      expires_at: "2026-12-26T12:00:00.000Z",
    });
  });

  it("lasts to the end of the chosen day", () => {
    expect(endOf({ ...form, life: "date", date: "2026-12-24" })).toBe(new Date("2026-12-24T23:59:59").toISOString());
    expect(endOf({ ...form, life: "date", date: "" })).toBeNull();
  });
});

describe("curlOf", () => {
  it("is safe in a shell, and keeps the path of a proxy", () => {
    const call = curlOf("https://host/ai/", "llmg_x", "it's");
    expect(call).toContain("curl 'https://host/ai/v1/chat/completions' \\\n");
    expect(call).toContain(`-d '{"model":"it'\\''s",`);
  });
});

describe("sums of usage", () => {
  const row = (name: string, requests: number) => ({ name, requests, input_tokens: 10, output_tokens: 1 });

  it("add up, with a row for each day", () => {
    const rows = [row("2026-11-25", 2), row("2026-11-27", 3)];
    expect(totalOf(rows)).toEqual({ requests: 5, input_tokens: 20, output_tokens: 2 });
    expect(byDay(rows, lastDays(3, NOW)).map((day) => day.requests)).toEqual([0, 2, 0, 3]);
  });

  it("have an axis that ends at a round number", () => {
    expect([0, 1, 3, 11, 24, 51, 100, 101].map(axisEnd)).toEqual([1, 1, 5, 20, 25, 100, 100, 200]);
  });
});
