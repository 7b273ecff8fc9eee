import { describe, expect, test } from "vitest";
import { allowedUrl, hostOf, misleads } from "./urls";

describe("addresses", () => {
  test.each([
    ["https://example.com/a?b#c", "https://example.com/a?b#c"],
    ["HTTP://EXAMPLE.com", "http://example.com/"],
    ["mailto:a@b.c", "mailto:a@b.c"],
    ["javascript:alert(1)", null],
    ["java\nscript:alert(1)", null],
    [" javascript:alert(1)", null],
    ["vbscript:x", null],
    ["data:text/html,x", null],
    ["//example.com", null],
    ["/admin", null],
    ["#/account", null],
    ["", null],
    ["https://", null],
    ["https:example.com", null],
    ["file:///etc/passwd", null],
    ["blob:https://x/y", null],
    ["ftp://x", null],
    ["https://[::1", null],
  ])("%j leads to %j", (url, expected) => {
    expect(allowedUrl(url)).toBe(expected);
  });

  test.each([
    ["example.com", "https://example.com/x", false],
    ["https://www.example.com/x", "https://example.com/x", false],
    ["click here", "https://example.com", false],
    ["google.com", "https://evil.example", true],
    ["https://google.com@evil.example", "https://google.com@evil.example/", true],
    ["google。com", "https://evil.example", true],
    ["gооgle.com", "https://google.com", true],
    ["bücher.example", "https://xn--bcher-kva.example/", false],
    ["a@bank.example", "mailto:a@evil.example", true],
    ["a@bank.example", "mailto:a@bank.example", false],
    ["https://localhost", "https://evil.example", true],
    ["http://localhost:8080", "http://localhost:8080", false],
    ["http://localhost:8080", "http://localhost:80", true],
  ])("%j over %j misleads: %s", (text, url, expected) => {
    expect(misleads(text, url)).toBe(expected);
  });

  test("hosts are shown in ASCII", () => {
    expect(hostOf("https://gооgle.com/")).toMatch(/^xn--/);
    expect(hostOf("mailto:a@b.c")).toBe("a@b.c");
  });
});
