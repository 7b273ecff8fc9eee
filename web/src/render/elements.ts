/** Trees of HTML as elements of React: only with the attributes that are named here, whatever else a tree has. */
import type { Element, Nodes, Root } from "hast";
import type { ElementType, ReactElement, ReactNode } from "react";
import { Fragment, jsx, jsxs } from "react/jsx-runtime";

/** What is drawn instead of an element: it gets the attributes, the children, and the element as `node`. */
// biome-ignore lint/suspicious/noExplicitAny: each has props of its own
export type Components = Readonly<Record<string, (props: any) => ReactNode>>;

const ATTRIBUTES: Readonly<Record<string, string>> = {
  align: "align",
  alt: "alt",
  checked: "checked",
  className: "className",
  dataFootnotes: "data-footnotes",
  dir: "dir",
  href: "href",
  id: "id",
  src: "src",
  start: "start",
};
/** In them React suffers no white space. */
const TABLE = new Set(["table", "thead", "tbody", "tr"]);

export function elementsOf(tree: Root, components: Components = {}): ReactElement {
  return made(Fragment, {}, childrenOf(tree, components));
}

function made(type: ElementType, props: object, children: ReactNode[]): ReactElement {
  // The children of one drawing stand in the place of those before them: no keys are needed.
  return children.length > 1 ? jsxs(type, { ...props, children }) : jsx(type, { ...props, children: children[0] });
}

function childrenOf(node: Root | Element, components: Components): ReactNode[] {
  const isTable = node.type === "element" && TABLE.has(node.tagName);
  return node.children.flatMap((child: Nodes): ReactNode[] => {
    if (child.type === "text") return isTable && child.value.trim() === "" ? [] : [child.value];
    return child.type === "element" ? [elementOf(child, components)] : [];
  });
}

function elementOf(node: Element, components: Components): ReactElement {
  const component = Object.hasOwn(components, node.tagName) ? components[node.tagName] : undefined;
  const props = component ? { ...attributesOf(node), node } : attributesOf(node);
  return made(component ?? (node.tagName as "div"), props, childrenOf(node, components));
}

function attributesOf(node: Element): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(node.properties)) {
    const attribute = Object.hasOwn(ATTRIBUTES, name) ? ATTRIBUTES[name] : undefined;
    if (attribute === undefined || value === null || value === undefined) continue;
    found[attribute] = Array.isArray(value) ? value.join(" ") : value;
  }
  return found;
}
