/** A shard's worker thread, restarted after a crash. */
import { Worker } from "node:worker_threads";
import { backOff } from "../../core/back-off.js";
import { builtFile } from "../../core/built-file.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { withTimeout } from "../../core/waiter.js";
import { CLOSE, type Failure, type FromWorker, fromPlain, type WorkerData } from "./messages.js";

/** ms before a crashed thread is replaced; doubled with each crash soon after a start. */
const FIRST_DELAY = 100;
/** ms at most; a thread that lived this long resets it. */
const MAX_DELAY = 10_000;

/** Arguments of inline code, invalid for a thread with a file. */
const UNFIT = /^(?:--input-type|--eval|-e|--print|-p|-pe|--check|-c|--interactive|-i)(?:=|$)/;

export interface ThreadOwner {
  /** It takes batches. */
  threadUp(shard: number, again: boolean): void;
  batchFinished(shard: number, failed: number, first: Failure | undefined): void;
  threadCrashed(shard: number, error: Error, restartIn: number): void;
}

export class ShardThread {
  /** Settles when the first thread is up; rejects for an unusable module, or at `close`. */
  readonly ready: Promise<void>;
  readonly #data: WorkerData;
  readonly #owner: ThreadOwner;
  #crashes = 0;
  #worker: Worker | undefined;
  #exited: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #wasReady = false;
  #closing = false;
  #resolveReady!: () => void;
  #rejectReady!: (error: Error) => void;

  constructor(data: WorkerData, owner: ThreadOwner) {
    this.#data = data;
    this.#owner = owner;
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve;
      this.#rejectReady = reject;
    });
    this.ready.catch(() => undefined); // start() reports it.
    this.#start();
  }

  send(batch: ArrayBuffer): void {
    this.#worker?.postMessage(batch, [batch]);
  }

  /** Ends the thread after the module's teardown, or `patience` ms. */
  async close(patience: number): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#timer);
    const worker = this.#worker;
    if (worker === undefined) return;
    if (patience > 0) {
      worker.postMessage(CLOSE);
      await withTimeout(this.#exited, patience);
    }
    await worker.terminate();
    await this.#exited;
  }

  #start = (): void => {
    const { shard } = this.#data;
    const begun = performance.now();
    const worker = new Worker(builtFile("dist/patterns/black-box/worker-thread.js"), {
      workerData: this.#data,
      execArgv: process.execArgv.filter((argument) => !UNFIT.test(argument)),
      name: `black box ${shard}`,
    });
    let cause: Error | undefined;
    this.#worker = worker;
    worker.on("error", (error) => {
      cause = error instanceof Error ? error : new Error(String(error));
    });
    worker.on("message", (message: FromWorker) => {
      if (message.type === "finished") this.#owner.batchFinished(shard, message.failed, message.first);
      else if (message.type === "unusable") cause = fromPlain(message.error);
      else {
        this.#owner.threadUp(shard, this.#wasReady);
        this.#wasReady = true;
        this.#resolveReady();
      }
    });
    this.#exited = new Promise((resolve) => {
      worker.once("exit", (code) => {
        resolve();
        this.#onExit(
          cause ?? new Error(`The thread ended with exit code ${code}`),
          performance.now() - begun,
        );
      });
    });
  };

  #onExit(error: Error, lived: number): void {
    this.#worker = undefined;
    if (!this.#wasReady) {
      const { module } = this.#data;
      this.#rejectReady(
        new InvalidArgumentError(`The handler's module ${shorten(module)} cannot be used: ${error.message}`, {
          cause: error,
        }),
      );
      return;
    }
    if (this.#closing) return;
    if (lived >= MAX_DELAY) this.#crashes = 0;
    const delay = Math.round(backOff(this.#crashes++, FIRST_DELAY, MAX_DELAY, Math.random));
    this.#timer = setTimeout(this.#start, delay);
    this.#owner.threadCrashed(this.#data.shard, error, delay);
  }
}

function shorten(url: string): string {
  return url.length > 200 ? `${url.slice(0, 200)}…` : url;
}
