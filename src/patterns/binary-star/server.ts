/**
 * Server as half of a pair, and its clients. The server is a ROUTER behind the gate of a Binary Star, and a handler.
 *
 *   client REQ or DEALER  ── envelope | "" | body ──>  ROUTER ─ gate ─> handler
 *                         <── envelope | "" | reply ──
 *
 * After a break of the service no reply is sent: the other server does not know the request's effects. A passive server
 * is silent, for `attemptTimeout` of a client; a lost connection ends an attempt at once.
 */
import { quoted } from "../../core/arguments.js";
import { InvalidArgumentError, InvalidStateError } from "../../core/errors.js";
import type { EventsOf } from "../../core/event-stream.js";
import { withTimeout } from "../../core/waiter.js";
import { BodyShape } from "../../kit/body.js";
import { Driver, type PatternWaitOptions } from "../../kit/driver.js";
import { errorReply, failureReply, parseErrorReply } from "../../kit/errors.js";
import {
  HANDLER_EVENTS,
  HANDLER_OPTIONS,
  HandlerJobs,
  type RequestHandler,
} from "../../kit/handler-runtime.js";
import {
  checkEndpoint,
  checkOptions,
  codec,
  type Given,
  type GivenWithCodec,
  integer,
  object,
} from "../../kit/options.js";
import { RequestClient, requestClientOptions } from "../../kit/request-client.js";
import { OpenedSockets } from "../../kit/sockets.js";
import { type EndpointSource, isEndpointSource } from "../../sockets/endpoint-source.js";
import { Envelope } from "../../sockets/envelope.js";
import { endpointsOf } from "../../sockets/internal.js";
import type { Raw } from "../../sockets/message.js";
import { Router } from "../../sockets/request-reply.js";
import type { BINARY_STAR_SERVER } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import { BinaryStarGate, GATE_EVENTS } from "./gate.js";
import {
  BINARY_STAR_EVENTS,
  BinaryStar,
  type BinaryStarEvent,
  type BinaryStarOptions,
  type BinaryStarStats,
} from "./star.js";

const OPTIONS = { ...HANDLER_OPTIONS, star: object<BinaryStarOptions>() };

export type BinaryStarServerOptions<T = Raw> = GivenWithCodec<typeof OPTIONS, T> & {
  /** The pair: role and peer. */
  readonly star: BinaryStarOptions;
};

const HAND_OVER_OPTIONS = {
  /** ms for requests in flight; -1: no limit. Default 5,000. */
  timeout: integer({ default: 5_000, min: -1 }),
};

export type BinaryStarHandOverOptions = Given<typeof HAND_OVER_OPTIONS>;

export type BinaryStarSide = "clients" | "state";

/** Bound endpoints, wildcards filled in. */
export interface BinaryStarEndpoints {
  readonly clients: readonly string[];
  /** At most one. */
  readonly state: readonly string[];
}

const EVENTS = { ...BINARY_STAR_EVENTS, ...GATE_EVENTS, ...HANDLER_EVENTS };

export type BinaryStarServerEvent = EventsOf<typeof EVENTS>;

export type BinaryStarServerStats = StatisticsOf<typeof BINARY_STAR_SERVER> & {
  readonly star: BinaryStarStats;
};

/** A client's request, and when it was taken. */
interface Taken {
  readonly envelope: Envelope;
  readonly term: number;
}

/**
 * Answers clients (REQ, DEALER) with a handler while this half of the pair is active. A reply is sent only if it was
 * active without a break since the request.
 *
 * @example
 * ```ts
 * import { BinaryStarClient, BinaryStarServer } from "shoal/binary-star";
 *
 * const server = new BinaryStarServer(([word]) => `${word}!`, {
 *   star: { role: "primary", peer: "tcp://127.0.0.1:5604", heartbeatInterval: 100 },
 * });
 * const clients = await server.bind("clients", "tcp://127.0.0.1:*");
 * await server.bind("state", "tcp://127.0.0.1:*"); // The pair begins here.
 * const client = new BinaryStarClient([clients, "tcp://127.0.0.1:5605"]); // Primary and backup.
 * console.log(String(await client.request("hello"))); // hello!
 * await client.close();
 * await server.close();
 * ```
 */
export class BinaryStarServer<T = Raw> extends Driver<BinaryStarServerEvent, BinaryStarServerStats> {
  readonly star: BinaryStar;
  readonly #router: Router;
  readonly #gate: BinaryStarGate;
  readonly #jobs: HandlerJobs<Taken>;
  #handingOver = false;
  readonly #repliesDropped = { notServing: 0, unroutable: 0 };

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(handler: RequestHandler<NoInfer<T>>, options: BinaryStarServerOptions<T>) {
    super("BinaryStarServer", EVENTS);
    const settings = checkOptions("BinaryStarServer", OPTIONS, options);
    const { star, socketOptions } = settings;
    if (star === undefined)
      throw new InvalidArgumentError("BinaryStarServer needs the option star: role and peer");
    this.#jobs = new HandlerJobs(handler, settings, {
      emit: (event) => this.events.emit(event),
      reply: (request, body) => this.#send(request, body),
      refuse: (request, failure) => this.#refuse(request, failureReply(failure)),
    });
    const sockets = new OpenedSockets();
    this.star = sockets.open(() => new BinaryStar(star));
    const routerOptions = { linger: 0, mandatory: true, ...socketOptions, receiveTimeout: -1 };
    this.#router = sockets.open(() => new Router(routerOptions));
    for (const type of Object.keys(BINARY_STAR_EVENTS) as BinaryStarEvent["type"][])
      this.star.events.on(type, this.#starOnEvent);
    this.#gate = new BinaryStarGate(this.star);
    this.#gate.events.on("request:dropped", (event) => this.events.emit(event));
    this.#gate.passTo((message) => this.#take(message));
    void this.#read();
  }

  get endpoints(): BinaryStarEndpoints {
    const { endpoint } = this.star;
    return { clients: endpointsOf(this.#router).bound, state: endpoint === null ? [] : [endpoint] };
  }

  /**
   * Binds `clients`, at any number of endpoints, or `state`, at one, which starts the pair: bind it last.
   * @returns the endpoint, wildcards filled in
   * @throws InvalidArgumentError `EINVAL` for a bad side or endpoint; InvalidStateError `EFSM` when `state` is already
   *   bound; ClosedError `EBADF`; TransportError as a socket's `bind`
   */
  async bind(side: BinaryStarSide, endpoint: string): Promise<string> {
    this.assertOpen();
    checkEndpoint("endpoint", endpoint, "bind");
    if (side === "state") return this.star.bind(endpoint);
    if (side !== "clients")
      throw new InvalidArgumentError(`A side must be "clients" or "state"; got ${quoted(side)}`);
    return this.#router.bind(endpoint);
  }

  /**
   * Settles when this server is active or passive.
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF`, `EAGAIN`
   */
  async ready(options: PatternWaitOptions = {}): Promise<void> {
    this.assertOpen();
    return this.star.ready(options);
  }

  /**
   * Refuses new requests, finishes those in flight within `timeout` ms, then hands over to the passive peer.
   * @throws InvalidStateError `EFSM` when this server is not active, or has no passive peer; InvalidArgumentError
   *   `EINVAL`; ClosedError `EBADF`, `EAGAIN`
   */
  async handOver(options: BinaryStarHandOverOptions = {}): Promise<void> {
    this.assertOpen();
    const { timeout } = checkOptions("BinaryStarServer.handOver", HAND_OVER_OPTIONS, options);
    if (this.star.state !== "active" || this.star.stats().peer !== "passive")
      throw new InvalidStateError("EFSM", "Only the active server of a pair can hand over, to a passive one");
    this.#handingOver = true;
    try {
      await withTimeout(this.#jobs.whenIdle(), timeout);
      this.star.handOver();
    } finally {
      this.#handingOver = false;
    }
  }

  stats(): BinaryStarServerStats {
    const { replied, failed, invalid } = this.#jobs.counts;
    return {
      ...this.#gate.stats(),
      replied,
      failed,
      invalid,
      star: this.star.stats(),
      inFlight: this.#jobs.running,
      repliesDropped: { ...this.#repliesDropped },
    };
  }

  /** @internal */
  protected override async onDrain(): Promise<void> {
    await this.#gate.drain();
    await this.#jobs.whenIdle();
  }

  /** @internal */
  protected async onClose(linger: number): Promise<void> {
    await withTimeout(this.#jobs.whenIdle(), linger);
    this.#jobs.abort();
    await this.star.close();
    await this.#router.close({ linger });
    await this.#gate.close();
  }

  async #read(): Promise<void> {
    for await (const message of this.#router) if (this.#gate.admit(message, true)) this.#take(message);
  }

  #take(message: Buffer[]): void {
    if (this.stopping || this.#handingOver) {
      this.#repliesDropped.notServing += 1;
      return;
    }
    let request: { envelope: Envelope; body: Buffer[] };
    try {
      request = Envelope.parse(message);
    } catch {
      this.#jobs.malformed(message.length);
      return;
    }
    const { envelope, body } = request;
    const taken = { envelope, term: this.star.term };
    if (body.length === 0) this.#jobs.malformed(message.length);
    else if (this.#jobs.hasSlot) this.#jobs.start(envelope.routingId, taken, body);
    else {
      this.#jobs.counts.failed += 1;
      void this.#refuse(taken, errorReply("overloaded"));
    }
  }

  async #refuse(request: Taken, reply: Buffer[]): Promise<void> {
    try {
      await this.#send(request, reply);
    } catch (error) {
      this.events.emit({ type: "handler:failed", error });
    }
  }

  /** @returns whether it was sent */
  async #send({ envelope, term }: Taken, reply: Buffer[]): Promise<boolean> {
    // A blocking handler causes a doubt; the reply waits for its end.
    if (!(await this.star.whenCertain()) || this.star.term !== term) {
      this.#repliesDropped.notServing += 1;
      return false;
    }
    if (this.#router.tryDeliver(envelope.wrap(reply)) === "sent") return true;
    this.#repliesDropped.unroutable += 1;
    return false;
  }

  #starOnEvent = (event: BinaryStarEvent): void => {
    // A doubt may end without a take-over.
    if (event.type === "state:changed" && event.reason !== "stalled" && event.state !== "active")
      this.#jobs.abort();
    this.events.emit(event);
  };
}

// --- Client ----------------------------------------------------------------------------------------------------------

const CLIENT_OPTIONS = {
  ...requestClientOptions({ timeout: 30_000, attemptTimeout: 1_000, retryDelay: 50, maxRetryDelay: 1_000 }),
  codec: codec(),
};

/**
 * Options of a pair's client. Times in ms; defaults: `timeout` 30,000, `attemptTimeout` 1,000, `retryDelay` 50,
 * `maxRetryDelay` 1,000. Attempts are limited only by `timeout`.
 */
export type BinaryStarClientOptions<T = Raw> = GivenWithCodec<typeof CLIENT_OPTIONS, T>;

/**
 * Asks the server of a pair that answered last, and the other one when that one fails.
 * {@link BinaryStarServer} has an example.
 */
export class BinaryStarClient<T = Raw> extends RequestClient<T, T> {
  /**
   * @param endpoints client endpoints of primary and backup, or a source of both in either order; while it is empty,
   *   calls wait
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value
   */
  constructor(
    endpoints: readonly [primary: string, backup: string] | EndpointSource,
    options: BinaryStarClientOptions<T> = {},
  ) {
    const settings = checkOptions("BinaryStarClient", CLIENT_OPTIONS, options);
    if (!isEndpointSource(endpoints) && (!Array.isArray(endpoints) || endpoints.length !== 2))
      throw new InvalidArgumentError("BinaryStarClient has two endpoints: the primary's and the backup's");
    const shape = new BodyShape(options.codec);
    const terms = {
      requests: shape,
      replies: shape,
      retries: () => Number.POSITIVE_INFINITY,
      failsFast: true,
      errorOf: parseErrorReply,
    };
    super("BinaryStarClient", endpoints, settings, terms);
  }
}
