import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { beforeAll, describe, expect, it } from "vitest";

const BUILT = resolve(import.meta.dirname, "../../llmgate/daemon/static");
/** Bytes after gzip. What index.html asks for itself: enough to log in. */
const MOST_AT_ONCE = 120_000;
/** All that has to be there until somebody who is logged in can use a new chat. */
const MOST_FOR_NEW_CHAT = 150_000;
/** And with what comes later, when there is time or something to draw: Markdown, colours of code, formulas (without
 * their fonts). */
const MOST_WITH_EVERYTHING = 310_000;

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

/** The modules that a module loads later: name (without its hash) → what has to be there before it begins. */
function laterIn(code: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const list = /__vite__mapDeps=.*?\(m\.f=(\[[^\]]*\])\)/.exec(code)?.[1] ?? "[]";
  const paths = JSON.parse(list) as string[];
  const statement =
    /import\([`"'](\.\/([^`"'/]+)-[\w-]{8}\.js)[`"']\)(?:(?!import\().)*?__vite__mapDeps\(\[([\d,]*)\]\)/gs;
  for (const [, path = "", name = "", numbers = ""] of code.matchAll(statement)) {
    found.set(name, [path, ...numbers.split(",").flatMap((number) => paths[Number(number)] ?? [])]);
  }
  return found;
}

/** Path → size after gzip, of all that is loaded at once with the page, and with these modules of it. */
function loaded(directory: string, ...modules: string[]): Map<string, number> {
  const index = join(directory, "index.html");
  const html = readFileSync(index, "utf8");
  const sizes = new Map([[index, gzipSync(html, { level: 9 }).length]]);
  const wanted = new Set(modules);
  const open = namedBy(html).map((path) => join(directory, path));
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (sizes.has(path)) continue;
    const from = dirname(path);
    const content = readFileSync(path);
    sizes.set(path, gzipSync(content, { level: 9 }).length);
    if (!path.endsWith(".js")) continue;
    const code = content.toString();
    const next = importedBy(code);
    for (const [name, paths] of laterIn(code)) if (modules.includes(name) && wanted.delete(name)) next.push(...paths);
    open.push(...next.map((one) => join(from, one)));
  }
  expect([...wanted], "modules that nothing loads").toEqual([]);
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
    expectSmall(sizes, MOST_AT_ONCE);
  });

  it("is small until a new chat can be used", () => {
    const sizes = loaded(BUILT, "chat");
    expect(
      [...sizes.keys()].some((path) => /chat-[\w-]+\.css$/.test(path)),
      "no style sheet of the chat",
    ).toBe(true);
    expectSmall(sizes, MOST_FOR_NEW_CHAT);
  });

  it("is not large with everything that an answer may need", () => {
    expectSmall(loaded(BUILT, "chat", "blocks", "code-engine", "math-engine"), MOST_WITH_EVERYTHING);
  });

  it("is found by what the files say", () => {
    const html = `<script type="module" crossorigin src="./a.js"></script><link rel="modulepreload" href="./b.js">
      <link rel="stylesheet" href="./c.css"><link rel="icon" href="./icon.svg">`;
    expect(namedBy(html)).toEqual(["./a.js", "./b.js", "./c.css"]);
    const code = `import{a as $b,c}from"./d.js";import"./e.js";var x=()=>import("./later.js");export*from'../f.js';`;
    expect(importedBy(code)).toEqual(["./d.js", "./e.js", "../f.js"]);
    const later = `const __vite__mapDeps=(i,m=__vite__mapDeps,d=(m.f||(m.f=["./g-01234567.js","./h.css"])))=>i.map(i=>d[i]);
      a(()=>import(\`./i-abc-_def.js\`));b(()=>import("./g-01234567.js").then(c),__vite__mapDeps([0,1]),import.meta.url)`;
    expect([...laterIn(later)]).toEqual([["g", ["./g-01234567.js", "./g-01234567.js", "./h.css"]]]);
  });
});
