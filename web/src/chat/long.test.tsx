import { screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import type { Message } from "../api/types";
import { answer, conversation, question } from "./testing";
import { showPage } from "./testing-page";

const NUMBER = 30;

/** Questions and their answers, one below the other. */
function exchanges(): Message[] {
  const messages: Message[] = [];
  for (let number = 0; number < NUMBER; number++) {
    const asked = question(`q${number}`, messages.at(-1)?.id ?? null, `Question ${number}`);
    messages.push(asked, answer(`a${number}`, asked.id, { content: `Answer ${number}` }));
  }
  return messages;
}

it("shows a long conversation from its end, and soon all of it", async () => {
  await showPage("#/c/long", (daemon) => {
    daemon.conversations.set("long", conversation("long", exchanges(), `a${NUMBER - 1}`));
  });
  await screen.findByText(`Answer ${NUMBER - 1}`);
  // By role it takes a second to find them.
  const shown = () => [...document.querySelectorAll("article")].map((item) => item.textContent);
  await waitFor(() => expect(shown()).toHaveLength(2 * NUMBER));
  expect(shown()[1]).toContain("Answer 0");
});
