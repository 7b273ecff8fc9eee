import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import { Menu, type MenuEntry } from "./menu";
import { nextIndex, typedIndex } from "./menu-behaviour";

const chosen = vi.fn();
const ITEMS: MenuEntry[] = [
  { label: "Rename", onSelect: () => chosen("rename") },
  { label: "Remove", onSelect: () => chosen("remove"), disabled: true },
  { separator: true },
  {
    group: "Theme",
    items: [
      { label: "Light", checked: false, onSelect: () => chosen("light") },
      { label: "Dark", checked: false, onSelect: () => chosen("dark") },
    ],
  },
];

function show(items = ITEMS) {
  chosen.mockReset();
  render(
    <>
      <Menu
        label="Things"
        items={items}
        trigger={(props) => (
          <button type="button" {...props}>
            More
          </button>
        )}
      />
      <p>Elsewhere</p>
    </>,
  );
  return screen.getByText("More");
}

const focused = () => document.activeElement?.textContent;

describe("Menu", () => {
  it("opens on its first item, and moves with the arrows, Home and End", async () => {
    const button = show();
    await userEvent.click(button);
    expect(screen.getByRole("menu", { name: "Things" })).toBeTruthy();
    expect(button.getAttribute("aria-expanded")).toBe("true");
    expect(focused()).toBe("Rename");
    await userEvent.keyboard("{ArrowUp}");
    expect(focused()).toBe("Dark");
    await userEvent.keyboard("{ArrowDown}{ArrowDown}");
    expect(focused()).toBe("Remove");
    await userEvent.keyboard("{End}");
    expect(focused()).toBe("Dark");
    await userEvent.keyboard("{Home}");
    expect(focused()).toBe("Rename");
  });

  it("opens on its last item with the arrow up, and on the chosen one", async () => {
    const button = show();
    button.focus();
    await userEvent.keyboard("{ArrowUp}");
    expect(focused()).toBe("Dark");
  });

  it("opens on the one that is chosen", async () => {
    const items: MenuEntry[] = [
      { label: "Light", checked: false, onSelect: chosen },
      { label: "Dark", checked: true, onSelect: chosen },
    ];
    await userEvent.click(show(items));
    expect(focused()).toBe("Dark");
    expect(screen.getByRole("menuitemradio", { name: "Dark", checked: true })).toBeTruthy();
  });

  it("finds what is typed", async () => {
    await userEvent.click(show());
    await userEvent.keyboard("d");
    expect(focused()).toBe("Dark");
  });

  it("chooses, closes, and has the focus back before it does what was chosen", async () => {
    const button = show();
    chosen.mockImplementation(() => expect(document.activeElement).toBe(button));
    await userEvent.click(button);
    await userEvent.keyboard("{Enter}");
    expect(chosen).toHaveBeenCalledExactlyOnceWith("rename");
    expect(screen.queryByRole("menu")).toBeNull();
  });

  it("does not choose what is disabled", async () => {
    await userEvent.click(show());
    await userEvent.click(screen.getByRole("menuitem", { name: "Remove" }));
    expect(chosen).not.toHaveBeenCalled();
    expect(screen.queryByRole("menu")).toBeTruthy();
  });

  it("closes on Esc, Tab, its button and a press elsewhere", async () => {
    const button = show();
    for (const close of [
      () => userEvent.keyboard("{Escape}"),
      () => userEvent.keyboard("{Tab}"),
      () => userEvent.click(button),
      () => userEvent.click(screen.getByText("Elsewhere")),
    ]) {
      await userEvent.click(button);
      expect(screen.queryByRole("menu")).toBeTruthy();
      await close();
      expect(screen.queryByRole("menu")).toBeNull();
    }
  });
});

describe("nextIndex", () => {
  it("goes round, and knows nothing of other keys or of an empty menu", () => {
    expect([nextIndex("ArrowDown", 2, 3), nextIndex("ArrowUp", 0, 3), nextIndex("ArrowUp", -1, 3)]).toEqual([0, 2, 2]);
    expect([nextIndex("x", 0, 3), nextIndex("Home", 0, 0)]).toEqual([null, null]);
  });
});

describe("typedIndex", () => {
  const labels = ["Rename", "Remove", "Export", "Read"];
  it("searches from the current item on", () => {
    expect(typedIndex("e", 0, labels)).toBe(2);
    expect(typedIndex("rea", 0, labels)).toBe(3);
    expect(typedIndex("z", 0, labels)).toBeNull();
  });
  it("goes through all of one letter when that is repeated", () => {
    expect([typedIndex("r", 0, labels), typedIndex("rr", 1, labels), typedIndex("rrr", 3, labels)]).toEqual([1, 3, 0]);
  });
});
