import { type FormEvent, useState } from "react";
import { type Problem, problemOf } from "../api/http";
import { useCountdown } from "./countdown";

export interface Work {
  busy: boolean;
  error: Problem | null;
  /** Seconds until it may be tried again. */
  wait: number;
  /** For the form's `onSubmit`. */
  submit: (event: FormEvent) => void;
  setError: (error: Problem | null) => void;
}

/** A form at work: what it does when it is sent, one at a time, and what came of it. What was typed stays. */
export function useWork(work: () => Promise<void>): Work {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Problem | null>(null);
  const wait = useCountdown(error);
  const run = async () => {
    setBusy(true);
    setError(null);
    try {
      await work();
    } catch (failure) {
      setError(problemOf(failure));
    } finally {
      setBusy(false);
    }
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!busy && wait === 0) void run();
  };
  return { busy, error, wait, submit, setError };
}

/** What is wrong with this field, when the daemon has named it. */
export function faultOf(error: Problem | null, param: string): string | null {
  return error?.param === param ? error.text : null;
}
