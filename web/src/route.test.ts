import { describe, expect, it } from "vitest";
import { routeOf, tokenOf } from "./route";

describe("routeOf", () => {
  it.each([
    ["/", { page: "chat", conversation: null }],
    ["/c/01JABC", { page: "chat", conversation: "01JABC" }],
    ["/c/", { page: "unknown" }],
    ["/c/../x", { page: "unknown" }],
    ["/c/a/b", { page: "unknown" }],
    ["/login", { page: "login" }],
    ["/register?token=x", { page: "register" }],
    ["/setup/", { page: "setup" }],
    ["/account", { page: "account", part: "settings" }],
    ["/account/keys", { page: "account", part: "keys" }],
    ["/account/other", { page: "unknown" }],
    ["/elsewhere", { page: "unknown" }],
  ])("%s", (path, route) => {
    expect(routeOf(path)).toEqual(route);
  });
});

describe("tokenOf", () => {
  it("takes the token out of the address", () => {
    expect(tokenOf("#/register?token=llmr_a%2Bb")).toEqual({ token: "llmr_a+b", hash: "#/register" });
    expect(tokenOf("#setup?x=1&token=abc")).toEqual({ token: "abc", hash: "#/setup" });
    expect(tokenOf("#/register?other=1")).toEqual({ token: "", hash: "#/register" });
  });

  it("leaves other addresses alone", () => {
    for (const hash of ["", "#/", "#/register", "#/login?token=abc", "#/c/x?token=abc"]) {
      expect(tokenOf(hash)).toBeNull();
    }
  });
});
