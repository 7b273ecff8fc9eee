import TriangleAlert from "lucide-react/icons/triangle-alert";
import { Component, type ReactNode } from "react";
import { problemOf } from "../api/problem";
import { Button } from "./button";

/** What went wrong and what to do about it, in words. */
export function Failure({ error, onRetry }: { error: unknown; onRetry?: (() => void) | undefined }) {
  const { detail, hint, requestId, isPassing } = problemOf(error);
  return (
    <div className="ui-note is-danger" role="alert">
      <TriangleAlert aria-hidden="true" />
      <div className="ui-note-text">
        <p>{detail}</p>
        {hint ? <p className="ui-note-hint">{hint}</p> : null}
        {/* For who runs the gateway, when it may be at fault. */}
        {requestId && isPassing ? <p className="ui-note-id">Request {requestId}</p> : null}
      </div>
      {onRetry ? (
        <Button size="sm" onClick={onRetry}>
          Try again
        </Button>
      ) : null}
    </div>
  );
}

interface Crash {
  error: unknown;
}

/** Shows a readable failure in place of a part of the page that broke. */
export class ErrorBoundary extends Component<{ children: ReactNode }, Crash> {
  override state: Crash = { error: null };

  static getDerivedStateFromError(error: unknown): Crash {
    return { error };
  }

  override render(): ReactNode {
    if (this.state.error === null) return this.props.children;
    return <Crashed error={this.state.error} />;
  }
}

function Crashed({ error }: { error: unknown }) {
  const text = error instanceof Error ? error.message : String(error);
  // A part of the page that is loaded only when it is needed is gone after an upgrade of the gateway, or out of reach.
  const isMissing = /dynamically imported module|importing a module script failed|unable to preload/i.test(text);
  return (
    <div className="ui-crash" role="alert">
      <h2>{isMissing ? "This part of the page could not be loaded" : "This part of the page has failed"}</h2>
      <p>
        {isMissing
          ? "The connection was lost, or the page has been updated meanwhile. Reload it to go on."
          : "Your conversations are safe on the server. Reloading the page usually helps."}
      </p>
      <Button variant="primary" onClick={() => location.reload()}>
        Reload
      </Button>
      {isMissing ? null : <code className="ui-crash-detail">{text}</code>}
    </div>
  );
}
