import type { Message, Usage } from "../api/types";
import { facts } from "./words";

/** How an answer came about. */
export function Details({ id, message, usage }: { id: string; message: Message; usage: Usage | null }) {
  return (
    <dl id={id} className="details">
      {facts(message, usage).map(({ name, value }) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd className="tabular">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
