import type { Clock } from "./clock";

/** How often a streamed answer is drawn: more is not seen, and every drawing costs more as the answer grows. */
const BETWEEN_MS = 100;

/** Gathers many small changes into few drawings. */
export class Pace {
  private planned = false;
  private last = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly clock: Clock,
    private readonly frame: (draw: () => void) => void,
    private readonly draw: () => void,
  ) {}

  /** Draws soon: with the next frame of the browser, but not sooner than 100 ms after the last time. */
  ask(): void {
    if (this.planned) return;
    this.planned = true;
    const wait = this.last + BETWEEN_MS - this.clock.now();
    if (wait <= 0) this.frame(() => this.now());
    else this.clock.later(wait, () => this.frame(() => this.now()));
  }

  /** Draws at once. */
  now(): void {
    this.planned = false;
    this.last = this.clock.now();
    this.draw();
  }
}

/** A hidden tab gets no frames, but its title and its announcements have to be right. */
export function browserFrame(draw: () => void): void {
  if (document.visibilityState === "hidden") draw();
  else requestAnimationFrame(draw);
}
