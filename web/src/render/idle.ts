/** Work that may wait until the browser has nothing better to do: highlighting and typesetting. */

type Task = () => void;

/** Milliseconds at a time, when the browser does not say how long it is idle. */
const SLICE = 8;
/** Even a busy browser gets to it in the end. */
const LATEST = 1_000;

interface Deadline {
  timeRemaining(): number;
}

/** A queue of tasks, done in order, a few at a time. */
export class Idle {
  private readonly tasks = new Set<Task>();
  private planned = false;

  /** Does `task` some time later. Returns what calls it off. */
  add(task: Task): () => void {
    this.tasks.add(task);
    this.plan();
    return () => this.tasks.delete(task);
  }

  private plan(): void {
    if (this.planned || this.tasks.size === 0) return;
    this.planned = true;
    if (typeof requestIdleCallback === "function")
      requestIdleCallback((deadline) => this.work(deadline), { timeout: LATEST });
    else setTimeout(() => this.work(sliceOf(SLICE)), 1);
  }

  private work(deadline: Deadline): void {
    this.planned = false;
    for (const task of this.tasks) {
      this.tasks.delete(task);
      task();
      if (deadline.timeRemaining() <= 0) break;
    }
    this.plan();
  }
}

function sliceOf(length: number): Deadline {
  const end = performance.now() + length;
  return { timeRemaining: () => end - performance.now() };
}

export const idle = new Idle();
