/** Worker thread: runs the handler's module on batches. Started by black-box.ts. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { isThenable, thrownText } from "../../core/arguments.js";
import type { BlackBoxContext, BlackBoxHandler } from "./black-box.js";
import { CLOSE, type Failure, type FromWorker, unpack, type WorkerData } from "./messages.js";

const MAX_TOPIC = 256;

interface HandlerModule {
  readonly default: BlackBoxHandler;
  readonly teardown?: (context: BlackBoxContext) => unknown;
}

const { module, shard, shards } = workerData as WorkerData;
const main = parentPort as NonNullable<typeof parentPort>;
const context: BlackBoxContext = Object.freeze({ shard, shards });

function post(message: FromWorker): void {
  main.postMessage(message);
}

/** A copy whose parts can be posted. */
function postable(thrown: unknown): Error {
  const error = new Error(thrownText(thrown));
  try {
    if (thrown instanceof Error)
      Object.assign(error, { name: String(thrown.name), stack: String(thrown.stack) });
  } catch {
    // Only the message is kept.
  }
  return error;
}

async function run(batch: ArrayBuffer): Promise<void> {
  let failed = 0;
  let first: Failure | undefined;
  for (const frames of unpack(batch)) {
    const topic = frames[0] as Buffer;
    try {
      const pending = handler(frames, context);
      if (isThenable(pending)) await pending;
    } catch (error) {
      failed += 1;
      first ??= { topic: Uint8Array.from(topic.subarray(0, MAX_TOPIC)), error: postable(error) };
    }
  }
  post({ type: "finished", failed, first });
  // The handler's sockets and timers run in between.
  await nextTurn();
}

async function load(): Promise<HandlerModule> {
  const loaded = (await import(module)) as HandlerModule;
  const { default: handler, teardown } = loaded;
  if (typeof handler !== "function")
    throw new TypeError(`The module's default export must be a function; got ${typeof handler}`);
  if (teardown !== undefined && typeof teardown !== "function")
    throw new TypeError(`The module's export teardown must be a function; got ${typeof teardown}`);
  return loaded;
}

// An error of it ends the thread.
const { default: handler, teardown } = await load();
let work = Promise.resolve();
main.on("message", (message: ArrayBuffer | typeof CLOSE) => {
  work = work.then(async () => {
    if (message === CLOSE) {
      await teardown?.(context);
      main.close();
    } else await run(message);
  });
});
post({ type: "ready" });
