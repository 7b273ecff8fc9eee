/** For tests: the pages in what they need around them. */
import { QueryClientProvider } from "@tanstack/react-query";
import { render } from "@testing-library/react";
import type { ReactNode } from "react";
import { Router } from "wouter";
import { useHashLocation } from "wouter/use-hash-location";
import { makeQueryClient } from "../api/queries";
import type { About } from "../api/types";

export const ABOUT: About = {
  version: "1.0",
  registration: true,
  setup_needed: false,
  password_min_length: 10,
  conversations: true,
  conversation_days: 90,
  cookies: true,
};

export const TOKENS = { user: { id: "u1", name: "anna", role: "user" }, expires_in: 900 };

export function show(children: ReactNode) {
  const client = makeQueryClient();
  const { queries = {} } = client.getDefaultOptions();
  client.setDefaultOptions({ queries: { ...queries, retryDelay: 1 } });
  return render(
    <QueryClientProvider client={client}>
      <Router hook={useHashLocation}>{children}</Router>
    </QueryClientProvider>,
  );
}
