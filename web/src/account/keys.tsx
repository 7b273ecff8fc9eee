import KeyRound from "lucide-react/icons/key-round";
import Plus from "lucide-react/icons/plus";
import { useState } from "react";
import { useApiKeys, useRevokeKey } from "../api/queries";
import type { ApiKey, NewApiKey } from "../api/types";
import { Button, ConfirmDialog, classes, Empty, Failure, Skeleton, toast } from "../ui";
import { dateOf, relative } from "./format";
import { CreateKey } from "./key-create";
import { KeySecret } from "./key-secret";

export function Keys() {
  const { data, error, refetch } = useApiKeys();
  const [creating, setCreating] = useState(false);
  const [made, setMade] = useState<NewApiKey | null>(null);
  if (error && !data) return <Failure error={error} onRetry={() => void refetch()} />;
  if (!data) return <Skeleton lines={6} label="Loading your keys" />;
  const create = (
    <Button variant="primary" icon={<Plus />} onClick={() => setCreating(true)}>
      Create a key
    </Button>
  );
  const shown = (key: NewApiKey) => {
    setCreating(false);
    setMade(key);
  };
  return (
    <>
      {data.length === 0 ? (
        <Empty icon={<KeyRound />} title="No keys yet" action={create}>
          With a key, programs like editors, scripts or notebooks can ask the models here.
        </Empty>
      ) : (
        <>
          <div>{create}</div>
          <KeyList keys={data} />
        </>
      )}
      <CreateKey open={creating} onClose={() => setCreating(false)} onMade={shown} />
      <KeySecret made={made} onClose={() => setMade(null)} />
    </>
  );
}

function KeyList({ keys }: { keys: ApiKey[] }) {
  const { mutateAsync: revoke } = useRevokeKey();
  const [revoking, setRevoking] = useState<ApiKey | null>(null);
  const usable = keys.filter((key) => key.state !== "revoked" && key.state !== "expired").reverse();
  const over = keys.filter((key) => key.state === "revoked" || key.state === "expired").reverse();
  const confirm = async (key: ApiKey) => {
    await revoke(key.id);
    toast(`The key ${key.name} is revoked.`, "success");
  };
  return (
    <>
      {usable.length > 0 ? (
        <ul className="account-rows">
          {usable.map((key) => (
            <Row key={key.id} apiKey={key} onRevoke={() => setRevoking(key)} />
          ))}
        </ul>
      ) : (
        <p className="account-none">None of your keys can be used any more.</p>
      )}
      {over.length > 0 ? (
        <details className="account-over">
          <summary>Revoked and expired ({over.length})</summary>
          <ul className="account-rows">
            {over.map((key) => (
              <Row key={key.id} apiKey={key} />
            ))}
          </ul>
        </details>
      ) : null}
      <ConfirmDialog
        open={revoking !== null}
        onClose={() => setRevoking(null)}
        title="Revoke this key?"
        confirmLabel="Revoke"
        onConfirm={() => (revoking ? confirm(revoking) : undefined)}
      >
        <p>
          Whatever uses <strong>{revoking?.name}</strong> is refused at once. This cannot be taken back.
        </p>
      </ConfirmDialog>
    </>
  );
}

const STATES: Record<ApiKey["state"], { text: string; tone: string }> = {
  active: { text: "Active", tone: "is-success" },
  disabled: { text: "Disabled by an administrator", tone: "is-warning" },
  owner_disabled: { text: "Disabled", tone: "is-warning" },
  expired: { text: "Expired", tone: "" },
  revoked: { text: "Revoked", tone: "" },
};

function Row({ apiKey, onRevoke }: { apiKey: ApiKey; onRevoke?: () => void }) {
  const { name, last4, state, level, models, expires_at, created_at, last_used_at } = apiKey;
  const facts = [
    `created ${dateOf(created_at)}`,
    last_used_at ? `used ${relative(last_used_at)}` : "never used",
    expires_at ? `${state === "expired" ? "expired" : "until"} ${dateOf(expires_at)}` : "does not expire",
    level === null ? null : `priority ${level}`,
    models === null ? null : models.join(", "),
  ];
  return (
    <li className="account-row">
      <span className="account-row-icon" aria-hidden="true">
        <KeyRound />
      </span>
      <div className="account-row-text">
        <p className="account-row-name">
          {name} <code className="account-last4">…{last4}</code>
          <span className={classes("badge", STATES[state].tone)}>{STATES[state].text}</span>
        </p>
        <p className="account-row-more">{facts.filter(Boolean).join(" · ")}</p>
      </div>
      {onRevoke ? (
        <Button size="sm" onClick={onRevoke} aria-label={`Revoke ${name}`}>
          Revoke
        </Button>
      ) : null}
    </li>
  );
}
