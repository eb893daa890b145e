/** Worker thread: runs the handler's module on batches. Started by threads.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { isThenable } from "../../core/thenable.js";
import { CLOSE, type Failure, type FromWorker, toPlain, Unpacker, type WorkerData } from "./messages.js";

const MAX_TOPIC = 256;

interface Context {
  readonly shard: number;
  readonly shards: number;
  readonly data: unknown;
}

interface HandlerModule {
  readonly default?: unknown;
  readonly setup?: unknown;
  readonly teardown?: unknown;
}

type Handler = (frames: Buffer[], context: Context) => unknown;
type Hook = (context: Context) => unknown;

const { module, shard, shards, data } = workerData as WorkerData;
const main = parentPort as NonNullable<typeof parentPort>;
const context: Context = Object.freeze({ shard, shards, data });

function post(message: FromWorker): void {
  main.postMessage(message);
}

class Work {
  readonly #handler: Handler;
  readonly #batches: ArrayBuffer[] = [];
  #running = false;
  #whenIdle: (() => void) | undefined;

  constructor(handler: Handler) {
    this.#handler = handler;
  }

  add(batch: ArrayBuffer): void {
    this.#batches.push(batch);
    if (!this.#running) this.#next();
  }

  async end(): Promise<void> {
    if (!this.#running) return;
    await new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
    });
  }

  #next = (): void => {
    const batch = this.#batches.shift();
    this.#running = batch !== undefined;
    if (batch === undefined) this.#whenIdle?.();
    // The handler's sockets and timers run in between.
    else void this.#run(batch).then(() => setImmediate(this.#next));
  };

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

function isHook(value: unknown): value is Hook | undefined {
  return value === undefined || typeof value === "function";
}

async function load(): Promise<{ handler: Handler; teardown: Hook | undefined }> {
  const { default: handler, setup, teardown } = (await import(module)) as HandlerModule;
  if (typeof handler !== "function")
    throw new TypeError(`The module's default export must be a function; got ${typeof handler}`);
  if (!isHook(setup) || !isHook(teardown)) throw new TypeError("setup and teardown are functions");
  await setup?.(context);
  return { handler: handler as Handler, teardown };
}

try {
  const { handler, teardown } = await load();
  const work = new Work(handler);
  const close = async (): Promise<void> => {
    await work.end();
    await teardown?.(context);
    main.close();
  };
  main.on("message", (message: ArrayBuffer | typeof CLOSE) => {
    if (message === CLOSE) void close();
    else work.add(message);
  });
  post({ type: "ready" });
} catch (error) {
  post({ type: "unusable", error: toPlain(error) });
  // The module may keep this thread alive.
  main.close();
  setImmediate(() => process.exit(1));
}
