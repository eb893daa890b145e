/**
 * The Guide's Black Box (chapter 5, High-Speed Subscribers).
 *
 *                    the program's thread                worker threads
 *   PUB ──> SUB ──> hash of the topic ──> queue 0 ──> handler of the user's module
 *                                     └─> queue 1 ──> handler …
 */

import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { invalidArgument, thrownText } from "../../core/arguments.js";
import { ClosedError, InvalidArgumentError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { builtFile } from "../../core/packages.js";
import { IdleWaits, withTimeout } from "../../core/waiter.js";
import { Driver } from "../../kit/driver.js";
import { ENDPOINT_SOURCE_EVENTS, type PatternEndpoints, relaySourceEvents } from "../../kit/endpoint-list.js";
import {
  anything,
  checkEndpoint,
  checkOptions,
  choice,
  type GivenWith,
  integer,
  object,
} from "../../kit/options.js";
import { type EndpointSource, isEndpointSource } from "../../sockets/endpoint-source.js";
import { Subscriber, type SubscriberOptions } from "../../sockets/pub-sub.js";
import type { SocketStats } from "../../sockets/stats.js";
import { CLOSE, type Failure, type FromWorker, pack, type WorkerData } from "./messages.js";
import { type BlackBoxFullPolicy, BoxRules, type BoxRulesStats } from "./rules.js";

// --- Options ---------------------------------------------------------------------------------------------------------

const MAX_WORKERS = 256;
/** Messages, and bytes unless a message is larger, per batch. */
const MAX_BATCH = 1_000;
const MAX_BATCH_BYTES = 1_048_576;
/** Batches in flight per thread: one handled, one ready. */
const MAX_IN_FLIGHT = 2;

const OPTIONS = {
  /**
   * Module whose default export handles messages: a URL, a `file:` or `data:` URL as text, or a path. See {@link
   * BlackBoxHandler}.
   */
  handler: anything<string | URL>(),
  /** Publishers to connect to, or a source. */
  connect: anything<PatternEndpoints>(),
  /** Endpoints to bind. */
  bind: anything<string | readonly string[]>(),
  /** Topic prefixes. Default: all messages. */
  subscribe: anything<string | Uint8Array | readonly (string | Uint8Array)[]>(),
  /** Worker threads (shards), at most 256. Default: the machine's parallelism minus 1, at least 1. */
  workers: integer({ max: MAX_WORKERS }),
  /** Handling of a message for a full queue. Default `"drop-oldest"`. */
  full: choice<BlackBoxFullPolicy>(["drop-newest", "drop-oldest", "wait"], "drop-oldest"),
  /** Messages queued per shard; with `wait` a read of up to 1,000 may pass it. Default 10,000. */
  maxQueue: integer({ default: 10_000 }),
  /** Bytes queued per shard; a larger message is dropped. Default 67,108,864. */
  maxQueueBytes: integer({ default: 67_108_864 }),
  /** Options of the SUB, such as security. */
  socketOptions: object<SubscriberOptions>(["codec"]),
};

/** Options of {@link BlackBox}. */
export type BlackBoxOptions = GivenWith<typeof OPTIONS, "handler">;

/** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
function resolveBox(options: BlackBoxOptions) {
  const settings = checkOptions("BlackBox", OPTIONS, options);
  const { subscribe = "", socketOptions } = settings;
  const connect = [settings.connect ?? []].flat() as (string | EndpointSource)[];
  for (const endpoint of connect) if (!isEndpointSource(endpoint)) checkEndpoint("connect", endpoint);
  const bind = [settings.bind ?? []].flat().map((endpoint) => checkEndpoint("bind", endpoint, "bind"));
  if (connect.length + bind.length === 0)
    throw new InvalidArgumentError("A BlackBox must have an endpoint: option connect, bind or both");
  return {
    module: moduleOf(settings.handler),
    rules: {
      ...settings,
      shards: settings.workers ?? Math.min(Math.max(1, availableParallelism() - 1), MAX_WORKERS),
      maxBatch: MAX_BATCH,
      maxBatchBytes: MAX_BATCH_BYTES,
      maxInFlight: MAX_IN_FLIGHT,
    },
    connect,
    bind,
    subscribe: [subscribe].flat() as readonly (string | Uint8Array)[],
    socketOptions,
  };
}

function moduleOf(handler: unknown): string {
  if (handler instanceof URL) return handler.href;
  if (typeof handler !== "string" || handler === "")
    throw invalidArgument("Option handler must be the URL or path of a module", handler);
  return /^(?:file|data):/.test(handler) ? handler : pathToFileURL(resolve(handler)).href;
}

// --- Threads ---------------------------------------------------------------------------------------------------------

/**
 * Arguments of inline code, invalid for a thread with a file. Without them a thread inherits all arguments, while a list
 * may have no options of V8.
 */
const UNFIT = /^(?:--input-type|--eval|-e|--print|-p|-pe|--check|-c|--interactive|-i)(?:=|$)/;

interface ThreadOwner {
  batchFinished(shard: number, failed: number, first: Failure | undefined): void;
  /** It ended after it was ready, and before `close`. */
  threadCrashed(shard: number, error: Error): void;
}

/** A shard's worker thread. */
class ShardThread {
  /** Settles when the module is loaded; rejects for an unusable module, or at `close`. */
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  #isClosing = false;

  constructor(data: WorkerData, owner: ThreadOwner) {
    const { shard, module } = data;
    const execArgv = process.execArgv.filter((argument) => !UNFIT.test(argument));
    const worker = new Worker(builtFile("dist/patterns/black-box/worker-thread.js"), {
      workerData: data,
      ...(execArgv.length < process.execArgv.length && { execArgv }),
      name: `black box ${shard}`,
    });
    this.#worker = worker;
    let cause: Error | undefined;
    worker.on("error", (error) => {
      cause = error instanceof Error ? error : new Error(thrownText(error));
    });
    this.#exited = new Promise((resolve) => worker.once("exit", () => resolve()));
    this.ready = new Promise((resolve, reject) => {
      let isReady = false;
      worker.on("message", (message: FromWorker | null | undefined) => {
        // The module may post messages of its own: they are ignored.
        if (message?.type === "finished") owner.batchFinished(shard, message.failed, message.first);
        else if (message?.type === "ready") {
          isReady = true;
          resolve();
        }
      });
      worker.once("exit", (code) => {
        const error = cause ?? new Error(`The thread ended with exit code ${code}`);
        if (!isReady) {
          const text = `The handler's module ${shorten(module)} cannot be used: ${error.message}`;
          reject(new InvalidArgumentError(text, { cause: error }));
        } else if (!this.#isClosing) owner.threadCrashed(shard, error);
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

function shorten(url: string): string {
  return url.length > 200 ? `${url.slice(0, 200)}…` : url;
}

// --- BlackBox --------------------------------------------------------------------------------------------------------

/** Messages per read. */
const READ = 1_000;
/** ms for a module's `teardown`. */
const TEARDOWN_TIME = 1_000;

export interface BlackBoxContext {
  /** From 0. */
  readonly shard: number;
  readonly shards: number;
}

/**
 * Default export of a handler's module. Called with one message at a time; a returned promise delays the next. Frames
 * are views of one batch (about 1 MiB): copy a frame to keep it.
 *
 * The module may also export `teardown(context)`, awaited after the thread's last message, for 1 s at most.
 */
export type BlackBoxHandler = (frames: Buffer[], context: BlackBoxContext) => unknown;

const EVENTS = {
  /** Of one batch, when it is finished. */
  "handler:failed": event<{
    readonly shard: number;
    readonly messages: number;
    /** First frame of the first one, 256 bytes at most. */
    readonly topic: Buffer;
    readonly error: Error;
  }>(),
  /** A worker thread ended. The Black Box closes. */
  "worker:crashed": event<{ readonly shard: number; readonly error: Error }>(),
  ...ENDPOINT_SOURCE_EVENTS,
};

export type BlackBoxEvent = EventsOf<typeof EVENTS>;

/** `received = handled + failed + queued + inFlight + dropped{…} + lost`. */
export interface BlackBoxStats extends BoxRulesStats {
  readonly socket: SocketStats;
}

/**
 * Subscriber for streams too fast for one thread: receives in the thread that makes it and handles messages in others,
 * in order per topic. Where the program's thread is busy, make the Black Box in a worker thread.
 *
 * @example
 * ```ts no-run
 * import { BlackBox } from "shoal/black-box";
 *
 * const box = new BlackBox({
 *   handler: new URL("./handler.js", import.meta.url), // export default ([topic, body], context) => …
 *   workers: 4,
 *   connect: "tcp://127.0.0.1:5556",
 * });
 * await box.start();
 * ```
 */
export class BlackBox extends Driver<BlackBoxEvent, BlackBoxStats> {
  readonly #options: ReturnType<typeof resolveBox>;
  readonly #socket: Subscriber;
  readonly #rules: BoxRules;
  #threads: ShardThread[] = [];
  #starting: Promise<void> | undefined;
  readonly #unblocked = new IdleWaits();
  readonly #idle = new IdleWaits();
  /** Messages in flight to the crashed thread never finish. */
  #hasCrashed = false;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: BlackBoxOptions) {
    super("BlackBox", EVENTS);
    this.#options = resolveBox(options);
    const { rules, socketOptions } = this.#options;
    this.#rules = new BoxRules(rules, (shard, messages) => this.#threads[shard]?.send(pack(messages)));
    this.#socket = new Subscriber({ linger: 0, ...socketOptions });
    relaySourceEvents(this.#socket, (event) => this.events.emit(event));
  }

  /** Endpoint of the last `bind` or `connect`; `null` before {@link start} settles. */
  get endpoint(): string | null {
    return this.#socket.lastEndpoint;
  }

  /**
   * Loads the module in each thread, then opens the socket. Closes on failure.
   * @throws InvalidArgumentError `EINVAL` for an unusable module (`cause`) or a bad prefix; TransportError as a
   *   socket's `bind`; ClosedError `EBADF` when closed
   */
  async start(): Promise<void> {
    this.assertOpen();
    this.#starting ??= this.#start().catch(async (error: unknown) => {
      const isClosed = this.closed;
      await this.close({ linger: 0 });
      throw isClosed ? new ClosedError("EBADF", "The Black Box is closed") : error;
    });
    return this.#starting;
  }

  stats(): BlackBoxStats {
    return { ...this.#rules.stats(), socket: this.#socket.stats() };
  }

  async #start(): Promise<void> {
    const { module, rules, bind, subscribe, connect } = this.#options;
    const { shards } = rules;
    this.#threads = Array.from(
      { length: shards },
      (_, shard) => new ShardThread({ module, shard, shards }, this.#owner),
    );
    await Promise.all(this.#threads.map((thread) => thread.ready));
    for (const endpoint of bind) await this.#socket.bind(endpoint);
    this.#socket.subscribe(...subscribe);
    for (const endpoint of connect) this.#socket.connect(endpoint);
    void this.#read();
  }

  async #read(): Promise<void> {
    const socket = this.#socket;
    for (;;) {
      let messages: Buffer[][];
      try {
        messages = await socket.receiveMany({ max: READ, timeout: -1 });
      } catch {
        return; // It closed.
      }
      this.#rules.receive(messages);
      while (this.#rules.blocked && !socket.closed) await this.#unblocked.wait(false);
    }
  }

  protected override async onDrain(): Promise<void> {
    await this.#stopReading();
    await this.#whenIdle();
  }

  /**
   * Waits at most `linger` ms until all read messages are handled, drops the rest (`closed`), and ends the threads.
   * A crash ends the wait.
   */
  protected async onClose(linger: number): Promise<void> {
    await this.#stopReading();
    if (linger !== 0) await withTimeout(this.#whenIdle(), linger);
    this.#rules.close();
    this.#moved();
    await Promise.all(this.#threads.map((thread) => thread.close(linger === 0 ? 0 : TEARDOWN_TIME)));
  }

  #whenIdle(): Promise<void> {
    return this.#idle.wait(this.#rules.idle || this.#hasCrashed);
  }

  async #stopReading(): Promise<void> {
    await this.#socket.close({ linger: 0 });
    this.#unblocked.end();
  }

  #moved(): void {
    if (!this.#rules.blocked) this.#unblocked.end();
    if (this.#rules.idle) this.#idle.end();
  }

  readonly #owner: ThreadOwner = {
    batchFinished: (shard, messages, first) => {
      this.#rules.finished(shard, messages);
      if (first !== undefined)
        this.events.emit({
          type: "handler:failed",
          shard,
          messages,
          topic: Buffer.from(first.topic),
          error: first.error,
        });
      this.#moved();
    },
    threadCrashed: (shard, error) => {
      this.#hasCrashed = true;
      this.events.emit({ type: "worker:crashed", shard, error });
      this.#idle.end();
      void this.close({ linger: 0 });
    },
  };
}
