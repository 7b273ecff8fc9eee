import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, test } from "vitest";
import { pictureSource, Question } from "./question";

const ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

describe("a question", () => {
  test("is shown as it was written", () => {
    const { container } = render(<Question content={"# no *Markdown*\n  <b>here</b> $x$"} images={[]} />);
    expect(container.querySelector(".question-text")?.innerHTML).toBe("# no *Markdown*\n  &lt;b&gt;here&lt;/b&gt; $x$");
    expect(container.querySelector(".question-text")?.getAttribute("dir")).toBe("auto");
  });

  test("has its pictures, which open large", async () => {
    render(<Question content="" images={[{ id: ID }, { url: "blob:https://page/1" }]} />);
    await userEvent.click(screen.getByRole("button", { name: "Picture 1 of 2: show it large" }));
    expect(screen.getByRole("dialog", { name: "Picture" })).toBeTruthy();
    expect(screen.getByRole("img", { name: "As it was sent, large" }).getAttribute("src")).toBe(`gate/images/${ID}`);
    await userEvent.click(screen.getByRole("button", { name: "Close" }));
    expect(screen.queryByRole("dialog")).toBeNull();
  });

  test("says so when a picture is gone", () => {
    const { container } = render(<Question content="x" images={[{ id: ID }]} />);
    const picture = container.querySelector("img");
    // As when it was deleted in the meantime.
    picture?.dispatchEvent(new Event("error"));
    return screen.findByText("Picture 1 of 1 cannot be shown");
  });

  test.each([
    [{ id: ID }, `gate/images/${ID}`],
    [{ id: "../x?y" }, "gate/images/..%2Fx%3Fy"],
    [{ url: "blob:https://page/1" }, "blob:https://page/1"],
    [{ url: "data:image/png;base64,AAAA" }, "data:image/png;base64,AAAA"],
    [{ url: "data:image/svg+xml;base64,AAAA" }, null],
    [{ url: "https://trap.invalid/x.png" }, null],
    [{ url: "javascript:x" }, null],
  ])("%j is at %j", (image, source) => {
    expect(pictureSource(image)).toBe(source);
  });
});
