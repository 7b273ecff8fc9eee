import { Button } from "../ui";

/** Sends the form; says how many seconds that has to wait for. */
export function Submit({ busy, wait, label }: { busy: boolean; wait: number; label: string }) {
  return (
    <Button type="submit" variant="primary" busy={busy} disabled={wait > 0}>
      {wait > 0 ? `Try again in ${wait} s` : label}
    </Button>
  );
}
