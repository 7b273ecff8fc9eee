import { render } from "@testing-library/react";
import { describe, expect, test } from "vitest";
import { MarkdownBlock, rendered } from "./markdown";
import { tablePieces } from "./table";

const table = (rows: number): string =>
  `| a | b |\n|:--|--:|\n${Array.from({ length: rows }, (_, at) => `| **row** ${at} with some words in it | \`code\` \\| ${at} |`).join("\n")}`;

describe("a long table", () => {
  test("is drawn as one, in pieces of which only the last changes", () => {
    const pieces = tablePieces(table(40)) ?? [];
    expect(pieces).toHaveLength(3);
    expect(tablePieces(table(43))?.slice(0, 2)).toEqual(pieces.slice(0, 2));
    const { container } = render(<MarkdownBlock text={table(40)} prefix="m" />);
    const whole = render(<div>{rendered(table(40), "m")}</div>).container;
    const rows = (root: Element) => [...root.querySelectorAll("table > * > tr")].map((row) => row.innerHTML);
    expect(container.querySelectorAll("table")).toHaveLength(1);
    expect(container.querySelectorAll("thead")).toHaveLength(1);
    expect(rows(container)).toEqual(rows(whole));
  });

  test.each([
    ["short", table(3)],
    ["with text behind", `${table(40)}\ntext`],
    ["without a second line", table(40).replace(/\n.*/, "")],
    ["with another number of cells", table(40).replace("|:--|--:|", "|--|")],
  ])("is none when %s", (_, text) => {
    expect(tablePieces(text)).toBeNull();
  });
});
