/**
 * The thread of a worker's sockets: a `MajordomoWorker` whose handler asks the
 * main thread. Whatever holds that one up, heartbeats go on here. Started by
 * worker-thread.ts.
 */

import { parentPort, workerData } from "node:worker_threads";
import { isBytes } from "../../core/bytes.js";
import { decodeDetails, refuse } from "../kit/errors.js";
import { toPlain } from "../kit/plain-error.js";
import { RelayedSource } from "../kit/relayed-source.js";
import { MajordomoWorker } from "./worker.js";
import type { MajordomoHandler, MajordomoRequestContext, MajordomoWorkerEvent } from "./worker-options.js";

import {
  type FromHandler,
  type FromSockets,
  MAX_UNTAKEN,
  type Outcome,
  pack,
  type ThreadData,
  unpack,
} from "./worker-thread.js";

const main = parentPort as NonNullable<typeof parentPort>;
const { endpoints, service, options, statistics, taken } = workerData as ThreadData;

function post(message: FromSockets, transfer: ArrayBuffer[] = []): void {
  main.postMessage(message, transfer);
}

/** Requests in the main thread's hands. */
const open = new Map<number, MajordomoRequestContext>();
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
  context: MajordomoRequestContext,
): Promise<Buffer[] | AsyncGenerator<Buffer[]>> {
  const number = ++numbers;
  open.set(number, context);
  noteStatistics();
  const frames = pack(request);
  const outcome = answered(number);
  const { id, headers, deadline, attempt } = context;
  post({ type: "request", number, context: { id, headers, deadline, attempt }, frames }, [frames.bytes]);
  const first = await outcome;
  if (first.type === "stream") return pieces(number);
  open.delete(number);
  noteStatistics();
  if (first.type === "reply") return unpack(first.frames);
  throw failureOf(first);
}

/** Asks for each piece when it is wanted. */
async function* pieces(number: number): AsyncGenerator<Buffer[], Buffer[] | undefined> {
  let over = false;
  try {
    for (;;) {
      const outcome = answered(number);
      post({ type: "next", number });
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
    if (!over) post({ type: "return", number });
    noteStatistics();
  }
}

/** A Buffer that was cloned is a Uint8Array. */
function asBuffers(socketOptions: object): object {
  const entries = Object.entries(socketOptions).map(([name, value]) => [
    name,
    isBytes(value) ? Buffer.from(value) : value,
  ]);
  return Object.fromEntries(entries);
}

/** As the main thread wants clients to get it. */
function failureOf(outcome: Outcome): Error {
  if (outcome.type !== "failed") return new Error(`unexpected ${outcome.type}`);
  const details = outcome.details === undefined ? undefined : Buffer.from(outcome.details);
  return refuse(outcome.reason, service, outcome.text, decodeDetails(details));
}

const source = new RelayedSource();
// A promise of a generator is taken as a generator is; the type of handlers does not say so.
const worker = new MajordomoWorker(endpoints ?? source, service, handle as unknown as MajordomoHandler, {
  ...options,
  socketOptions: asBuffers(options.socketOptions),
});

let noted = false;
/** Once a turn, after all that it brings. */
function noteStatistics(): void {
  if (noted) return;
  noted = true;
  setImmediate(() => {
    noted = false;
    for (const [index, value] of Object.values(worker.stats()).entries()) statistics[index] = value;
  });
}

/** ms between two looks whether the main thread has taken what was posted. */
const LOOK = 100;

let posted = 0;
let lost = 0;
function postEvent(event: MajordomoWorkerEvent): void {
  if (lost === 0 && posted - Atomics.load(taken, 0) < MAX_UNTAKEN) {
    if (event.type === "endpoint:refused") post({ ...event, type: "refused", error: toPlain(event.error) });
    else post({ type: "event", event });
    posted += 1;
    return;
  }
  noteLost(1);
}

function noteLost(count: number): void {
  if (lost === 0) setTimeout(postLost, LOOK).unref();
  lost += count;
}

/** In the place where the events would have been: none is posted before. */
function postLost(): void {
  if (posted - Atomics.load(taken, 0) >= MAX_UNTAKEN) {
    setTimeout(postLost, LOOK).unref();
    return;
  }
  post({ type: "event", event: { type: "events:lost", count: lost } });
  posted += 1;
  lost = 0;
}

async function forwardEvents(): Promise<void> {
  let missed = 0;
  for await (const event of worker.events) {
    const { events } = worker;
    if (events.lost > missed) noteLost(events.lost - missed);
    missed = events.lost;
    noteStatistics();
    // The main thread has the error itself, and reports it.
    if (event.type !== "handler:failed" && event.type !== "request:invalid") postEvent(event);
  }
}

async function close(linger: number): Promise<void> {
  const hearing = heard;
  await worker.close({ linger });
  await hearing;
  if (lost > 0) post({ type: "event", event: { type: "events:lost", count: lost } });
  for (const [index, value] of Object.values(worker.stats()).entries()) statistics[index] = value;
  post({ type: "closed" });
}

main.on("message", (message: FromHandler) => {
  switch (message.type) {
    case "drain":
      void worker.drain().finally(() => post({ type: "drained" }));
      break;
    case "close":
      void close(message.linger);
      break;
    case "endpoints":
      source.set(message.endpoints);
      break;
    case "watch": {
      const { number } = message;
      const signal = open.get(number)?.signal;
      if (signal?.aborted === true) post({ type: "abort", number });
      else signal?.addEventListener("abort", () => post({ type: "abort", number }), { once: true });
      break;
    }
    default: {
      const resolve = waiting.get(message.number);
      waiting.delete(message.number);
      resolve?.(message);
    }
  }
});

const heard = forwardEvents();
post({ type: "up", names: Object.keys(worker.stats()) });
