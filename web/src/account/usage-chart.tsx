import type { UsageRow } from "../api/types";
import { short, utcDay, whole } from "./format";
import { axisEnd, totalOf } from "./usage-sums";

// In the units of the drawing, which is stretched to the width of the page.
const HEIGHT = 160;
const BAR = 10;
const GAP = 4;

/** Tokens by day, those read below those written. The table below it says the same in numbers. */
export function UsageChart({ rows }: { rows: UsageRow[] }) {
  const most = Math.max(...rows.map(tokens), 0);
  const end = axisEnd(most);
  const width = rows.length * (BAR + GAP) - GAP;
  const total = totalOf(rows);
  const first = rows[0];
  const last = rows[rows.length - 1];
  if (!first || !last) return null;
  const summary =
    `Tokens by day from ${utcDay(first.name)} to ${utcDay(last.name)}: ` +
    `${whole(total.input_tokens)} read and ${whole(total.output_tokens)} written in all, at most ${whole(most)} a day.`;
  return (
    <figure className="chart">
      <figcaption className="chart-legend">
        <span>Tokens by day (UTC)</span>
        <span className="chart-key is-input">Read</span>
        <span className="chart-key is-output">Written</span>
      </figcaption>
      <div className="chart-body">
        <div className="chart-axis" aria-hidden="true">
          <span>{short(end)}</span>
          <span>{short(end / 2)}</span>
          <span>0</span>
        </div>
        <svg viewBox={`0 0 ${width} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={summary}>
          <path className="chart-grid" d={`M0 0H${width}M0 ${HEIGHT / 2}H${width}M0 ${HEIGHT}H${width}`} />
          {rows.map((row, index) => (
            <Bar key={row.name} row={row} x={index * (BAR + GAP)} scale={HEIGHT / end} />
          ))}
        </svg>
      </div>
      <div className="chart-days" aria-hidden="true">
        <span>{utcDay(first.name)}</span>
        <span>{utcDay(last.name)}</span>
      </div>
    </figure>
  );
}

function Bar({ row, x, scale }: { row: UsageRow; x: number; scale: number }) {
  const input = row.input_tokens * scale;
  const output = row.output_tokens * scale;
  const text = `${utcDay(row.name)}: ${whole(row.input_tokens)} read, ${whole(row.output_tokens)} written`;
  return (
    <g data-tip={text}>
      <rect className="chart-day" x={x - GAP / 2} y={0} width={BAR + GAP} height={HEIGHT} />
      <rect className="chart-input" x={x} y={HEIGHT - input} width={BAR} height={input} />
      <rect className="chart-output" x={x} y={HEIGHT - input - output} width={BAR} height={output} />
    </g>
  );
}

function tokens(row: UsageRow): number {
  return row.input_tokens + row.output_tokens;
}
