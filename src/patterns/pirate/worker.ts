/** Connections to queues around worker-rules.ts, and a handler. */

import { ClosedError, type ShoalError } from "../../core/errors.js";
import { DriverTimer } from "../../core/timers.js";
import { IdleWaits, withTimeout } from "../../core/waiter.js";
import type { BodyFor, BodyOf } from "../../kit/body.js";
import { Driver, type PatternWaitOptions } from "../../kit/driver.js";
import { Draining, EndpointList, type PatternEndpoints } from "../../kit/endpoint-list.js";
import { failureReply, lateError } from "../../kit/errors.js";
import { type HandlerJob, HandlerJobs, type RequestJob } from "../../kit/handler-runtime.js";
import { CLOSE_LINGER, checkOptions, type GivenWithCodecs, type Settings } from "../../kit/options.js";
import { connected, SendQueue } from "../../kit/sockets.js";
import {
  addressedFrames,
  type Dialect,
  heartbeatFrames,
  parseFromQueue,
  readyFrames,
} from "../../kit/worker-protocol.js";
import type { Raw } from "../../sockets/message.js";
import { Dealer } from "../../sockets/request-reply.js";
import { CORE } from "../../sockets/socket.js";
import {
  OPTIONS,
  type PirateWorkerEvent,
  type PirateWorkerStats,
  WORKER_EVENTS,
  type WorkerCounts,
  type WorkerEffects,
  WorkerRules,
  workerCounts,
} from "./worker-rules.js";

/** Times in ms. */
export type PirateWorkerOptions<Req = Raw, Rep = Raw> = GivenWithCodecs<typeof OPTIONS, Req, Rep>;

/**
 * An error becomes an error reply, with its message if it is a `ServiceError` or has `expose: true`. `signal` is a
 * getter, which a copy by `{ ...context }` does not have.
 */
export type PirateHandler<Req = Raw, Rep = Raw> = (
  request: BodyOf<Req>,
  context: { readonly signal: AbortSignal },
) => BodyFor<Rep> | Promise<BodyFor<Rep>>;

/**
 * A handler behind one or more queues. It starts at once and survives the loss of queues until closed.
 *
 * A request may be handled twice, when a client retried or a queue considered a worker lost.
 * {@link PirateQueue} has an example.
 */
export class PirateWorker<Req = Raw, Rep = Raw> extends Driver<PirateWorkerEvent, PirateWorkerStats> {
  readonly #endpoints: EndpointList;
  #connections: Connection[];
  readonly #counts = workerCounts();

  /**
   * @param endpoints of the queues' worker side; or a source: the worker leaves a removed queue when it hangs up or
   *   has sent no request for 5 s
   * @throws InvalidArgumentError `EINVAL` for an unknown option, a bad value or a bad endpoint
   */
  constructor(
    endpoints: PatternEndpoints,
    handler: PirateHandler<Req, Rep>,
    options: PirateWorkerOptions<Req, Rep> = {},
  ) {
    super("PirateWorker", WORKER_EVENTS);
    const settings = checkOptions("PirateWorker", OPTIONS, options);
    this.#endpoints = new EndpointList("PirateWorker", endpoints, {
      socket: () => new Dealer(settings.socketOptions),
    });
    const jobs = new PirateJobs(
      handler,
      { ...settings, maxInFlight: Number.POSITIVE_INFINITY },
      {
        emit: (event) => {
          this.#counts.failed += 1;
          this.events.emit(event as PirateWorkerEvent);
        },
        reply: ({ connection, address }, body) => connection.reply(address, body),
        refuse: ({ connection, address }, failure) => connection.finish(address, failureReply(failure)),
      },
    );
    const shared: Shared = {
      options: settings,
      counts: this.#counts,
      jobs,
      joined: () => this.reached(),
      emit: (event) => this.events.emit(event),
    };
    const connectionsTo = (endpoint: string, had = 0): Connection[] =>
      Array.from({ length: settings.concurrency - had }, () => new Connection(endpoint, shared));
    this.#connections = this.#endpoints.current.flatMap((endpoint) => connectionsTo(endpoint));
    try {
      for (const connection of this.#connections) connection.start();
    } catch (error) {
      for (const connection of this.#connections) void connection.close(0);
      throw error;
    }
    this.#endpoints.start((list) => this.#follow(list, connectionsTo), this.events);
  }

  /** A removed queue may still need workers for its queued requests. */
  #follow(list: readonly string[], connectionsTo: (endpoint: string, had: number) => Connection[]): void {
    if (this.stopping) return;
    const wanted = new Set(list);
    this.#connections = this.#connections.filter(({ ended }) => !ended);
    for (const connection of this.#connections) {
      if (wanted.has(connection.endpoint)) connection.stay();
      else connection.leave();
    }
    for (const endpoint of list) {
      const made = connectionsTo(
        endpoint,
        this.#connections.filter((one) => one.endpoint === endpoint).length,
      );
      if (made.length === 0) continue;
      const isMade = this.#endpoints.connect(endpoint, () => {
        for (const connection of made) connection.start();
      });
      if (isMade) this.#connections.push(...made);
      else for (const connection of made) void connection.close(0);
    }
  }

  /**
   * Settles when a queue is connected.
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF`, `EAGAIN`
   */
  ready(options: PatternWaitOptions = {}): Promise<void> {
    if (this.draining) return this.run(async () => this.assertOpen());
    return this.whenReached(
      this.#connections.some(({ isJoined }) => isJoined),
      options,
      () => {
        const failures = this.#connections.map(({ lastFailure }) => lastFailure);
        const text = `No queue was connected within ${options.timeout} ms`;
        return lateError(text, this.#endpoints.current, failures.find(Boolean));
      },
    );
  }

  stats(): PirateWorkerStats {
    return { ...this.#counts };
  }

  /** @internal Leaves each queue after the answer to its request: it would give an idle worker the next. */
  protected override async onDrain(): Promise<void> {
    this.#endpoints.stop();
    this.neverReached(new ClosedError("EAGAIN", "PirateWorker drains while the call waits"));
    await Promise.all(this.#connections.map((connection) => connection.close(-1)));
  }

  /** @internal After `linger` the handlers' signals are aborted. */
  protected async onClose(linger: number): Promise<void> {
    this.#endpoints.stop();
    await Promise.all(this.#connections.map((connection) => connection.close(linger)));
  }
}

interface Shared {
  readonly options: Settings<typeof OPTIONS>;
  readonly counts: WorkerCounts;
  readonly jobs: PirateJobs;
  joined(): void;
  emit(event: PirateWorkerEvent): void;
}

interface PirateRequest {
  readonly connection: Connection;
  readonly address: Buffer;
}

class PirateJobs extends HandlerJobs<PirateRequest> {
  /** Here a body that the codec refuses is a failure, too. */
  protected override report(job: RequestJob<PirateRequest>, error: unknown): void {
    super.report(job, error, false);
  }
}

/** A connection with at most one request. */
class Connection {
  readonly endpoint: string;
  ended = false;
  isJoined = false;
  readonly #shared: Shared;
  readonly #draining: Draining;
  readonly #dialect: Dialect;
  readonly #timer: DriverTimer;
  readonly #rules: WorkerRules;
  #isStarted = false;
  #hadRequest = false;
  #dealer: Dealer | undefined;
  #queue: SendQueue | undefined;
  #job: HandlerJob | undefined;
  readonly #free = new IdleWaits();

  constructor(endpoint: string, shared: Shared) {
    const { options, counts } = shared;
    this.endpoint = endpoint;
    this.#shared = shared;
    this.#dialect = options.dialect;
    this.#timer = new DriverTimer(options.heartbeatInterval);
    const effects: WorkerEffects = {
      open: () => {
        try {
          this.#open();
        } catch (error) {
          if (!this.#isStarted) throw error;
          // The queue appears silent, and the rules retry.
          shared.emit({ type: "endpoint:refused", endpoint, error: error as ShoalError });
        }
      },
      abandon: () => {
        void this.#dealer?.close({ linger: 0 });
        this.#queue = undefined;
        this.#dealer = undefined;
      },
      ready: () => this.#send(readyFrames(this.#dialect)),
      heartbeat: () => {
        // Queued messages prove liveness as well.
        if (this.#queue?.length === 0) this.#send(heartbeatFrames());
      },
      handle: (address, body) => {
        this.#draining.onRequest();
        this.#hadRequest = true;
        const job = shared.jobs.start(address, { connection: this, address }, body);
        if (this.#rules.working) this.#job = job;
      },
      reply: (address, body) => this.#send(addressedFrames(this.#dialect, address, body)),
      event: (event) => shared.emit(event),
    };
    this.#rules = new WorkerRules(options, effects, Math.random, counts);
    this.#draining = new Draining(
      () => this.#rules.working,
      () => void this.close(0),
    );
  }

  leave(): void {
    if (!this.ended) this.#draining.start();
  }

  stay(): void {
    this.#draining.cancel();
  }

  start(): void {
    this.#rules.start(this.#timer.now());
    this.#isStarted = true;
    this.#timer.start(this.#rules);
  }

  get lastFailure(): ShoalError | undefined {
    return this.#dealer?.[CORE].events.lastFailure;
  }

  /** @param linger ms for the current request; -1: no limit */
  async close(linger: number): Promise<void> {
    this.ended = true;
    this.#draining.cancel();
    await withTimeout(this.#free.wait(!this.#rules.working), linger);
    this.#job?.abort();
    this.#rules.close();
    this.#free.end();
    this.#timer.stop();
    // Without a request only READY and heartbeats are queued.
    const last = this.#hadRequest ? (linger < 0 ? CLOSE_LINGER : linger) : 0;
    await this.#dealer?.close({ linger: last });
  }

  /** Messages to the old routing id are lost. */
  #open(): void {
    const { socketOptions } = this.#shared.options;
    const dealer = connected(new Dealer({ ...socketOptions, receiveTimeout: -1 }), this.endpoint);
    this.#dealer = dealer;
    this.#queue = new SendQueue(dealer);
    this.isJoined = false;
    dealer.events.on("peer:leave", () => {
      if (this.#dealer !== dealer) return;
      this.isJoined = false;
      this.#rules.disconnected();
      if (this.#draining.hasStarted) setImmediate(() => void this.close(0));
    });
    dealer.events.on("peer:join", () => {
      if (this.#dealer !== dealer) return;
      this.isJoined = true;
      this.#shared.joined();
      this.#timer.run((now) => this.#rules.connected(now));
    });
    void this.#read(dealer);
  }

  async #read(dealer: Dealer): Promise<void> {
    for await (const frames of dealer) {
      if (this.#dealer !== dealer) return;
      this.#rules.receive(parseFromQueue(frames, this.#dialect), this.#timer.now());
      this.#timer.update();
    }
  }

  /** Queued messages are dropped with the socket of a silent queue. */
  #send(frames: Buffer[]): void {
    try {
      this.#queue?.send(frames);
    } catch {
      // The address leaves no room for an error: the queue takes this for a restart, and gives the request to another.
      this.#queue?.send(readyFrames(this.#dialect));
    }
  }

  /** @throws InvalidArgumentError `EINVAL` for a reply that the socket refuses */
  reply(address: Buffer, body: Buffer[]): boolean {
    this.#queue?.check(addressedFrames(this.#dialect, address, body));
    this.finish(address, body);
    return true;
  }

  finish(address: Buffer, body: Buffer[]): void {
    this.#job = undefined;
    this.#timer.run((now) => this.#rules.finished(address, body, now));
    this.#free.end();
  }
}
