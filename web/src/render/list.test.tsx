import { render } from "@testing-library/react";
import { describe, expect, test } from "vitest";
import { listPieces } from "./list";
import { MarkdownBlock, rendered } from "./markdown";

const list = (count: number, between: string, mark: () => string): string =>
  Array.from(
    { length: count },
    (_, at) =>
      `${mark()} **Item** ${at} with some more words in it\n   - nested *one*\n     \`\`\`\n     code\n     \`\`\``,
  ).join(between);

const shape = (root: Element): string => root.innerHTML.replace(/\s*\n\s*/g, "").replace(/_r_\w+_/g, "");

describe("a long list", () => {
  test.each([
    ["tight", list(40, "\n", () => "-")],
    ["with space", list(40, "\n\n", () => "3.")],
    ["with space and one left over", list(41, "\n\n", () => "3.")],
    ["of tasks", list(40, "\n", () => "* [x]")],
  ])("%s is drawn as one", (_, text) => {
    expect(listPieces(text)?.length).toBeGreaterThan(3);
    const { container } = render(<MarkdownBlock text={text} prefix="m" />);
    const whole = render(<div>{rendered(text, "m")}</div>).container.firstElementChild as Element;
    expect(shape(container)).toBe(shape(whole));
  });

  test("changes only at its end", () => {
    const pieces = listPieces(list(40, "\n", () => "-")) ?? [];
    expect(listPieces(list(47, "\n", () => "-"))?.slice(0, 5)).toEqual(pieces.slice(0, 5));
  });

  test.each([
    ["short", "- a\n- b"],
    ["with a line that belongs to none", `${list(40, "\n", () => "-")}\ntext`],
    ["with other marks", `${list(40, "\n", () => "-")}\n* other`],
    ["with a rule", `${list(40, "\n", () => "-")}\n- - -`],
    ["with space only here and there", `${list(20, "\n\n", () => "-")}\n${list(20, "\n", () => "-")}`],
    ["with an empty item", `${list(40, "\n", () => "-")}\n-\n- x`],
  ])("is none when %s", (_, text) => {
    expect(listPieces(text)).toBeNull();
  });
});
