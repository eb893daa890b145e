/** A shard's worker thread. */
import { Worker } from "node:worker_threads";
import { builtFile } from "../../core/built-file.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { withTimeout } from "../../core/waiter.js";
import { CLOSE, type Failure, type FromWorker, fromPlain, type WorkerData } from "./messages.js";

/**
 * Arguments of inline code, invalid for a thread with a file. Without them a thread inherits all arguments, while a list
 * may have no options of V8.
 */
const UNFIT = /^(?:--input-type|--eval|-e|--print|-p|-pe|--check|-c|--interactive|-i)(?:=|$)/;

function isUnfit(argument: string): boolean {
  return UNFIT.test(argument);
}

export interface ThreadOwner {
  batchFinished(shard: number, failed: number, first: Failure | undefined): void;
  /** It ended after it was ready, and before `close`. */
  threadCrashed(shard: number, error: Error): void;
}

export class ShardThread {
  /** Settles when the module is loaded; rejects for an unusable module, or at `close`. */
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  #isClosing = false;

  constructor(data: WorkerData, owner: ThreadOwner) {
    const { shard, module } = data;
    const worker = new Worker(builtFile("dist/patterns/black-box/worker-thread.js"), {
      workerData: data,
      ...(process.execArgv.some(isUnfit) && { execArgv: process.execArgv.filter((each) => !isUnfit(each)) }),
      name: `black box ${shard}`,
    });
    this.#worker = worker;
    let cause: Error | undefined;
    worker.on("error", (error) => {
      cause = error instanceof Error ? error : new Error(String(error));
    });
    this.#exited = new Promise((resolve) => worker.once("exit", () => resolve()));
    this.ready = new Promise((resolve, reject) => {
      let isReady = false;
      worker.on("message", (message: FromWorker | null | undefined) => {
        // The module may post messages of its own: they are ignored.
        if (message?.type === "finished") owner.batchFinished(shard, message.failed, message.first);
        else if (message?.type === "unusable") cause = fromPlain(message.error);
        else if (message?.type === "ready") {
          isReady = true;
          resolve();
        }
      });
      worker.once("exit", (code) => {
        const error = cause ?? new Error(`The thread ended with exit code ${code}`);
        if (!isReady) reject(unusable(module, error));
        else if (!this.#isClosing) owner.threadCrashed(shard, error);
      });
    });
    this.ready.catch(() => undefined); // start() reports it.
  }

  send(batch: ArrayBuffer): void {
    this.#worker.postMessage(batch, [batch]);
  }

  /** Ends the thread after the module's teardown, or `timeout` ms. */
  async close(timeout: number): Promise<void> {
    this.#isClosing = true;
    if (timeout > 0) {
      this.#worker.postMessage(CLOSE);
      await withTimeout(this.#exited, timeout);
    }
    await this.#worker.terminate();
  }
}

function unusable(module: string, cause: Error): InvalidArgumentError {
  return new InvalidArgumentError(
    `The handler's module ${shorten(module)} cannot be used: ${cause.message}`,
    { cause },
  );
}

function shorten(url: string): string {
  return url.length > 200 ? `${url.slice(0, 200)}…` : url;
}
