/** For tests: what is in an answer that may not be there, whatever the model has written. */

const TAGS = new Set(
  `div section p span a bdi button pre code ul ol li blockquote table thead tbody tr th td h3 h4 h5 h6 em
  strong del br hr input sup`.split(/\s+/),
);
/** What KaTeX makes besides. */
const MATH_TAGS = new Set(
  `svg path line math semantics annotation mrow mi mo mn mtext mspace ms msup msub msubsup mfrac msqrt mroot mtable mtr mtd
  mlabeledtr mover munder munderover mpadded mphantom mstyle menclose mglyph merror`.split(/\s+/),
);

const ATTRIBUTES: Record<string, RegExp> = {
  class: /^(?:[\w-]+ ?)*$/,
  dir: /^(?:auto|ltr)$/,
  id: /^(?:[\w-]+-(?:fn|fnref)-\S*|_r_\w+_|«r\w+»)$/,
  hidden: /^$/,
  tabindex: /^(?:0|-1)$/,
  "aria-label": /^[^<>]{0,80}$/,
  "aria-hidden": /^true$/,
  "aria-expanded": /^(?:true|false)$/,
  "aria-controls": /^\S+$/,
  "aria-pressed": /^(?:true|false)$/,
  "aria-busy": /^true$/,
};

const OWN: Record<string, Record<string, RegExp>> = {
  a: {
    href: /^(?:https?:\/\/[^\s/]|mailto:)/,
    target: /^_blank$/,
    rel: /^noopener noreferrer nofollow$/,
    title: /^(?:https?:\/\/|mailto:)/,
  },
  button: { type: /^button$/, "data-tip": /^[\w ]+$/ },
  code: { title: /^This formula cannot be shown: / },
  input: { type: /^checkbox$/, disabled: /^$/, checked: /^$/, readonly: /^$/ },
  ol: { start: /^\d{1,10}$/ },
  section: { "data-footnotes": /^true$/ },
  th: { scope: /^col$/ },
};

/** Names of classes: ours, of the icons, and of the colours of code. */
const CLASSES = new RegExp(
  `^(?:answer|answer-text|is-[\\w]+|plain-text|thinking|thinking-[a-z]+|code-[a-z]+|table-box|align-[a-z]+|heading-\\d|
  |link-host|footnote-link|footnotes|footnotes-label|sr-only|task-list-item|contains-task-list|math|math-block|math-source|katex-display|
  |hljs-[\\w-]+|language-[\\w-]+|[a-z]+_|[a-z]{1,12}|lucide|lucide-[a-z-]+|ui-button|ui-icon-button)$`.replace(
    /\s+/g,
    "",
  ),
);

type Kind = "text" | "icon" | "math" | "mathml";

/** Every element and attribute below `root` that no honest answer needs. */
export function faultsOf(root: Element): string[] {
  const open: [Element, Kind][] = Array.from(root.children, (child) => [child, "text"]);
  const faults: string[] = [];
  for (let next = open.pop(); next; next = open.pop()) {
    const [element, outer] = next;
    const kind = kindOf(element, outer);
    if (kind === "text") faults.push(...textFaults(element));
    else if (kind !== "icon") faults.push(...mathFaults(element, kind === "mathml"));
    for (const child of element.children) open.push([child, kind]);
  }
  return faults;
}

function kindOf(element: Element, outer: Kind): Kind {
  if (outer === "text") {
    if (element.classList.contains("katex")) return "math";
    return element.classList.contains("lucide") && element.parentElement?.localName === "button" ? "icon" : "text";
  }
  return outer === "math" && element.localName === "math" ? "mathml" : outer;
}

function textFaults(element: Element): string[] {
  const tag = element.localName;
  const faults = TAGS.has(tag) ? [] : [`<${tag}>`];
  for (const { name, value } of element.attributes) {
    const allowed = OWN[tag]?.[name] ?? ATTRIBUTES[name];
    if (!allowed?.test(value)) faults.push(`<${tag} ${name}="${value.slice(0, 100)}">`);
  }
  for (const name of element.classList) if (!CLASSES.test(name)) faults.push(`class ${name}`);
  return faults;
}

const MATH_ATTRIBUTE = /^(?:class|aria-hidden|viewBox|preserveAspectRatio|width|height|d|[xy][12]|stroke-width|style)$/;
const MATHML_ATTRIBUTE =
  /^(?:xmlns|display|encoding|mathvariant|math(?:color|background|size)|[a-z]*(?:space|size|align|lines|spacing)|width|height|depth|voffset|stretchy|fence|separator|accent|accentunder|movablelimits|linethickness|displaystyle|scriptlevel|notation|columnalign|side|form|symmetric|linebreak|lquote|rquote|minlabelspacing|style)$/;

function mathFaults(element: Element, isMathml: boolean): string[] {
  const tag = element.localName;
  const faults = TAGS.has(tag) || MATH_TAGS.has(tag) ? [] : [`<${tag}> in math`];
  for (const { name, value } of element.attributes) {
    if (
      !(isMathml ? MATHML_ATTRIBUTE : MATH_ATTRIBUTE).test(name) ||
      /url|javascript|expression|@import|:\/\//i.test(value)
    ) {
      if (name !== "xmlns") faults.push(`<${tag} ${name}="${value.slice(0, 100)}"> in math`);
    }
    // In MathML a style would come as an attribute, which the page's policy forbids.
    if (isMathml && name === "style") faults.push(`a style attribute: ${value}`);
  }
  return faults;
}
