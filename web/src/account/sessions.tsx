import MonitorSmartphone from "lucide-react/icons/monitor-smartphone";
import { useState } from "react";
import { logout } from "../api/auth";
import { useEndSession, useSessions } from "../api/queries";
import type { Session } from "../api/types";
import { Button, ConfirmDialog, Failure, Skeleton, toast } from "../ui";
import { clientName, dateOf, momentOf, relative } from "./format";

/** What is to be ended: one session, or all but this one. */
type Ending = { title: string; text: string; sessions: Session[] };

export function Sessions() {
  const { data, error, refetch } = useSessions();
  const { mutateAsync: end } = useEndSession();
  const [ending, setEnding] = useState<Ending | null>(null);
  if (error && !data) return <Failure error={error} onRetry={() => void refetch()} />;
  if (!data) return <Skeleton lines={6} label="Loading your sessions" />;
  const others = data.filter((session) => !session.current);
  const endAll = async (sessions: Session[]) => {
    for (const { id } of sessions) await end(id);
    toast(sessions.length === 1 ? "The session is ended." : `${sessions.length} sessions are ended.`, "success");
  };
  return (
    <>
      <ul className="account-rows">
        {data.map((session) => (
          <Row key={session.id} session={session} onEnd={() => setEnding(ofOne(session))} />
        ))}
      </ul>
      {others.length > 1 ? (
        <div>
          <Button onClick={() => setEnding(ofAll(others))}>End all others</Button>
        </div>
      ) : null}
      <ConfirmDialog
        open={ending !== null}
        onClose={() => setEnding(null)}
        title={ending?.title ?? ""}
        confirmLabel="End"
        onConfirm={() => endAll(ending?.sessions ?? [])}
      >
        <p>{ending?.text}</p>
      </ConfirmDialog>
    </>
  );
}

function ofOne(session: Session): Ending {
  const text = `${clientName(session.client)} at ${session.address} is logged out at once.`;
  return { title: "End this session?", text, sessions: [session] };
}

function ofAll(sessions: Session[]): Ending {
  const text = `You are logged out in ${sessions.length} other places at once. Here you stay logged in.`;
  return { title: "End all other sessions?", text, sessions };
}

function Row({ session, onEnd }: { session: Session; onEnd: () => void }) {
  const { client, address, created_at, last_used_at, expires_at, current } = session;
  const leave = () => logout().catch(() => toast("You are still logged in. Try again.", "error"));
  const name = clientName(client);
  return (
    <li className="account-row">
      <span className="account-row-icon" aria-hidden="true">
        <MonitorSmartphone />
      </span>
      <div className="account-row-text">
        <p className="account-row-name">
          {name} {current ? <span className="badge is-accent">This one</span> : null}
        </p>
        <p className="account-row-more">
          {address} · logged in {momentOf(created_at)}
          {last_used_at && !current ? ` · last seen ${relative(last_used_at)}` : null} · until {dateOf(expires_at)}
        </p>
      </div>
      {current ? (
        <Button size="sm" onClick={leave}>
          Log out
        </Button>
      ) : (
        <Button size="sm" onClick={onEnd} aria-label={`End the session of ${name} at ${address}`}>
          End
        </Button>
      )}
    </li>
  );
}
