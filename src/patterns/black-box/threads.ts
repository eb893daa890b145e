/** A shard's worker thread, restarted after a crash. */
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { backOff } from "../../core/back-off.js";
import { builtFile } from "../../core/built-file.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { withTimeout } from "../../core/waiter.js";
import { CLOSE, type FromWorker, fromPlain, Progress, type WorkerData } from "./messages.js";

/** ms before a crashed thread is replaced; doubled with each crash soon after a start. */
const FIRST_DELAY = 100;
/** ms at most; a thread that lived this long resets it. */
const MAX_DELAY = 10_000;

/** Arguments of inline code, invalid for a thread with a file. */
const UNFIT = /^(?:--input-type|--eval|-e|--print|-p|-pe|--check|-c|--interactive|-i)(?:=|$)/;

/** @param file built file in this folder */
export function startThread(
  file: string,
  name: string,
  workerData: object,
  transfer: MessagePort[] = [],
): Worker {
  const execArgv = process.execArgv.filter((argument) => !UNFIT.test(argument));
  return new Worker(builtFile(`dist/patterns/black-box/${file}`), {
    workerData,
    transferList: transfer,
    execArgv,
    name,
  });
}

export type ThreadData = Omit<WorkerData, "port" | "progress">;

export interface ThreadOwner {
  /** Batches go through `port`. */
  threadUp(shard: number, port: MessagePort, progress: Uint32Array, again: boolean): void;
  /** `wasUp`: it had been able to take batches. */
  threadCrashed(shard: number, wasUp: boolean, error: Error, restartIn: number): void;
  handlerFailed(shard: number, messages: number, topic: Uint8Array, error: Error): void;
}

export class ShardThread {
  /** Settles when the first thread is up; rejects for an unusable module, or at `close`. */
  readonly ready: Promise<void>;
  readonly #data: ThreadData;
  readonly #owner: ThreadOwner;
  #crashes = 0;
  #worker: Worker | undefined;
  #exited: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #wasReady = false;
  #closing = false;
  #resolveReady!: () => void;
  #rejectReady!: (error: Error) => void;

  constructor(data: ThreadData, owner: ThreadOwner) {
    this.#data = data;
    this.#owner = owner;
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve;
      this.#rejectReady = reject;
    });
    this.ready.catch(() => undefined); // start() reports it.
    this.#start();
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
    const { port1, port2 } = new MessageChannel();
    const progress = new Uint32Array(new SharedArrayBuffer(4 * Progress.LENGTH));
    const begun = performance.now();
    const worker = startThread(
      "worker-thread.js",
      `black box ${shard}`,
      { ...this.#data, port: port1, progress },
      [port1],
    );
    let up = false;
    let cause: Error | undefined;
    this.#worker = worker;
    worker.on("error", (error) => {
      cause = error instanceof Error ? error : new Error(String(error));
    });
    worker.on("message", (message: FromWorker) => {
      if (message.type === "failed")
        this.#owner.handlerFailed(shard, message.messages, message.topic, fromPlain(message.error));
      else if (message.type === "unusable") cause = fromPlain(message.error);
      else if (message.type === "ready") {
        up = true;
        this.#owner.threadUp(shard, port2, progress, this.#wasReady);
        this.#wasReady = true;
        this.#resolveReady();
      }
    });
    this.#exited = new Promise((resolve) => {
      worker.once("exit", (code) => {
        resolve();
        if (!up) port2.close();
        this.#onExit(
          up,
          cause ?? new Error(`The thread ended with exit code ${code}`),
          performance.now() - begun,
        );
      });
    });
  };

  #onExit(wasUp: boolean, error: Error, lived: number): void {
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
    this.#owner.threadCrashed(this.#data.shard, wasUp, error, delay);
  }
}

function shorten(url: string): string {
  return url.length > 200 ? `${url.slice(0, 200)}…` : url;
}
