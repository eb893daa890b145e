/**
 * A call every 0.2 ms. A timer of the event loop is not finer than 1 ms, and a loop that spins takes a core from those
 * that are measured; so a thread sleeps and wakes the loop.
 */
import { Worker } from "node:worker_threads";

const MILLISECONDS = 0.2;

const THREAD = `
const { parentPort, workerData } = require("node:worker_threads");
const cell = new Int32Array(new SharedArrayBuffer(4));
for (;;) {
  Atomics.wait(cell, 0, 0, workerData);
  parentPort.postMessage(0);
}
`;

export class Ticker {
  readonly #thread = new Worker(THREAD, { eval: true, workerData: MILLISECONDS });

  constructor(tick: () => void) {
    this.#thread.on("message", tick);
    this.#thread.unref();
  }

  stop(): void {
    this.#thread.removeAllListeners("message");
    void this.#thread.terminate();
  }
}
