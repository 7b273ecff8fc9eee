import { describe, expect, test } from "vitest";
import { parsed } from "./parse";

interface Node {
  type: string;
  value?: string;
  children?: Node[];
  data?: { hProperties?: { className?: string[] } };
}
function found(text: string): string[] {
  const out: string[] = [];
  const walk = (node: Node): void => {
    if (node.type === "inlineMath")
      out.push(`${node.data?.hProperties?.className?.[0] === "math-display" ? "D" : "I"}:${node.value}`);
    node.children?.forEach(walk);
  };
  walk(parsed(text) as Node);
  return out;
}

describe("math", () => {
  test.each([
    ["a $x$ b", ["I:x"]],
    ["\\(a+b\\) and \\[c\\]", ["I:a+b", "D:c"]],
    ["$$x^2$$", ["D:x^2"]],
    ["$$\nx\n= y\n$$", ["D:x\n= y"]],
    ["text\n\\[\n a\n- b\n=\n+ c\n\\]\nmore", ["D:a\n- b\n=\n+ c"]],
    ["> \\[\n> x\n> - y\n> \\]\n> z", ["D:x\n- y"]],
    ["- a\n\n  $$\n  x\n  $$\n- b $y$", ["D:x", "I:y"]],
    ["\\[\nx\n\\], where $y$ is", ["D:x", "I:y"]],
    ["$$ a = b\n+ c $$", ["D:a = b\n+ c"]],
    ["It costs $5 and $10.", []],
    ["between $5-$10 or $20,000 and $30,000", []],
    ["$5 (or 5$ more)", []],
    ["US$5 and A$6", []],
    ["$2x + 1$ and $5$ and $3.5$", ["I:2x + 1", "I:5", "I:3.5"]],
    ["$HOME/bin:$PATH", []],
    ["the $n$th $k$-means", ["I:n", "I:k"]],
    ["`$x$` and \\$x\\$", []],
    ["\\[citation needed\\]", []],
    ["\\\\(x\\\\)", []],
    ["$$ open\n\ntext $x$", ["I:x"]],
    ["\\[ open\n\n- list", []],
    ["$a\\$b$", ["I:a\\$b"]],
    ["\\[ \\begin{matrix} a \\\\ b \\end{matrix} \\]", ["D:\\begin{matrix} a \\\\ b \\end{matrix}"]],
    ["|a|b|\n|-|-|\n|$x$|\\(y\\)|", ["I:x", "I:y"]],
    ["其中$x$是", ["I:x"]],
    ["> \\[\nlazy\n\\]", []],
    ["[$x$](http://a.b) **$y$**", ["I:x", "I:y"]],
    ["$", []],
    ["$$", []],
    ["\\[", []],
    ["\\(", []],
    ["$$$", []],
    ["a$", []],
    ["\\", []],
    ["$$$x$$$", []],
    ["$x$ $", ["I:x"]],
  ])("%j", (text, expected) => {
    expect(found(text)).toEqual(expected);
  });
});
