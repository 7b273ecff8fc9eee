/** What CommonMark says about single lines. */

export interface Fence {
  mark: "`" | "~";
  size: number;
  indent: number;
  info: string;
}

export const isBlank = (line: string): boolean => /^[ \t]*$/.test(line);

/** Columns of white space before the text; a tab goes to the next multiple of four. */
export function indentOf(line: string): number {
  let columns = 0;
  for (const character of line) {
    if (character === " ") columns += 1;
    else if (character === "\t") columns += 4 - (columns % 4);
    else break;
  }
  return columns;
}

export function fenceOf(line: string): Fence | null {
  const found = /^( {0,3})(?:(`{3,})([^`]*)|(~{3,})(.*))$/.exec(line);
  if (!found) return null;
  const run = found[2] ?? found[4] ?? "";
  const info = (found[3] ?? found[5] ?? "").trim();
  return { mark: run.startsWith("`") ? "`" : "~", size: run.length, indent: found[1]?.length ?? 0, info };
}

/** A heading with "#", not indented. */
export const isHeading = (line: string): boolean => /^#{1,6}(?:[ \t]|$)/.test(line);

export const isRule = (line: string): boolean =>
  /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/.test(line);

/** The column at which the content of a list item begins, 0 when the line begins no item. */
export function contentOffset(line: string): number {
  const found = /^( *)([-+*]|\d{1,9}[.)])([ \t]+|$)(.*)$/.exec(line);
  if (!found) return 0;
  const [, before = "", marker = "", gap = "", content = ""] = found;
  const begin = before.length + marker.length;
  const columns = indentOf(" ".repeat(begin) + gap) - begin;
  return content === "" || columns > 4 ? begin + 1 : begin + columns;
}

/** Whether the beginning of a line already tells what kind of line it will be. */
export function decided(partial: string): boolean {
  if (/^[ \t]/.test(partial)) return false;
  return !/^(?:[-+*][-+* \t]*|\d{1,9}[.)]?|#{1,6}|_[_ \t]*)$/.test(partial);
}
