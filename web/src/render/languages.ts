/** Names of languages as models write them. Grammars are named as in highlight.js. */

import { revealAll } from "./reveal";

export interface Language {
  /** As shown. */
  label: string;
  /** null: it is not coloured. */
  grammar: string | null;
}

// Grammar, label, other names; "-": it has a name, but is not coloured. (The grammar of Markdown takes time that
// grows with the cube of some texts.)
const TABLE = `
bash Shell sh shell zsh console shellsession ksh
c C h
cpp C++ c++ cc cxx hpp h++
csharp C# c# cs
css CSS
diff Diff patch
dockerfile Dockerfile docker containerfile
go Go golang
ini INI/TOML toml conf cfg properties
java Java
javascript JavaScript js jsx mjs cjs node
json JSON json5 jsonc jsonl
kotlin Kotlin kt kts
lua Lua
makefile Makefile make mk
-markdown Markdown md mdx
nginx nginx nginxconf
php PHP
powershell PowerShell ps1 ps pwsh
python Python py python3 py3 pyi
r R
ruby Ruby rb
rust Rust rs
scss SCSS sass
sql SQL mysql postgres postgresql sqlite plsql
swift Swift
typescript TypeScript ts tsx mts cts
xml HTML/XML html xhtml svg vue svelte
yaml YAML yml
`;

const LANGUAGES = new Map(
  TABLE.trim()
    .split("\n")
    .flatMap((line) => {
      const [first = "", label = "", ...others] = line.split(" ");
      const grammar = first.startsWith("-") ? null : first;
      return [first.replace("-", ""), ...others].map((name) => [name, { label, grammar }] as const);
    }),
);

const PLAIN = new Set(["", "text", "txt", "plain", "plaintext", "none", "output"]);

/** The language that the words behind a fence name. */
export function languageOf(info: string): Language {
  const word = /^[^\s,:{]*/.exec(info)?.[0] ?? "";
  const name = word.toLowerCase();
  if (PLAIN.has(name)) return { label: "Text", grammar: null };
  return LANGUAGES.get(name) ?? { label: revealAll(word).slice(0, 30), grammar: null };
}
