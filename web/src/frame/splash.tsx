import { Failure, Spinner } from "../ui";
import "./splash.css";

/** While it is not known yet who asks; and when that cannot be told. */
export function Splash({ error = null, onRetry }: { error?: unknown; onRetry?: () => void }) {
  return (
    <main className="splash">
      {error ? <Failure error={error} onRetry={onRetry} /> : <Spinner large label="Loading" />}
    </main>
  );
}
