/** A worker: connections to brokers, each a socket and a timer around worker-rules.ts. */

import crypto from "node:crypto";
import { checkKeys, describe } from "../../core/arguments.js";
import { ClosedError, InvalidArgumentError, type ShoalError } from "../../core/errors.js";
import { checkEndpoint } from "../../core/schemes/schemes.js";
import { DriverTimer } from "../../core/timers.js";
import { type WaitOptions, withTimeout } from "../../core/waiter.js";
import { contractHandler, type ServiceContract } from "../../kit/contract.js";
import { Driver } from "../../kit/driver.js";
import {
  checkSocket,
  Draining,
  EndpointList,
  isPermanent,
  type PatternEndpoints,
} from "../../kit/endpoint-list.js";
import { CLOSE_LINGER } from "../../kit/options.js";
import type { Raw, Settled } from "../../sockets/message.js";
import { Dealer, type DealerOptions } from "../../sockets/request-reply.js";
import { BatchingDealer, takingBatches } from "./batch.js";
import { PROTOCOLS } from "./client-options.js";
import { DIALECT_NAMES, MAX_CAPACITY } from "./protocol.js";
import { WorkerJobs } from "./worker-jobs.js";
import {
  checkedService,
  EVENTS,
  type MajordomoHandler,
  type MajordomoHandlers,
  type MajordomoServeOptions,
  type MajordomoWorkerEvent,
  type MajordomoWorkerOptions,
  type MajordomoWorkerStats,
  SERVE_OPTIONS,
  workerSettings,
} from "./worker-options.js";
import { type SessionEffects, type SessionOptions, WorkerSession } from "./worker-rules.js";

/**
 * Offers a service at one or more brokers: calls a function with each request and sends its result. An error becomes an
 * error reply; an async iterable, such as a generator, sends pieces. A plain broker sends one request at a time.
 * {@link MajordomoClient} has an example.
 */
export class MajordomoWorker<Req = Raw, Rep = Raw> extends Driver<
  MajordomoWorkerEvent,
  MajordomoWorkerStats
> {
  readonly service: string;
  readonly #jobs: WorkerJobs;
  readonly #endpoints: EndpointList;
  #connections: WorkerConnection[];

  /**
   * @param endpoints of brokers, or a source. A removed broker is left when it hangs up or sends no request for 5 s
   * @param service 1 to 255 bytes, not starting with `mmi.`
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value
   */
  constructor(
    endpoints: PatternEndpoints,
    service: string,
    handler: MajordomoHandler<Settled<Req>, Settled<Rep>>,
    options: MajordomoWorkerOptions<Req, Rep> = {},
  ) {
    super("MajordomoWorker", EVENTS, `MajordomoWorker of ${describe(service)}`);
    const settings = workerSettings(options);
    const { requestCodec, replyCodec } = options;
    const { socketOptions } = settings;
    this.#endpoints = new EndpointList("endpoints", endpoints);
    const all = this.#endpoints.current;
    if (typeof handler !== "function") {
      throw new InvalidArgumentError(`A worker's handler must be a function; got ${typeof handler}`);
    }
    // Sockets are created after this turn.
    checkSocket(() => takingBatches(new Dealer(socketOptions)));
    const dialect = PROTOCOLS[settings.protocol];
    const { concurrency, prefetch } = settings;
    this.service = service;
    const session: SessionOptions = {
      ...settings,
      service: checkedService(service),
      capacity: Math.min(concurrency + prefetch, MAX_CAPACITY),
      name: settings.name ?? crypto.randomBytes(4).toString("hex"),
      dialect,
    };
    const emit = (event: MajordomoWorkerEvent): void => {
      if (event.type === "broker:joined") this.reached();
      this.events.emit(event);
    };
    this.#jobs = new WorkerJobs(
      { ...settings, service, requestCodec, replyCodec },
      handler as MajordomoHandler<unknown, unknown>,
      emit,
    );
    const shared = { session, socketOptions, jobs: this.#jobs, emit };
    // So are connections.
    for (const endpoint of all) checkEndpoint(endpoint, "connect");
    this.#connections = all.map((endpoint) => new WorkerConnection(endpoint, shared));
    this.#endpoints.start((list) => this.#follow(list, shared), this.events);
  }

  /**
   * Offers the methods of a contract. A request that violates its schema is refused as `invalid-request`, an unknown
   * method as `no-method`, with the event `request:invalid`. An invalid reply is the event `handler:failed`, and
   * `invalid-reply` at the client.
   *
   * @param handlers a function per method. Methods with `stream` return an async iterable
   * @throws InvalidArgumentError `EINVAL` for missing or additional handlers; otherwise as the constructor
   */
  static serve<C extends ServiceContract>(
    endpoints: PatternEndpoints,
    contract: C,
    handlers: MajordomoHandlers<C>,
    options: MajordomoServeOptions = {},
  ): MajordomoWorker {
    checkKeys("MajordomoWorker.serve", options, SERVE_OPTIONS);
    const handler = contractHandler(contract, handlers);
    return new MajordomoWorker(endpoints, contract.name, handler as unknown as MajordomoHandler, options);
  }

  /**
   * Settles when registered with a broker.
   *
   * @param options `timeout` in ms, default -1: no limit; `signal`
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF`, or `EAGAIN` at close
   *   and while draining
   */
  ready(options?: WaitOptions): Promise<void> {
    const isReady = this.stats().brokers > 0;
    if (this.draining && !isReady) return this.run(async () => this.assertOpen());
    return this.whenReached(isReady, options);
  }

  override stats(): MajordomoWorkerStats {
    return {
      ...this.#jobs.counters,
      running: this.#jobs.running,
      queued: this.#jobs.queued,
      unsentBytes: this.#jobs.unsentBytes,
      brokers: this.#connections.filter((connection) => connection.ready).length,
    };
  }

  /** A removed broker may still need workers for its queue. */
  #follow(list: readonly string[], shared: Shared): void {
    if (this.stopping) return;
    const wanted = new Set(list);
    this.#connections = this.#connections.filter(({ ended }) => !ended);
    for (const connection of this.#connections) {
      if (wanted.delete(connection.endpoint)) connection.stay();
      else connection.leave();
    }
    for (const endpoint of wanted) {
      this.#connections.push(new WorkerConnection(endpoint, shared));
    }
  }

  /** Returns waiting requests, and waits for running handlers. */
  protected override async onDrain(): Promise<void> {
    this.#endpoints.stop();
    this.neverReached(new ClosedError("EAGAIN", "MajordomoWorker drains while the call waits"));
    for (const connection of this.#connections) connection.drain();
    this.#jobs.returnWaiting();
    await this.#jobs.whenIdle();
  }

  /** Like `drain`; handlers are aborted after `linger` ms. */
  protected override async onClose(linger: number): Promise<void> {
    this.#endpoints.stop();
    for (const connection of this.#connections) connection.drain();
    this.#jobs.returnWaiting();
    if (linger !== 0) await withTimeout(this.#jobs.whenIdle(), linger);
    this.#jobs.abort();
    await Promise.all(this.#connections.map((connection) => connection.close(linger)));
  }
}

export interface Shared {
  readonly session: SessionOptions;
  readonly socketOptions: DealerOptions | undefined;
  readonly jobs: WorkerJobs;
  readonly emit: (event: MajordomoWorkerEvent) => void;
}

export class WorkerConnection {
  readonly endpoint: string;
  readonly #shared: Shared;
  readonly #session: WorkerSession;
  readonly #timer: DriverTimer;
  #socket: BatchingDealer<"worker"> | undefined;
  #closed = false;
  readonly #draining = new Draining(
    () => this.#session.inFlight > 0,
    () => void this.close(CLOSE_LINGER),
  );
  /** Arrival of the current messages. */
  #receivedAt = Number.MIN_VALUE;

  constructor(endpoint: string, shared: Shared) {
    this.endpoint = endpoint;
    this.#shared = shared;
    this.#timer = new DriverTimer(shared.session.heartbeatInterval);
    const effects: SessionEffects = {
      open: () => this.#open(),
      close: () => void this.#end(0),
      send: (message) => {
        // Queued messages prove liveness as well, and leave earlier.
        if (message.kind !== "heartbeat" || this.#socket?.waiting === 0) this.#socket?.send(message);
      },
      reply: (message) => this.#socket?.send(message) ?? true,
      start: (delivery) => {
        delivery.receivedAt = this.#receivedAt;
        this.#draining.onRequest();
        shared.jobs.start(this.#session, delivery);
      },
      cancel: (tag) => shared.jobs.cancel(this.#session, tag),
      credit: (tag, bytes) => shared.jobs.credit(this.#session, tag, bytes),
      joined: (dialect) => shared.emit({ type: "broker:joined", endpoint, dialect: DIALECT_NAMES[dialect] }),
      left: (reason, retryIn) => this.#left(reason, retryIn),
      fault: () => this.#fault(),
    };
    this.#session = new WorkerSession(shared.session, effects, Math.random);
    // After this turn, so that the program can listen to the first event.
    queueMicrotask(() => {
      if (this.#closed) return;
      this.#session.start(this.#timer.now());
      this.#timer.start(this.#session);
    });
  }

  get ready(): boolean {
    return this.#session.ready;
  }

  get ended(): boolean {
    return this.#closed;
  }

  /** Leaves the broker when it hangs up or is quiet for a while. */
  leave(): void {
    if (this.#draining.hasStarted || this.#closed) return;
    if (this.ready) this.#draining.start();
    else void this.close(0);
  }

  stay(): void {
    this.#draining.cancel();
  }

  drain(): void {
    this.#session.drain();
  }

  async close(linger: number): Promise<void> {
    this.#closed = true;
    this.#draining.cancel();
    this.#session.end();
    this.#shared.jobs.abandon(this.#session);
    this.#timer.stop();
    await this.#end(linger === 0 ? 0 : CLOSE_LINGER);
  }

  /** @param linger ms for queued messages */
  async #end(linger: number): Promise<void> {
    const socket = this.#socket;
    this.#socket = undefined;
    await socket?.close(linger);
  }

  #open(): boolean {
    try {
      this.#socket = new BatchingDealer("worker", this.endpoint, this.#shared.socketOptions, {
        arrived: (read) => {
          const now = this.#timer.now();
          this.#receivedAt = now + this.#timer.stalled;
          read((message) => this.#session.receive(message, now));
          if (!this.#closed) this.#timer.update();
        },
        ended: () => this.#timer.run((now) => this.#session.disconnected(now)),
      });
      return true;
    } catch (error) {
      this.#shared.emit({ type: "endpoint:refused", endpoint: this.endpoint, error: error as ShoalError });
      if (isPermanent(error as ShoalError)) void this.close(0);
      return false;
    }
  }

  #left(reason: "disconnect" | "expired" | "lost", retryIn: number): void {
    this.#shared.jobs.abandon(this.#session);
    // Deferred: the rules are in the middle of a call.
    if (this.#draining.hasStarted) queueMicrotask(() => void this.close(0));
    this.#shared.emit({ type: "broker:left", endpoint: this.endpoint, reason, retryIn });
  }

  #fault(): void {
    this.#shared.jobs.counters.faults += 1;
    this.#shared.emit({ type: "peer:invalid", endpoint: this.endpoint });
  }
}
