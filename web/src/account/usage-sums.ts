import type { UsageRow } from "../api/types";

const NONE = { requests: 0, input_tokens: 0, output_tokens: 0 };

/** All rows together. */
export function totalOf(rows: readonly UsageRow[]): Omit<UsageRow, "name"> {
  return rows.reduce(
    (sum, row) => ({
      requests: sum.requests + row.requests,
      input_tokens: sum.input_tokens + row.input_tokens,
      output_tokens: sum.output_tokens + row.output_tokens,
    }),
    NONE,
  );
}

/** A row for each of these days. A clock that is not the daemon's may lack its last one: what is there is kept. */
export function byDay(rows: readonly UsageRow[], days: readonly string[]): UsageRow[] {
  const known = new Map(rows.map((row) => [row.name, row]));
  const names = [...new Set([...days, ...known.keys()])].sort();
  return names.map((name) => known.get(name) ?? { name, ...NONE });
}

/** The end of an axis for values up to this: 1, 2, 2.5 or 5 times a power of ten. */
export function axisEnd(most: number): number {
  if (most <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= most) ?? 10;
  return step * power;
}
