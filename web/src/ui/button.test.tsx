import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { Button, IconButton } from "./button";

it("does nothing a second time while it is busy, and keeps the focus", async () => {
  const clicked = vi.fn();
  const { rerender } = render(<Button onClick={clicked}>Go</Button>);
  const button = screen.getByRole("button", { name: "Go" });
  await userEvent.click(button);
  rerender(
    <Button onClick={clicked} busy>
      Go
    </Button>,
  );
  await userEvent.click(button);
  expect(clicked).toHaveBeenCalledOnce();
  expect(document.activeElement).toBe(button);
  expect(button.getAttribute("aria-busy")).toBe("true");
});

it("does not send a form twice", async () => {
  const sent = vi.fn((event: { preventDefault: () => void }) => event.preventDefault());
  render(
    <form onSubmit={sent}>
      <Button type="submit" busy>
        Send
      </Button>
    </form>,
  );
  await userEvent.click(screen.getByRole("button"));
  expect(sent).not.toHaveBeenCalled();
});

it("names an icon, and says whether it is on", () => {
  render(<IconButton label="Pin" icon={<svg />} pressed />);
  const button = screen.getByRole("button", { name: "Pin", pressed: true });
  expect(button.dataset.tip).toBe("Pin");
  expect((button as HTMLButtonElement).type).toBe("button");
});
