/** Worker thread: runs the handler's module on batches. Started by threads.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { isThenable } from "../../core/arguments.js";
import type { BlackBoxContext, BlackBoxHandler } from "./black-box.js";
import { CLOSE, type Failure, type FromWorker, toPlain, Unpacker, type WorkerData } from "./messages.js";

const MAX_TOPIC = 256;

interface HandlerModule {
  readonly default?: unknown;
  readonly teardown?: unknown;
}

type Teardown = (context: BlackBoxContext) => unknown;

const { module, shard, shards } = workerData as WorkerData;
const main = parentPort as NonNullable<typeof parentPort>;
const context: BlackBoxContext = Object.freeze({ shard, shards });

function post(message: FromWorker): void {
  main.postMessage(message);
}

class Work {
  readonly #handler: BlackBoxHandler;
  readonly #teardown: Teardown | undefined;
  readonly #queue: (ArrayBuffer | typeof CLOSE)[] = [];
  #running = false;

  constructor(handler: BlackBoxHandler, teardown: Teardown | undefined) {
    this.#handler = handler;
    this.#teardown = teardown;
  }

  add(message: ArrayBuffer | typeof CLOSE): void {
    this.#queue.push(message);
    if (!this.#running) this.#next();
  }

  #next = (): void => {
    const message = this.#queue.shift();
    this.#running = message !== undefined;
    if (message === CLOSE) void this.#close();
    // The handler's sockets and timers run in between.
    else if (message !== undefined) void this.#run(message).then(() => setImmediate(this.#next));
  };

  async #close(): Promise<void> {
    await this.#teardown?.(context);
    main.close();
  }

  async #run(batch: ArrayBuffer): Promise<void> {
    const messages = new Unpacker(batch);
    const handler = this.#handler;
    let failed = 0;
    let first: Failure | undefined;
    for (let frames = messages.next(); frames !== undefined; frames = messages.next()) {
      const topic = frames[0] as Buffer;
      try {
        const pending = handler(frames, context);
        if (isThenable(pending)) await pending;
      } catch (error) {
        failed += 1;
        first ??= { topic: Uint8Array.from(topic.subarray(0, MAX_TOPIC)), error: toPlain(error) };
      }
    }
    post({ type: "finished", failed, first });
  }
}

async function load(): Promise<Work> {
  const { default: handler, teardown } = (await import(module)) as HandlerModule;
  if (typeof handler !== "function")
    throw new TypeError(`The module's default export must be a function; got ${typeof handler}`);
  if (teardown !== undefined && typeof teardown !== "function")
    throw new TypeError(`The module's export teardown must be a function; got ${typeof teardown}`);
  return new Work(handler as BlackBoxHandler, teardown as Teardown | undefined);
}

try {
  const work = await load();
  main.on("message", (message: ArrayBuffer | typeof CLOSE) => work.add(message));
  post({ type: "ready" });
} catch (error) {
  post({ type: "unusable", error: toPlain(error) });
  // The module may keep this thread alive.
  main.close();
  setImmediate(() => process.exit(1));
}
