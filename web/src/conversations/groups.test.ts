import { describe, expect, it } from "vitest";
import type { Conversation } from "../api/types";
import { grouped, labelOf, marked } from "./groups";

const NOW = new Date(2026, 10, 23, 12, 0);

function at(year: number, month: number, day: number, hour = 12): string {
  return new Date(year, month - 1, day, hour).toISOString();
}

function conversation(id: string, updated_at: string): Conversation {
  return { id, title: id, titled_by: "auto", model: "m", created_at: updated_at, updated_at };
}

describe("labelOf", () => {
  it.each([
    ["just now", at(2026, 11, 23), "Today"],
    ["midnight", at(2026, 11, 23, 0), "Today"],
    ["a server whose clock is ahead", at(2026, 11, 24, 3), "Today"],
    ["not a time", "nonsense", "Today"],
    ["late yesterday", at(2026, 11, 22, 23), "Yesterday"],
    ["early yesterday", at(2026, 11, 22, 0), "Yesterday"],
    ["two days ago", at(2026, 11, 21), "Last 7 days"],
    ["seven days ago", at(2026, 11, 16, 0), "Last 7 days"],
    ["eight days ago", at(2026, 11, 15, 23), "Last 30 days"],
    ["thirty days ago", at(2026, 10, 24), "Last 30 days"],
    ["31 days ago", at(2026, 10, 23), "October"],
    ["in spring", at(2026, 3, 2), "March"],
    ["last year", at(2025, 12, 31), "December 2025"],
  ])("%s", (_, moment, label) => {
    expect(labelOf(moment, NOW)).toBe(label);
  });

  it("counts calendar days, not hours", () => {
    expect(labelOf(at(2026, 11, 22, 23), new Date(2026, 10, 23, 0, 30))).toBe("Yesterday");
  });
});

describe("grouped", () => {
  it("keeps the order and cuts where the heading changes", () => {
    const list = [
      conversation("a", at(2026, 11, 23)),
      conversation("b", at(2026, 11, 23, 1)),
      conversation("c", at(2026, 11, 22)),
      conversation("d", at(2025, 11, 22)),
    ];
    const groups = grouped(list, NOW);
    expect(groups.map((group) => [group.label, group.conversations.map((one) => one.id)])).toEqual([
      ["Today", ["a", "b"]],
      ["Yesterday", ["c"]],
      ["November 2025", ["d"]],
    ]);
  });

  it("is nothing for nothing", () => {
    expect(grouped([], NOW)).toEqual([]);
  });
});

describe("marked", () => {
  it("cuts the title around what was found, in any case", () => {
    expect(marked("How to bake Bread well", "bread")).toEqual([
      { text: "How to bake ", found: false },
      { text: "Bread", found: true },
      { text: " well", found: false },
    ]);
  });

  it("takes what is searched for as text, not as a pattern", () => {
    expect(marked("What is (a+b)?", "(a+b)?")).toEqual([
      { text: "What is ", found: false },
      { text: "(a+b)?", found: true },
    ]);
    expect(marked("aab", "a+b")).toBeNull();
  });

  it("says when it is not in the title", () => {
    expect(marked("Recipes", "sourdough")).toBeNull();
  });

  it("marks nothing without a search", () => {
    expect(marked("Recipes", "  ")).toEqual([{ text: "Recipes", found: false }]);
  });
});
