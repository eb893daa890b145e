/**
 * The thread of a worker's sockets: a `MajordomoWorker` whose handler asks the
 * main thread. Whatever holds that one up, heartbeats go on here. Started by
 * worker-thread.ts.
 */
import { parentPort, workerData } from "node:worker_threads";
import { MajordomoWorker } from "./worker.js";
import type { MajordomoHandler, RequestContext, WorkerEvent } from "./worker-options.js";

import {
  type FromHandler,
  type FromSockets,
  MAX_UNTOLD,
  type Outcome,
  pack,
  type ThreadData,
  unpack,
} from "./worker-thread.js";

const main = parentPort as NonNullable<typeof parentPort>;
const { endpoints, service, options, accounts, taken } = workerData as ThreadData;

function tell(message: FromSockets, transfer: ArrayBuffer[] = []): void {
  main.postMessage(message, transfer);
}

/** Requests in the main thread's hands. */
const open = new Map<number, RequestContext>();
/** Who waits for the main thread's word on a request. */
const waiting = new Map<number, (outcome: Outcome) => void>();
let numbers = 0;

/** Settles with the main thread's next word on a request. */
function answered(number: number): Promise<Outcome> {
  return new Promise((resolve) => {
    waiting.set(number, resolve);
  });
}

async function handle(
  request: Buffer[],
  context: RequestContext,
): Promise<Buffer[] | AsyncGenerator<Buffer[]>> {
  const number = ++numbers;
  open.set(number, context);
  noteAccounts();
  const frames = pack(request);
  const outcome = answered(number);
  tell({ type: "request", number, id: context.id, frames }, [frames.bytes]);
  const first = await outcome;
  if (first.type === "stream") return pieces(number);
  open.delete(number);
  noteAccounts();
  if (first.type === "reply") return unpack(first.frames);
  throw failureOf(first);
}

/** Asks for each piece when it is wanted. */
async function* pieces(number: number): AsyncGenerator<Buffer[], Buffer[] | undefined> {
  let over = false;
  try {
    for (;;) {
      const outcome = answered(number);
      tell({ type: "next", number });
      const next = await outcome;
      if (next.type === "piece") {
        yield unpack(next.frames);
        continue;
      }
      over = true;
      if (next.type !== "end") throw failureOf(next);
      return next.frames === undefined ? undefined : unpack(next.frames);
    }
  } finally {
    open.delete(number);
    waiting.delete(number);
    if (!over) tell({ type: "return", number });
    noteAccounts();
  }
}

/** A Buffer that was cloned is a Uint8Array. */
function asBuffers(socketOptions: object): object {
  const entries = Object.entries(socketOptions).map(([name, value]) => [
    name,
    value instanceof Uint8Array ? Buffer.from(value) : value,
  ]);
  return Object.fromEntries(entries);
}

function failureOf(outcome: Outcome): Error {
  return new Error(outcome.type === "failed" ? outcome.text : `unexpected ${outcome.type}`);
}

// A promise of a generator is taken as a generator is; the type of handlers does not say so.
const worker = new MajordomoWorker(endpoints, service, handle as unknown as MajordomoHandler, {
  ...options,
  socketOptions: asBuffers(options.socketOptions),
});

let noted = false;
/** Once a turn, after all that it brings. */
function noteAccounts(): void {
  if (noted) return;
  noted = true;
  setImmediate(() => {
    noted = false;
    for (const [index, value] of Object.values(worker.stats()).entries()) accounts[index] = value;
  });
}

/** ms between two looks whether the main thread has taken what was told. */
const LOOK = 100;

let told = 0;
let lost = 0;
function tellEvent(event: WorkerEvent): void {
  if (lost === 0 && told - Atomics.load(taken, 0) < MAX_UNTOLD) {
    tell({ type: "event", event });
    told += 1;
    return;
  }
  noteLost(1);
}

function noteLost(count: number): void {
  if (lost === 0) setTimeout(tellLost, LOOK).unref();
  lost += count;
}

/** In the place where the events would have been: none is told before. */
function tellLost(): void {
  if (told - Atomics.load(taken, 0) >= MAX_UNTOLD) {
    setTimeout(tellLost, LOOK).unref();
    return;
  }
  tell({ type: "event", event: { type: "events:lost", count: lost } });
  told += 1;
  lost = 0;
}

async function hear(): Promise<void> {
  let missed = 0;
  for await (const event of worker.events) {
    const { events } = worker;
    if (events.lost > missed) noteLost(events.lost - missed);
    missed = events.lost;
    noteAccounts();
    // The main thread has the error itself, and tells it.
    if (event.type !== "request:failed") tellEvent(event);
  }
}

async function close(linger: number): Promise<void> {
  const hearing = heard;
  await worker.close({ linger });
  await hearing;
  if (lost > 0) tell({ type: "event", event: { type: "events:lost", count: lost } });
  for (const [index, value] of Object.values(worker.stats()).entries()) accounts[index] = value;
  tell({ type: "closed" });
}

main.on("message", (message: FromHandler) => {
  switch (message.type) {
    case "close":
      void close(message.linger);
      break;
    case "watch": {
      const { number } = message;
      const signal = open.get(number)?.signal;
      if (signal?.aborted === true) tell({ type: "abort", number });
      else signal?.addEventListener("abort", () => tell({ type: "abort", number }), { once: true });
      break;
    }
    default: {
      const resolve = waiting.get(message.number);
      waiting.delete(message.number);
      resolve?.(message);
    }
  }
});

const heard = hear();
tell({ type: "up", names: Object.keys(worker.stats()) });
