import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { beforeAll, describe, expect, it } from "vitest";

const BUILT = resolve(import.meta.dirname, "../../llmgate/daemon/static");
/** Bytes after gzip: what a phone on a slow line has to load before it can show anything. */
const MOST = 150_000;
/** And what it has to load before it can show a conversation: Markdown, and all that a chat has. Code and mathematics
 * come later, when there are any. */
const MOST_WITH_CHAT = 215_000;

function attribute(tag: string, name: string): string | undefined {
  return new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1];
}

/** The scripts and style sheets that the page asks for itself. */
function namedBy(html: string): string[] {
  const scripts = [...html.matchAll(/<script\b[^>]*>/g)].map(([tag]) => attribute(tag, "src"));
  const links = [...html.matchAll(/<link\b[^>]*>/g)]
    .filter(([tag]) => /^(stylesheet|modulepreload|preload)$/.test(attribute(tag, "rel") ?? ""))
    .map(([tag]) => attribute(tag, "href"));
  return [...scripts, ...links].filter((path) => path !== undefined);
}

/** What a module cannot begin without; `import(…)` is for later. */
function importedBy(code: string): string[] {
  const statement = /(?:^|[;}\n])\s*(?:import|export)\s*(?:[\w$*{}\s,]+?\s*from\s*)?["'](\.{1,2}\/[^"']+)["']/g;
  return [...code.matchAll(statement)].map((found) => found[1]).filter((path) => path !== undefined);
}

/** Path → size after gzip, of all that is loaded at once with the page, and with these modules of it. */
function loaded(directory: string, modules: readonly string[] = []): Map<string, number> {
  const index = join(directory, "index.html");
  const html = readFileSync(index, "utf8");
  const sizes = new Map([[index, gzipSync(html, { level: 9 }).length]]);
  const open = [...namedBy(html), ...modules].map((path) => join(directory, path));
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (sizes.has(path)) continue;
    const from = dirname(path);
    const content = readFileSync(path);
    sizes.set(path, gzipSync(content, { level: 9 }).length);
    if (path.endsWith(".js")) open.push(...importedBy(content.toString()).map((next) => join(from, next)));
  }
  return sizes;
}

function expectSmall(sizes: Map<string, number>, most: number): void {
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const list = [...sizes].map(([path, size]) => `${path.slice(BUILT.length + 1)}: ${size}`).join("\n");
  expect(total, `bytes after gzip, of at most ${most}:\n${list}`).toBeLessThanOrEqual(most);
}

describe("the first load", () => {
  beforeAll(() => {
    if (existsSync(join(BUILT, "index.html"))) return;
    throw new Error("The page is not built, so its size is not known. Run: npm ci && npm run build (in web/)");
  });

  it("is small", () => {
    const sizes = loaded(BUILT);
    expect(
      [...sizes.keys()].some((path) => path.endsWith(".js")),
      "no script found in index.html",
    ).toBe(true);
    expectSmall(sizes, MOST);
  });

  it("is small with a conversation", () => {
    const chat = readdirSync(join(BUILT, "assets")).filter((name) => /^chat-[^.]+\.(js|css)$/.test(name));
    expect(chat.length, "no module of the chat found").toBeGreaterThan(0);
    const sizes = loaded(
      BUILT,
      chat.map((name) => join("assets", name)),
    );
    expectSmall(sizes, MOST_WITH_CHAT);
  });

  it("is found by what the files say", () => {
    const html = `<script type="module" crossorigin src="./a.js"></script><link rel="modulepreload" href="./b.js">
      <link rel="stylesheet" href="./c.css"><link rel="icon" href="./icon.svg">`;
    expect(namedBy(html)).toEqual(["./a.js", "./b.js", "./c.css"]);
    const code = `import{a as $b,c}from"./d.js";import"./e.js";var x=()=>import("./later.js");export*from'../f.js';`;
    expect(importedBy(code)).toEqual(["./d.js", "./e.js", "../f.js"]);
  });
});
