/** The page's addresses. They are in the hash, so that it works under whatever path a proxy gives it. */

export const ACCOUNT_PARTS = ["settings", "usage", "keys", "sessions", "password"] as const;
export type AccountPart = (typeof ACCOUNT_PARTS)[number];

export type Route =
  | { page: "chat"; conversation: string | null }
  | { page: "account"; part: AccountPart }
  | { page: "login" | "register" | "setup" | "unknown" };

/** What a path like `/c/01J…` shows. */
export function routeOf(path: string): Route {
  const [first = "", second = "", ...rest] = (path.split("?")[0] ?? "").split("/").filter(Boolean);
  if (rest.length > 0) return { page: "unknown" };
  if (first === "") return { page: "chat", conversation: null };
  if (first === "c" && /^[0-9A-Za-z]{1,64}$/.test(second)) return { page: "chat", conversation: second };
  if (first === "account") return accountRoute(second);
  if ((first === "login" || first === "register" || first === "setup") && !second) return { page: first };
  return { page: "unknown" };
}

function accountRoute(name: string): Route {
  const part = ACCOUNT_PARTS.find((known) => known === (name || ACCOUNT_PARTS[0]));
  return part ? { page: "account", part } : { page: "unknown" };
}

const TOKEN_LINK = /^#?\/?(register|setup)\?(.*)$/;

/** The token of a link like `#/register?token=…`, and the address without it; null for every other hash. */
export function tokenOf(hash: string): { token: string; hash: string } | null {
  const [, page, query] = TOKEN_LINK.exec(hash) ?? [];
  if (!page || query === undefined) return null;
  return { token: new URLSearchParams(query).get("token")?.trim() ?? "", hash: `#/${page}` };
}
