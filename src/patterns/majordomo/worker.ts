/** A Majordomo worker: its connections to brokers, around worker-rules.ts and worker-jobs.ts. */
import { randomBytes } from "node:crypto";
import { InvalidArgumentError } from "../../core/errors.js";
import type { Codec } from "../../sockets/codec.js";
import { Dealer, type DealerOptions } from "../../sockets/request-reply.js";
import type { Raw, Settled } from "../../sockets/shape.js";
import { DriverTimer } from "../common/driver-timer.js";
import { PatternEvents } from "../common/events.js";
import { lingerOf, type PatternCloseOptions } from "./broker.js";
import { resolve } from "./broker-options.js";
import type { Frames } from "./messages-broker.js";
import { Dialect, MAX_CAPACITY, MAX_SERVICE_NAME, RESERVED_PREFIX } from "./protocol.js";
import { parseAtWorker } from "./protocol-worker.js";
import type { WorkerEvent, WorkerStats } from "./worker-events.js";
import { type MajordomoHandler, WorkerJobs } from "./worker-jobs.js";
import { type SessionOptions, type SessionOutbox, WorkerSession } from "./worker-rules.js";

/** Messages taken from the socket at once. */
const BATCH = 512;

/** ms that the last messages have to leave. */
const LAST_WORDS = 1_000;

const DEFAULTS = Object.freeze({
  concurrency: 1,
  protocol: "auto",
  name: "",
  heartbeatInterval: 2_500,
  liveness: 3,
  reconnectInterval: 250,
  reconnectMaxInterval: 32_000,
  dedupWindow: 10_000,
  dedupBytes: 16_777_216,
});

const DIALECT_NAMES = { [Dialect.Mdp01]: "0.1", [Dialect.Mdp02]: "0.2", [Dialect.Shoal]: "shoal" } as const;

/** Options of {@link MajordomoWorker}. Times are in ms. */
export interface MajordomoWorkerOptions<Req = Raw, Rep = Raw> {
  /** Requests handled at once, 1 to 65,535. Default 1. */
  readonly concurrency?: number;
  /**
   * `"auto"` asks the broker whether it knows shoal's own form, and else speaks MDP 0.1; `"0.1"` and `"0.2"`
   * do not ask. A broker that knows MDP 0.2 only has to be named so. Default `"auto"`.
   */
  readonly protocol?: "auto" | "0.1" | "0.2";
  /** What the worker is called in the broker's events and by request-many. Default: 8 hexadecimal digits by chance. */
  readonly name?: string;
  /** ms between two HEARTBEATs. Default 2,500. */
  readonly heartbeatInterval?: number;
  /** Intervals of a broker's silence after which it is taken for dead. Default 3. */
  readonly liveness?: number;
  /** ms, at most, until the worker comes back to a broker that it lost; doubled each time. Default 250. */
  readonly reconnectInterval?: number;
  /** Where the doubling ends. Default 32,000. */
  readonly reconnectMaxInterval?: number;
  /** Request ids remembered, so that a repetition does not reach the handler. Default 10,000; 0: none. */
  readonly dedupWindow?: number;
  /** Bytes of replies remembered for repetitions. Default 16 MiB. */
  readonly dedupBytes?: number;
  /** Decodes a request, of one frame. Default: frames as they are. */
  readonly requestCodec?: Codec<Req>;
  /** Encodes a reply, as one frame. Default: frames as they are. */
  readonly replyCodec?: Codec<Rep>;
  /** Options of the DEALERs: security, context, high-water marks. */
  readonly socketOptions?: DealerOptions;
}

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
  readonly events: PatternEvents<WorkerEvent> = new PatternEvents<WorkerEvent>();
  /** The service offered. */
  readonly service: string;
  readonly #jobs: WorkerJobs;
  readonly #connections: Connection[];
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
    const settings = resolve(DEFAULTS, given, "MajordomoWorker");
    const dialect = dialectOf(settings.protocol);
    const { concurrency } = settings;
    if (concurrency < 1 || concurrency > MAX_CAPACITY) {
      throw new InvalidArgumentError(`concurrency is from 1 to ${MAX_CAPACITY}; got ${concurrency}`);
    }
    this.service = service;
    const session: SessionOptions = {
      ...settings,
      service: checkedService(service),
      capacity: concurrency,
      name: settings.name === "" ? randomBytes(4).toString("hex") : settings.name,
      dialect,
    };
    const emit = (event: WorkerEvent): void => this.events.emit(event);
    this.#jobs = new WorkerJobs(
      {
        service,
        concurrency,
        dedupWindow: settings.dedupWindow,
        dedupBytes: settings.dedupBytes,
        requestCodec,
        replyCodec,
      },
      handler as MajordomoHandler<unknown, unknown>,
      emit,
    );
    const shared = { session, socketOptions, jobs: this.#jobs, faults: this.#faults, emit };
    this.#connections = all.map((endpoint) => new Connection(endpoint, shared, true));
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** The accounts at this moment. */
  stats(): WorkerStats {
    return {
      ...this.#jobs.counters,
      faults: this.#faults.count,
      running: this.#jobs.running,
      queued: this.#jobs.queued,
      brokers: this.#connections.filter((connection) => connection.ready).length,
    };
  }

  /**
   * Stops: brokers give nothing new, what has not begun goes back to them, handlers
   * have `linger` ms to end and are aborted then. Closing twice is closing once.
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

function dialectOf(protocol: string): Dialect | undefined {
  switch (protocol) {
    case "auto":
      return undefined;
    case "0.1":
      return Dialect.Mdp01;
    case "0.2":
      return Dialect.Mdp02;
    default:
      throw new InvalidArgumentError(`protocol is "auto", "0.1" or "0.2"; got ${JSON.stringify(protocol)}`);
  }
}

/** The name as bytes. @throws InvalidArgumentError `EINVAL` for one that no service can have */
export function checkedService(service: string): Buffer {
  const frame = Buffer.from(service);
  if (frame.length === 0 || frame.length > MAX_SERVICE_NAME) {
    throw new InvalidArgumentError(
      `A service's name has 1 to ${MAX_SERVICE_NAME} bytes; got ${frame.length}`,
    );
  }
  if (service.startsWith(RESERVED_PREFIX)) {
    throw new InvalidArgumentError(`Services ${RESERVED_PREFIX}* are the broker's own; got ${service}`);
  }
  return frame;
}

interface Shared {
  readonly session: SessionOptions;
  readonly socketOptions: DealerOptions | undefined;
  readonly jobs: WorkerJobs;
  readonly faults: { count: number };
  readonly emit: (event: WorkerEvent) => void;
}

/** One registration at one broker: a socket and a timer around a session. */
class Connection {
  readonly #endpoint: string;
  readonly #shared: Shared;
  readonly #first: boolean;
  readonly #session: WorkerSession;
  readonly #timer: DriverTimer;
  /** The further connections to a plain broker. */
  #others: Connection[] = [];
  #dealer: Dealer | undefined;
  #closed = false;

  constructor(endpoint: string, shared: Shared, first: boolean) {
    this.#endpoint = endpoint;
    this.#shared = shared;
    this.#first = first;
    this.#timer = new DriverTimer(shared.session.heartbeatInterval);
    const outbox: SessionOutbox = {
      open: () => this.#open(),
      close: () => this.#disconnect(),
      send: (message) => this.#send(message),
      start: (delivery) => shared.jobs.start(this.#session, delivery),
      cancel: (tag) => shared.jobs.cancel(this.#session, tag),
      joined: (dialect) => this.#joined(dialect),
      left: (reason, retryIn) => this.#left(reason, retryIn),
      fault: () => this.#fault(),
    };
    this.#session = new WorkerSession(shared.session, outbox, Math.random);
    // After this turn, so that who makes a worker can listen to its first event.
    queueMicrotask(() => {
      if (this.#closed) return;
      this.#session.start(this.#timer.now());
      this.#timer.start(this.#session);
    });
  }

  get ready(): boolean {
    return this.#session.ready;
  }

  drain(): void {
    this.#session.drain();
    for (const other of this.#others) other.drain();
  }

  async close(linger: number): Promise<void> {
    this.#closed = true;
    this.#session.end();
    this.#timer.stop();
    const dealer = this.#dealer;
    this.#dealer = undefined;
    const last = linger === 0 ? 0 : LAST_WORDS;
    await Promise.all([dealer?.close({ linger: last }), ...this.#others.map((other) => other.close(linger))]);
  }

  #open(): void {
    const dealer = new Dealer({ ...this.#shared.socketOptions });
    dealer.connect(this.#endpoint);
    this.#dealer = dealer;
    void this.#receive(dealer);
  }

  #disconnect(): void {
    void this.#dealer?.close({ linger: 0 });
    this.#dealer = undefined;
  }

  #send(message: Frames): void {
    const dealer = this.#dealer;
    if (dealer === undefined || dealer.trySend(message)) return;
    // Waits for room, in order; what waits when the connection is given up is of no use any more.
    dealer.send(message).catch(() => undefined);
  }

  #joined(dialect: Dialect): void {
    if (!this.#first) return;
    this.#shared.emit({ type: "broker:join", endpoint: this.#endpoint, dialect: DIALECT_NAMES[dialect] });
    const { capacity } = this.#shared.session;
    const wanted = dialect === Dialect.Shoal ? 0 : capacity - 1;
    for (const other of this.#others.splice(wanted)) void other.close(0);
    const shared = { ...this.#shared, session: { ...this.#shared.session, dialect } };
    while (this.#others.length < wanted) {
      this.#others.push(new Connection(this.#endpoint, shared, false));
    }
  }

  #left(reason: "disconnect" | "expired", retryIn: number): void {
    this.#shared.jobs.abandon(this.#session);
    if (this.#first) this.#shared.emit({ type: "broker:leave", endpoint: this.#endpoint, reason, retryIn });
  }

  #fault(): void {
    this.#shared.faults.count += 1;
    this.#shared.emit({ type: "peer:fault", endpoint: this.#endpoint });
  }

  async #receive(dealer: Dealer): Promise<void> {
    try {
      for (;;) {
        const messages = await dealer.receiveMany({ max: BATCH, timeout: -1 });
        const now = this.#timer.now();
        for (const message of messages) {
          // A message may end the connection that it came over.
          if (this.#dealer !== dealer) return;
          this.#session.receive(parseAtWorker(message), now);
        }
        if (!this.#closed) this.#timer.update();
      }
    } catch (error) {
      if (!dealer.closed) throw error;
    }
  }
}
