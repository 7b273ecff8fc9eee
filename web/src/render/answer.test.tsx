import { render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { Answer } from "./answer";
import { loadEngine } from "./engine";

const show = (content: string, streaming = false) =>
  render(<Answer content={content} thinking={null} streaming={streaming} />);
const html = (content: string): string => show(content).container.querySelector(".answer-text")?.innerHTML ?? "";

beforeAll(loadEngine);

describe("an answer", () => {
  test("is Markdown", () => {
    const { container } = show(
      "# Title\n\nSome **bold** and `code`.\nNext line\n\n- [x] done\n- [ ] open\n\n| a | b |\n|---|--:|\n| 1<br>2 | 3 |",
    );
    expect(screen.getByRole("heading", { level: 3, name: "Title" }).className).toBe("heading-1");
    expect(container.querySelector("strong")?.textContent).toBe("bold");
    expect(container.querySelectorAll("p br")).toHaveLength(1);
    expect(screen.getByRole<HTMLInputElement>("checkbox", { name: "Done" }).checked).toBe(true);
    expect(container.querySelector("td.align-right")?.textContent).toBe("3");
    expect(container.querySelectorAll("td br")).toHaveLength(1);
    expect(container.querySelector("[style]")).toBeNull();
  });

  test("shows HTML as text", () => {
    const { container } = show(
      '<script>alert(1)</script>\n\n<img src=x onerror="alert(1)"> and <b>bold</b>\n\n<div>\n**strong**\n</div>',
    );
    expect(container.querySelector("script, img, b")).toBeNull();
    expect(container.textContent).toContain("<script>alert(1)</script>");
    expect(container.textContent).toContain('<img src=x onerror="alert(1)"> and <b>bold</b>');
    expect(container.querySelector("strong")?.textContent).toBe("strong");
  });

  test("has links that open beside it and tell nothing", () => {
    show("[here](https://example.com/a) and [bad](javascript:alert(1)) [rel](/admin)");
    const link = screen.getByRole("link");
    expect(link.outerHTML).toBe(
      '<a href="https://example.com/a" target="_blank" rel="noopener noreferrer nofollow" title="https://example.com/a"><bdi>here</bdi></a>',
    );
  });

  test("says where a link leads that looks like another", () => {
    show("[https://bank.example](https://evil.example/)");
    expect(screen.getByRole("link").textContent).toBe("https://bank.example (evil.example)");
  });

  test("never loads a picture", () => {
    const { container } = show(
      "![secret](https://evil.example/x.png?q=1) [![in](https://a.example/i.png)](https://b.example/)",
    );
    expect(container.querySelector("img")).toBeNull();
    expect(screen.getAllByRole("link").map((link) => link.textContent)).toEqual([
      "Picture: secret (evil.example)",
      "Picture: in (a.example)",
    ]);
  });

  test("keeps footnotes of messages apart, and the address of the page as it is", async () => {
    const text = "One[^1] and two[^1].\n\n[^1]: The note with [ref].\n\n[ref]: https://example.com";
    const { container } = render(
      <>
        <Answer content={text} thinking={null} streaming={false} />
        <Answer content={text} thinking={null} streaming={false} />
      </>,
    );
    const ids = [...container.querySelectorAll("[id]")].map((element) => element.id);
    expect(ids).toHaveLength(6);
    expect(new Set(ids).size).toBe(6);
    expect(container.querySelector("[aria-describedby]")).toBeNull();
    expect(screen.getAllByRole("link")).toHaveLength(2);
    await userEvent.click(screen.getAllByRole("button", { name: "Footnote 1" })[2] as HTMLElement);
    expect(document.activeElement).toBe(container.querySelectorAll("li[id]")[1]);
    expect(window.location.hash).toBe("");
  });

  test("shows code with its language, and copies it without tricks", async () => {
    const user = userEvent.setup();
    show("```py title\nx = 1 # \u202etrick\n```");
    expect(screen.getByText("Python")).toBeTruthy();
    expect(screen.getByText(/U\+202E/)).toBeTruthy();
    await user.click(screen.getByRole("button", { name: "Copy the code" }));
    expect(await navigator.clipboard.readText()).toBe("x = 1 # trick");
    const wrap = screen.getByRole("button", { name: "Wrap lines" });
    await user.click(wrap);
    expect(wrap.getAttribute("aria-pressed")).toBe("true");
  });

  test("colours code when it is complete", async () => {
    const { container, rerender } = show("```js\nconst a = 1;\n", true);
    expect(container.querySelector("pre")?.textContent).toBe("const a = 1;");
    rerender(<Answer content={"```js\nconst a = 1;\n```"} thinking={null} streaming={false} />);
    await waitFor(() => expect(container.querySelector(".hljs-keyword")?.textContent).toBe("const"));
    expect(container.querySelector("pre")?.textContent).toBe("const a = 1;");
  });

  test("typesets math, and shows the source of what it cannot", async () => {
    const { container } = show(
      "Math $x^2$ and\n\\[\n\\frac{a}{b}\n\\]\nbut $\\frac{a$ and it costs $5 or $10.\n\n```math\ny\n```",
    );
    await waitFor(() => expect(container.querySelectorAll(".katex")).toHaveLength(3));
    expect(container.querySelectorAll(".katex math")).toHaveLength(3);
    expect(container.querySelectorAll(".katex-display")).toHaveLength(2);
    await waitFor(() => expect(container.querySelector("code.math-source[title]")?.textContent).toBe("\\frac{a"));
    expect(container.textContent).toContain("it costs $5 or $10.");
  });

  test("shows the beginning of things while it streams", async () => {
    const { container, rerender } = show("Hello **wor", true);
    expect(container.querySelector("strong")?.textContent).toBe("wor");
    rerender(<Answer content={"Hello **world**\n\nmore"} thinking={null} streaming />);
    await waitFor(() => expect(container.textContent).toContain("more"));
    rerender(<Answer content={"Hello **world**\n\nmore and more"} thinking={null} streaming={false} />);
    expect(container.textContent).toBe("Hello worldmore and more");
  });

  test("folds the reasoning", async () => {
    const { container } = render(
      <Answer content="<think>deep *thought*</think>Yes" thinking="first" streaming={false} />,
    );
    const toggle = screen.getByRole("button", { name: "Thoughts", expanded: false });
    expect(container.textContent).not.toContain("deep");
    await userEvent.click(toggle);
    expect(screen.getByText("thought").tagName).toBe("EM");
    expect(screen.getByText("first")).toBeTruthy();
    await userEvent.click(toggle);
  });

  test("says how long it thought", () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    const heard = vi.fn();
    const { rerender } = render(<Answer content="" thinking="hm" streaming onThought={heard} />);
    expect(screen.getByRole("button", { name: "Thinking…" })).toBeTruthy();
    vi.advanceTimersByTime(12_000);
    rerender(<Answer content="Yes" thinking="hm" streaming onThought={heard} />);
    expect(heard).toHaveBeenCalledExactlyOnceWith(12);
    expect(screen.getByRole("button", { name: "Thought for 12 s" })).toBeTruthy();
    vi.useRealTimers();
  });

  test("finds its direction block by block", () => {
    expect(html("שלום\n\nHello")).toBe('<p dir="auto">שלום</p><p dir="auto">Hello</p>');
  });

  test("shows as plain text what would take too much", () => {
    const text = `${">".repeat(1_000)} deep`;
    expect(show(text).container.querySelector(".plain-text")?.textContent).toContain(text);
  });
});
