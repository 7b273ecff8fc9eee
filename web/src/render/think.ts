/** Models that put their reasoning into the answer, between `<think>` and `</think>`. */

export interface Parts {
  thinking: string;
  answer: string;
  /** The reasoning has not ended yet. */
  open: boolean;
}

const NAMES = ["think", "thinking", "thought", "reasoning"];
const BEGIN = new RegExp(`^\\s*<(${NAMES.join("|")})>\\s*`);
// Some templates begin the reasoning in the question, so that only its end comes: known by a line of its own.
const LATE_END = new RegExp(`^(?:[\\s\\S]*?\\n)??</(?:${NAMES.join("|")})>[ \\t]*(?:\\n|$)`);

/**
 * Separates the reasoning from the answer. Looks at the whole text so far, so it does not matter where chunks begin;
 * while `streaming`, a tag that is not complete yet is held back.
 */
export function separate(content: string, streaming: boolean): Parts {
  const begin = BEGIN.exec(content);
  if (!begin) {
    if (
      streaming &&
      isPartial(
        content.trimStart(),
        NAMES.map((name) => `<${name}>`),
      )
    )
      return { thinking: "", answer: "", open: false };
    const late = content.includes("</") ? LATE_END.exec(content) : null;
    if (!late || /^```/m.test(late[0])) return { thinking: "", answer: content, open: false };
    const thinking = late[0].slice(0, late[0].lastIndexOf("</")).trim();
    return { thinking, answer: content.slice(late[0].length).trimStart(), open: false };
  }
  const end = `</${begin[1]}>`;
  const rest = content.slice(begin[0].length);
  const at = rest.indexOf(end);
  if (at >= 0)
    return { thinking: rest.slice(0, at).trim(), answer: rest.slice(at + end.length).trimStart(), open: false };
  return { thinking: streaming ? withoutPartial(rest, end) : rest.trim(), answer: "", open: streaming };
}

const isPartial = (text: string, tags: string[]): boolean =>
  text !== "" && tags.some((tag) => tag !== text && tag.startsWith(text));

function withoutPartial(text: string, tag: string): string {
  const at = text.lastIndexOf("<");
  return at >= 0 && tag.startsWith(text.slice(at)) ? text.slice(0, at) : text;
}
