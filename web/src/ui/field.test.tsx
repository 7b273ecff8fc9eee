import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { expect, it } from "vitest";
import { Select, Switch, TextArea, TextField } from "./field";

it("ties label, hint and error to the field", () => {
  render(<TextField label="Name" hint="Any name." error="It is taken." />);
  const field = screen.getByLabelText("Name");
  const texts = field
    .getAttribute("aria-describedby")
    ?.split(" ")
    .map((id) => document.getElementById(id)?.textContent);
  expect(texts).toEqual(["Any name.", "It is taken."]);
  expect(field.getAttribute("aria-invalid")).toBe("true");
  expect(screen.getByRole("alert").textContent).toBe("It is taken.");
});

it("names fields whose label is not shown", () => {
  render(
    <>
      <TextArea label="System prompt" hideLabel />
      <Select label="Range" hideLabel options={[{ value: "7", label: "7 days" }]} />
    </>,
  );
  expect(screen.getByRole("textbox", { name: "System prompt" })).toBeTruthy();
  expect(screen.getByRole("combobox", { name: "Range" })).toBeTruthy();
});

function Page() {
  const [on, setOn] = useState(false);
  return <Switch label="Keep" checked={on} onChange={setOn} hint="On the server." />;
}

it("switches", async () => {
  render(<Page />);
  const control = screen.getByRole("switch", { name: "Keep", checked: false });
  await userEvent.click(control);
  expect(screen.getByRole("switch", { checked: true })).toBe(control);
});
