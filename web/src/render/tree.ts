/** Changes to the trees between Markdown and React. None of them trusts what the text says. */
import type { Element, ElementContent, Nodes as HastNodes, Root as HastRoot, Text } from "hast";
import type { Root as MdastRoot, PhrasingContent } from "mdast";
import { MAX_DEPTH } from "./budget";
import { revealAll, revealHidden } from "./reveal";
import { allowedUrl } from "./urls";

interface Parent {
  type: string;
  children?: unknown[];
  position?: { start: { offset?: number | undefined }; end: { offset?: number | undefined } } | undefined;
}

/** Before HTML: raw HTML becomes text, the ends of lines become breaks, and what lies too deep becomes its source. */
export function makePlain(tree: MdastRoot, source: string): void {
  const open: [Parent, number][] = [[tree, 0]];
  for (let next = open.pop(); next; next = open.pop()) {
    const [node, depth] = next;
    if (!node.children) continue;
    if (depth >= MAX_DEPTH) node.children = [{ type: "text", value: sourceOf(node, source) }];
    node.children = (node.children as PhrasingContent[]).flatMap(plainOf);
    for (const child of node.children as Parent[]) open.push([child, depth + 1]);
  }
}

const sourceOf = (node: Parent, text: string): string =>
  text.slice(node.position?.start.offset ?? 0, node.position?.end.offset ?? 0);

function plainOf(node: PhrasingContent): PhrasingContent[] {
  if (node.type === "html") {
    // The one tag that models need in tables, and that cannot mean anything else.
    return /^<br\s*\/?>$/i.test(node.value) ? [{ type: "break" }] : lines(node.value);
  }
  return node.type === "text" && node.value.includes("\n") ? lines(node.value) : [node];
}

/** Models end lines where they want them to end. */
function lines(text: string): PhrasingContent[] {
  return text.split(/[ \t]*\n/).flatMap((line, at): PhrasingContent[] => {
    const value: PhrasingContent = { type: "text", value: line };
    return at === 0 ? [value] : [{ type: "break" }, value];
  });
}

/** Blocks that find their direction (left to right, or the other way) by themselves. */
const BLOCKS = new Set(["p", "li", "blockquote", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6"]);
const HEADING = /^h([1-6])$/;

/**
 * Behind the sanitizer: directions, headings below those of the page, addresses that may be followed, and characters
 * that cannot be seen.
 */
export function finish(tree: HastRoot): void {
  const open: [HastNodes, boolean][] = [[tree, false]];
  for (let next = open.pop(); next; next = open.pop()) {
    const [node, exact] = next;
    if (node.type === "text") node.value = exact ? revealAll(node.value) : revealHidden(node.value);
    if (node.type !== "element" && node.type !== "root") continue;
    if (node.type === "element") finishOne(node);
    const inside = exact || (node.type === "element" && (node.tagName === "a" || node.tagName === "pre"));
    // Code and math show their characters themselves, since they need the text as it is.
    const skip = node.type === "element" && (node.tagName === "code" || node.tagName === "pre");
    if (!skip) for (const child of node.children) open.push([child, inside]);
  }
}

function finishOne(node: Element): void {
  const { properties } = node;
  // Those of footnotes lead nowhere: what is made of them is no link.
  const isFootnote = properties.dataFootnoteRef !== undefined || properties.dataFootnoteBackref !== undefined;
  for (const name of isFootnote ? [] : ["href", "src"]) {
    if (Object.hasOwn(properties, name)) properties[name] = allowedUrl(String(properties[name] ?? ""));
  }
  if (BLOCKS.has(node.tagName)) node.properties.dir = "auto";
  const level = Number(HEADING.exec(node.tagName)?.[1] ?? 0);
  if (level === 0) return;
  // The page has its own h1, and a hidden h2 for every message.
  node.tagName = `h${Math.min(6, level + 2)}`;
  node.properties.className = [`heading-${level}`];
}

/** The text in an element, with the descriptions of its pictures. */
export function textOf(node: Element | ElementContent | undefined): string {
  const open: (Element | ElementContent)[] = node ? [node] : [];
  let text = "";
  for (let next = open.pop(); next; next = open.pop()) {
    if (next.type === "text") text += (next as Text).value;
    else if (next.type === "element" && next.tagName === "img") text += String(next.properties.alt ?? "");
    else if (next.type === "element") open.push(...next.children.toReversed());
  }
  return text;
}

export function classesOf(node: Element): string[] {
  const names = node.properties.className;
  return Array.isArray(names) ? names.map(String) : [];
}
