/** Work that may wait until the browser has nothing better to do: drawing, highlighting and typesetting. */

type Task = () => void;

/** Milliseconds at a time, when the browser does not say how long it is idle. */
const SLICE = 8;
/** Even a busy browser gets to it in the end. */
const LATEST = 1_000;

interface Deadline {
  timeRemaining(): number;
}

/** A queue of tasks, done a few at a time: in order, or the latest first. */
export class Idle {
  private tasks: Task[] = [];
  private planned = false;

  constructor(private readonly first: "oldest" | "latest" = "oldest") {}

  /** Does `task` some time later. Returns what calls it off. */
  add(task: Task): () => void {
    this.tasks.push(task);
    this.plan();
    return () => {
      this.tasks = this.tasks.filter((one) => one !== task);
    };
  }

  private plan(): void {
    if (this.planned || this.tasks.length === 0) return;
    this.planned = true;
    if (typeof requestIdleCallback === "function")
      requestIdleCallback((deadline) => this.work(deadline), { timeout: LATEST });
    else setTimeout(() => this.work(sliceOf(SLICE)), 1);
  }

  private work(deadline: Deadline): void {
    this.planned = false;
    for (let task = this.next(); task; task = this.next()) {
      task();
      if (deadline.timeRemaining() <= 0) break;
    }
    this.plan();
  }

  private next(): Task | undefined {
    return this.first === "oldest" ? this.tasks.shift() : this.tasks.pop();
  }
}

function sliceOf(length: number): Deadline {
  const end = performance.now() + length;
  return { timeRemaining: () => end - performance.now() };
}

export const idle = new Idle();
