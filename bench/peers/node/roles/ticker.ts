/**
 * A call every 0.2 ms. Timers of the event loop have a resolution of 1 ms, and a spinning loop would take a core from
 * the measured processes; so a thread sleeps and wakes the loop.
 *
 *   made --thread is up--> ready --start--> ticking --stop--> ended
 *
 * The thread takes about 30 ms to start; a schedule that began earlier would begin with a backlog.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";

const MILLISECONDS = 0.2;

/** Cells: whether to tick, and whether the last tick was handled. */
const THREAD = `
const { parentPort, workerData: { cells, milliseconds } } = require("node:worker_threads");
parentPort.postMessage("ready");
Atomics.wait(cells, 0, 0);
const never = new Int32Array(new SharedArrayBuffer(4));
for (;;) {
  Atomics.wait(never, 0, 0, milliseconds);
  if (Atomics.exchange(cells, 1, 1) === 0) parentPort.postMessage("tick");
}
`;

export class Ticker {
  /** Settles when ticks can begin. */
  readonly ready: Promise<unknown>;
  readonly #cells = new Int32Array(new SharedArrayBuffer(8));
  readonly #thread: Worker;

  constructor() {
    const workerData = { cells: this.#cells, milliseconds: MILLISECONDS };
    this.#thread = new Worker(THREAD, { eval: true, workerData });
    this.#thread.unref();
    this.ready = once(this.#thread, "message");
  }

  /** @param tick called until `stop`; a delayed loop gets one tick instead of all missed ones */
  start(tick: () => void): void {
    this.#thread.on("message", () => {
      Atomics.store(this.#cells, 1, 0);
      tick();
    });
    Atomics.store(this.#cells, 0, 1);
    Atomics.notify(this.#cells, 0);
  }

  stop(): void {
    this.#thread.removeAllListeners("message");
    void this.#thread.terminate();
  }
}
