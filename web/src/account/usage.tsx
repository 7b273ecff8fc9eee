import ChartNoAxesColumn from "lucide-react/icons/chart-no-axes-column";
import { useState } from "react";
import { useUsage } from "../api/queries";
import type { UsageRow } from "../api/types";
import { Empty, Failure, Skeleton } from "../ui";
import { lastDays, utcDay, whole } from "./format";
import { UsageChart } from "./usage-chart";
import { byDay, totalOf } from "./usage-sums";
import "./usage.css";

const RANGES = [7, 30, 90] as const;

export function Usage() {
  const [days, setDays] = useState<number>(30);
  const { data, error, refetch, isPlaceholderData } = useUsage("day", days);
  return (
    <>
      <fieldset className="segments">
        <legend className="sr-only">Range</legend>
        {RANGES.map((range) => (
          <label key={range}>
            <input type="radio" name="range" checked={range === days} onChange={() => setDays(range)} />
            <span>{range} days</span>
          </label>
        ))}
      </fieldset>
      {error && !data ? <Failure error={error} onRetry={() => void refetch()} /> : null}
      {!data && !error ? <Skeleton lines={8} label="Loading your usage" /> : null}
      {data ? (
        <div className="usage" aria-busy={isPlaceholderData}>
          {data.length === 0 ? <Nothing days={days} /> : <Sums rows={data} days={days} />}
        </div>
      ) : null}
    </>
  );
}

function Nothing({ days }: { days: number }) {
  return (
    <Empty icon={<ChartNoAxesColumn />} title={`Nothing in the last ${days} days`}>
      What you ask for here or with your keys is counted from the next answer on.
    </Empty>
  );
}

function Sums({ rows, days }: { rows: UsageRow[]; days: number }) {
  const total = totalOf(rows);
  const shown = byDay(rows, lastDays(days));
  return (
    <>
      <dl className="usage-sums">
        <Sum name="Requests" value={total.requests} />
        <Sum name="Tokens read" value={total.input_tokens} />
        <Sum name="Tokens written" value={total.output_tokens} />
      </dl>
      <UsageChart rows={shown} />
      <details className="account-over">
        <summary>Day by day</summary>
        <Table head="Day" rows={shown.filter((row) => row.requests > 0).reverse()} name={(row) => utcDay(row.name)} />
      </details>
      <Group title="By model" head="Model" by="model" days={days} />
      <Group title="By key" head="Key" by="key" days={days} />
    </>
  );
}

function Sum({ name, value }: { name: string; value: number }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{whole(value)}</dd>
    </div>
  );
}

interface GroupProps {
  title: string;
  head: string;
  by: "model" | "key";
  days: number;
}

function Group({ title, head, by, days }: GroupProps) {
  const { data, error, refetch } = useUsage(by, days);
  // What is no key was asked for on this page, or after another login.
  const name = (row: UsageRow) => (by === "key" && row.name === "sessions" ? "Logged in, without a key" : row.name);
  return (
    <section className="usage-group">
      <h2>{title}</h2>
      {error && !data ? <Failure error={error} onRetry={() => void refetch()} /> : null}
      {!data && !error ? <Skeleton lines={3} /> : null}
      {data ? <Table head={head} rows={data} name={name} /> : null}
    </section>
  );
}

interface TableProps {
  head: string;
  rows: UsageRow[];
  name: (row: UsageRow) => string;
}

function Table({ head, rows, name }: TableProps) {
  return (
    <table className="usage-table">
      <thead>
        <tr>
          <th scope="col">{head}</th>
          <th scope="col">Requests</th>
          <th scope="col">
            <abbr title="Tokens read">Read</abbr>
          </th>
          <th scope="col">
            <abbr title="Tokens written">Written</abbr>
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.name}>
            <th scope="row">{name(row)}</th>
            <td>{whole(row.requests)}</td>
            <td>{whole(row.input_tokens)}</td>
            <td>{whole(row.output_tokens)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
