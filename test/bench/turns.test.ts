import { expect, it, vi } from "vitest";
import type { SideProcess } from "../../bench/runner/side-process.js";
import { Turn } from "../../bench/runner/turns.js";

/** A side whose work takes `need` ms in which it is not stopped. */
class Worker {
  from = 0;
  until = 0;
  readonly finished: Promise<void>;
  isRunning = true;
  #left: number;
  #since = 0;
  #timer: NodeJS.Timeout | undefined;
  #finish: () => void = () => undefined;

  constructor(need: number) {
    this.#left = need;
    this.finished = new Promise((resolve) => (this.#finish = resolve));
  }

  start(): void {
    this.from = performance.now();
    this.#work();
  }

  signal(signal: string): void {
    this.isRunning = signal === "SIGCONT";
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    if (this.isRunning) this.#work();
    else this.#left -= performance.now() - this.#since;
  }

  #work(): void {
    this.#since = performance.now();
    this.#timer = setTimeout(() => {
      this.until = performance.now();
      this.#finish();
    }, this.#left);
  }
}

const NEEDS = [1_000, 600, 2_000];

it("runs in turns work one at a time, and the time of the others' turns is known", async () => {
  vi.useFakeTimers();
  const workers: Worker[] = [];
  const overlaps: number[] = [];
  const watch = setInterval(() => {
    const running = workers.filter(({ isRunning }) => isRunning).length;
    if (running > 1) overlaps.push(running);
  }, 10);
  const seconds = Turn.all(
    NEEDS.map((need) => async (turn: Turn) => {
      const worker = new Worker(need);
      workers.push(worker);
      turn.add(worker as unknown as SideProcess);
      await turn.opened();
      worker.start();
      await worker.finished;
      worker.isRunning = false;
      const { from, until } = worker;
      return until - from - 1_000 * turn.pausedWithin((until - from) / 1_000, until);
    }),
  );
  await vi.runOnlyPendingTimersAsync();
  await vi.advanceTimersByTimeAsync(10_000);
  clearInterval(watch);
  expect(await seconds).toEqual(NEEDS);
  expect(overlaps).toEqual([]);
});
