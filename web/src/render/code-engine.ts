/** highlight.js with the languages that matter most: loaded when the first code is complete. */
import type { Element, Root } from "hast";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import csharp from "highlight.js/lib/languages/csharp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import dockerfile from "highlight.js/lib/languages/dockerfile";
import go from "highlight.js/lib/languages/go";
import ini from "highlight.js/lib/languages/ini";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import kotlin from "highlight.js/lib/languages/kotlin";
import lua from "highlight.js/lib/languages/lua";
import makefile from "highlight.js/lib/languages/makefile";
import nginx from "highlight.js/lib/languages/nginx";
import php from "highlight.js/lib/languages/php";
import powershell from "highlight.js/lib/languages/powershell";
import python from "highlight.js/lib/languages/python";
import r from "highlight.js/lib/languages/r";
import ruby from "highlight.js/lib/languages/ruby";
import rust from "highlight.js/lib/languages/rust";
import scss from "highlight.js/lib/languages/scss";
import sql from "highlight.js/lib/languages/sql";
import swift from "highlight.js/lib/languages/swift";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { createLowlight } from "lowlight";
import type { ReactElement } from "react";
import { elementsOf } from "./elements";

const lowlight = createLowlight({
  ...{ bash, c, cpp, csharp, css, diff, dockerfile, go, ini, java, javascript, json, kotlin, lua, makefile },
  ...{ nginx, php, powershell, python, r, ruby, rust, scss, sql, swift, typescript, xml, yaml },
});

/** A longer line was not written by hand, and some grammars take very long for such. */
const MAX_LINE = 2_000;
/** Elements; as many take long to draw. */
const MAX_PIECES = 8_000;

/** The code as elements in colours; null when its language is not known or colours would take too much. */
export function highlight(code: string, language: string): ReactElement | null {
  if (code.split("\n").some((line) => line.length > MAX_LINE)) return null;
  try {
    const tree = lowlight.highlight(language, code);
    return piecesIn(tree) > MAX_PIECES ? null : elementsOf(tree);
  } catch {
    return null;
  }
}

function piecesIn(tree: Root): number {
  const open: (Root | Element)[] = [tree];
  let pieces = 0;
  for (let next = open.pop(); next; next = open.pop()) {
    pieces += next.children.length;
    for (const child of next.children) if (child.type === "element") open.push(child);
  }
  return pieces;
}

/** The names of all grammars, for tests. */
export const grammars = (): string[] => lowlight.listLanguages();
