/** A Majordomo worker: its connections to brokers, and the requests in its hands. */
import { randomBytes } from "node:crypto";
import { InvalidArgumentError } from "../../core/errors.js";
import { EventStream } from "../../core/event-stream.js";
import type { Raw, Settled } from "../../sockets/shape.js";
import { lingerOf, type PatternCloseOptions } from "./broker.js";
import { dialectOf } from "./client-options.js";
import { MAX_CAPACITY } from "./protocol.js";
import { WorkerConnection } from "./worker-connection.js";
import type { WorkerEvent, WorkerStats } from "./worker-events.js";
import type { MajordomoHandler } from "./worker-handler.js";
import { WorkerJobs } from "./worker-jobs.js";
import { checkedService, type MajordomoWorkerOptions, resolveWorkerSettings } from "./worker-options.js";
import type { SessionOptions } from "./worker-rules.js";
import { WorkerThread } from "./worker-thread.js";

export { checkedService, type MajordomoWorkerOptions } from "./worker-options.js";

/**
 * Offers a service at one or more brokers, to all of them at once: a function that
 * is called with each request, and whose result is the reply.
 *
 * Heartbeats do not wait for the handler, as long as it lets the event loop turn.
 * A handler that throws or rejects gives an error reply, and the worker goes on. An
 * async generator sends each piece as it comes. A plain broker gives one request
 * to each connection, so `concurrency` connections are made to it; shoal's is told
 * the number.
 */
export class MajordomoWorker<Req = Raw, Rep = Raw> {
  /** Brokers that come and go, handlers that fail. */
  readonly events: EventStream<WorkerEvent> = new EventStream<WorkerEvent>();
  /** The service offered. */
  readonly service: string;
  readonly #jobs: WorkerJobs;
  readonly #connections: WorkerConnection[];
  readonly #thread: WorkerThread | undefined;
  readonly #faults = { count: 0 };
  #closing: Promise<void> | undefined;

  /**
   * @param endpoints of one broker or several
   * @param service 1 to 255 bytes, not beginning with `mmi.`
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value
   */
  constructor(
    endpoints: string | readonly string[],
    service: string,
    handler: MajordomoHandler<Settled<Req>, Settled<Rep>>,
    options: MajordomoWorkerOptions<Req, Rep> = {},
  ) {
    const { socketOptions, requestCodec, replyCodec, ...given } = options;
    const all = typeof endpoints === "string" ? [endpoints] : [...endpoints];
    if (all.length === 0) throw new InvalidArgumentError("A worker has at least one broker");
    if (typeof handler !== "function") {
      throw new InvalidArgumentError(`A worker's handler is a function; got ${typeof handler}`);
    }
    const settings = resolveWorkerSettings(given);
    const dialect = dialectOf(settings.protocol);
    const { concurrency, prefetch } = settings;
    this.service = service;
    const session: SessionOptions = {
      ...settings,
      service: checkedService(service),
      concurrency,
      capacity: Math.min(concurrency + prefetch, MAX_CAPACITY),
      name: settings.name === "" ? randomBytes(4).toString("hex") : settings.name,
      dialect,
    };
    const emit = (event: WorkerEvent): void => this.events.emit(event);
    this.#jobs = new WorkerJobs(
      {
        service,
        concurrency,
        prefetch,
        dedupWindow: settings.dedupWindow,
        dedupBytes: settings.dedupBytes,
        maxReplyBytes: settings.maxReplyBytes,
        creditTimeout: settings.creditTimeout,
        requestCodec,
        replyCodec,
      },
      handler as MajordomoHandler<unknown, unknown>,
      emit,
    );
    const shared = { session, socketOptions, jobs: this.#jobs, faults: this.#faults, emit };
    this.#connections = settings.thread
      ? []
      : all.map((endpoint) => new WorkerConnection(endpoint, shared, true));
    if (!settings.thread) return;
    const inThread = { ...given, socketOptions, name: session.name, thread: false };
    const work = {
      service,
      handler: handler as MajordomoHandler<unknown, unknown>,
      requestCodec,
      replyCodec,
      emit,
    };
    this.#thread = new WorkerThread(all, inThread, work);
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** The accounts at this moment. */
  stats(): WorkerStats {
    const stats = {
      ...this.#jobs.counters,
      faults: this.#faults.count,
      running: this.#jobs.running,
      queued: this.#jobs.queued,
      unsentBytes: this.#jobs.unsentBytes,
      brokers: this.#connections.filter((connection) => connection.ready).length,
    };
    return this.#thread === undefined ? stats : this.#thread.stats(stats);
  }

  /**
   * Stops: brokers give nothing new, what has not begun goes back to them, handlers
   * have `linger` ms to end and are aborted then. Closing twice is closing once.
   *
   * @throws ClosedError `EBADF` when the thread of the sockets has failed (`thread`)
   */
  close(options?: PatternCloseOptions): Promise<void> {
    const linger = lingerOf(options);
    this.#closing ??= this.#close(linger);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(linger: number): Promise<void> {
    if (this.#thread !== undefined) {
      await this.#thread.close(linger).finally(() => this.events.close());
      return;
    }
    for (const connection of this.#connections) connection.drain();
    this.#jobs.returnWaiting();
    if (linger !== 0) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        if (linger > 0) timer = setTimeout(resolve, linger);
      });
      await Promise.race([this.#jobs.whenIdle(), late]);
      clearTimeout(timer);
    }
    this.#jobs.abortAll();
    await Promise.all(this.#connections.map((connection) => connection.close(linger)));
    this.events.close();
  }
}
