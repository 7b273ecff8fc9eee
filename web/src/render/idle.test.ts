import { afterEach, describe, expect, test, vi } from "vitest";
import { Idle } from "./idle";

describe("work for an idle browser", () => {
  afterEach(() => vi.unstubAllGlobals());

  test("is done in order, as long as there is time, and goes on later", () => {
    const planned: IdleRequestCallback[] = [];
    vi.stubGlobal("requestIdleCallback", (work: IdleRequestCallback) => planned.push(work));
    const run = (remaining: number) => planned.shift()?.({ didTimeout: false, timeRemaining: () => remaining });
    const idle = new Idle();
    const done: string[] = [];
    for (const name of ["a", "b", "c"]) idle.add(() => done.push(name));
    idle.add(() => done.push("never"))();
    expect(planned).toHaveLength(1);
    run(0);
    expect(done).toEqual(["a"]);
    run(9);
    expect(done).toEqual(["a", "b", "c"]);
    expect(planned).toHaveLength(0);
  });

  test("is done without help of the browser", async () => {
    vi.stubGlobal("requestIdleCallback", undefined);
    const idle = new Idle();
    await new Promise<void>((resolve) => idle.add(resolve));
  });
});
