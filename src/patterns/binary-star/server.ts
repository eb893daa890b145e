/**
 * Server as half of a pair: a ROUTER for clients behind the gate of a Binary Star, and a handler.
 *
 *   client REQ or DEALER  ── envelope | "" | body ──>  ROUTER ─ gate ─> handler
 *                         <── envelope | "" | reply ──
 *
 * After a break of the service no reply is sent: the other server does not know the request's effects.
 */

import { quoted, refuseExtra } from "../../core/arguments.js";
import { InvalidArgumentError, InvalidStateError, type ShoalError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { withTimeout } from "../../core/waiter.js";
import type { Codec } from "../../sockets/codec.js";
import { Envelope } from "../../sockets/envelope.js";
import { Router, type RouterOptions } from "../../sockets/request-reply.js";
import type { Raw, Settled } from "../../sockets/shape.js";
import { type BodyFor, type BodyOf, BodyShape } from "../kit/body.js";
import { Driver, type PatternWaitOptions } from "../kit/driver.js";
import { errorReply, handlerErrorReply, requestErrorReply } from "../kit/errors.js";
import { type HandlerJob, HandlerJobs } from "../kit/handler-jobs.js";
import { OpenedSockets } from "../kit/opened-sockets.js";
import {
  boolean,
  checkEndpoint,
  checkFunction,
  checkOptions,
  codec,
  func,
  type Given,
  integer,
  object,
} from "../kit/options.js";
import { BinaryStarGate, type BinaryStarGateStats, GATE_EVENTS } from "./gate.js";
import {
  BINARY_STAR_EVENTS,
  BinaryStar,
  type BinaryStarEvent,
  type BinaryStarOptions,
  type BinaryStarStats,
} from "./star.js";

const OPTIONS = {
  star: object<BinaryStarOptions>(),
  errorReply: func<(error: unknown) => never>(),
  /**
   * Sends every handler error's message, not only that of a `ServiceError` or with `expose: true`. `code` and `data` are
   * always sent. Default false.
   */
  exposeErrors: boolean(false),
  /** Concurrent handlers; more requests get an error. Default 1,000. */
  maxInFlight: integer({ default: 1_000 }),
  codec: codec(),
  /** Options of the client socket, such as security. */
  socketOptions: object<RouterOptions>(),
};

export type BinaryStarServerOptions<T = Raw> = Omit<
  Given<typeof OPTIONS>,
  "star" | "errorReply" | "codec"
> & {
  /** The pair: role and peer. */
  readonly star: BinaryStarOptions;
  /**
   * Reply to a failed request, for foreign clients. Default: an error reply, a `ServiceError` at `BinaryStarClient`.
   */
  readonly errorReply?: ((error: unknown) => BodyFor<Settled<NoInfer<T>>>) | undefined;
  /** Encodes and decodes bodies as one frame. Default: raw frames. */
  readonly codec?: Codec<T> | undefined;
};

const HAND_OVER_OPTIONS = {
  /** ms for requests in flight; -1: no limit. Default 5,000. */
  timeout: integer({ default: 5_000, min: -1 }),
};

export type BinaryStarHandOverOptions = Given<typeof HAND_OVER_OPTIONS>;

/** `signal` is a getter, which a copy by `{ ...context }` does not have. */
export interface BinaryStarRequestContext {
  /** Aborted when this server is no longer active, or closes. */
  readonly signal: AbortSignal;
  /** The client's routing id. */
  readonly client: Buffer;
}

/** Answers one request. */
export type BinaryStarHandler<T> = (
  request: BodyOf<T>,
  context: BinaryStarRequestContext,
) => BodyFor<Settled<T>> | Promise<BodyFor<Settled<T>>>;

export type BinaryStarSide = "clients" | "state";

/** Bound endpoints, wildcards filled in. */
export interface BinaryStarEndpoints {
  readonly clients: readonly string[];
  /** At most one. */
  readonly state: readonly string[];
}

const EVENTS = {
  ...BINARY_STAR_EVENTS,
  ...GATE_EVENTS,
  /** A handler failed, or its reply cannot be encoded. */
  "handler:failed": event<{ readonly error: unknown }>(),
  /** No envelope or body, or a body that the codec refuses. */
  "message:invalid": event<{ readonly frames: number }>(),
};

export type BinaryStarServerEvent = EventsOf<typeof EVENTS>;

export interface BinaryStarServerStats extends BinaryStarGateStats {
  readonly star: BinaryStarStats;
  readonly inFlight: number;
  readonly replied: number;
  /** Also requests above `maxInFlight`. */
  readonly failed: number;
  readonly invalid: number;
  /** This server was no longer active, or the client was gone. */
  readonly repliesDropped: { readonly notServing: number; readonly unroutable: number };
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
  readonly #handler: BinaryStarHandler<T>;
  readonly #errorReply: BinaryStarServerOptions<T>["errorReply"];
  readonly #exposeErrors: boolean;
  readonly #shape: BodyShape<T>;
  readonly #router: Router;
  readonly #maxInFlight: number;
  readonly #gate: BinaryStarGate;
  readonly #reading: Promise<void>;
  readonly #clients: string[] = [];
  readonly #jobs = new HandlerJobs();
  #handingOver = false;
  readonly #counts = { replied: 0, failed: 0, invalid: 0, notServing: 0, unroutable: 0 };

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(handler: BinaryStarHandler<NoInfer<T>>, options: BinaryStarServerOptions<T>) {
    super("BinaryStarServer", EVENTS);
    checkFunction("handler", handler);
    const settings = checkOptions("BinaryStarServer", OPTIONS, options);
    const { star, socketOptions } = settings;
    if (star === undefined)
      throw new InvalidArgumentError("BinaryStarServer needs the option star: role and peer");
    this.#handler = handler as BinaryStarHandler<T>;
    this.#errorReply = options.errorReply;
    this.#exposeErrors = settings.exposeErrors;
    this.#maxInFlight = settings.maxInFlight;
    this.#shape = new BodyShape(options.codec);
    const sockets = new OpenedSockets();
    this.star = sockets.open(() => new BinaryStar(star));
    this.#router = sockets.open(() => new Router({ linger: 0, ...socketOptions, receiveTimeout: -1 }));
    for (const type of Object.keys(BINARY_STAR_EVENTS) as BinaryStarEvent["type"][])
      this.star.events.on(type, this.#starOnEvent);
    this.#gate = new BinaryStarGate(this.star);
    this.#gate.events.on("request:dropped", (event) => this.events.emit(event));
    this.#gate.passTo((message) => this.#take(message));
    this.#reading = this.#read();
  }

  get endpoints(): BinaryStarEndpoints {
    const { endpoint } = this.star;
    return { clients: [...this.#clients], state: endpoint === null ? [] : [endpoint] };
  }

  /**
   * Binds `clients`, at any number of endpoints, or `state`, at one, which starts the pair: bind it last.
   * @returns the endpoint, wildcards filled in
   * @throws InvalidArgumentError `EINVAL` for a bad side or endpoint; InvalidStateError `EFSM` when `state` is already
   *   bound; ClosedError `EBADF`; TransportError as a socket's `bind`
   */
  bind(side: BinaryStarSide, endpoint: string): Promise<string>;
  async bind(side: BinaryStarSide, endpoint: string, ...extra: unknown[]): Promise<string> {
    this.assertOpen();
    refuseExtra("bind", "a side and an endpoint", extra);
    checkEndpoint("endpoint", endpoint, "bind");
    if (side === "state") return this.star.bind(endpoint);
    if (side !== "clients")
      throw new InvalidArgumentError(`A side must be "clients" or "state"; got ${quoted(side)}`);
    const resolved = await this.#router.bind(endpoint);
    this.#clients.push(resolved);
    return resolved;
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
      await withTimeout(this.#jobs.idle(), timeout);
      this.star.handOver();
    } finally {
      this.#handingOver = false;
    }
  }

  stats(): BinaryStarServerStats {
    const { notServing, unroutable, ...counts } = this.#counts;
    return {
      ...this.#gate.stats(),
      ...counts,
      star: this.star.stats(),
      inFlight: this.#jobs.length,
      repliesDropped: { notServing, unroutable },
    };
  }

  /** @internal */
  protected override async onDrain(): Promise<void> {
    await this.#gate.drain();
    await this.#jobs.idle();
  }

  /** @internal */
  protected async onClose(linger: number): Promise<void> {
    await withTimeout(this.#jobs.idle(), linger);
    this.#jobs.abort();
    await this.star.close();
    await this.#router.close({ linger });
    await this.#gate.close();
    await this.#reading;
  }

  async #read(): Promise<void> {
    for await (const message of this.#router) if (this.#gate.admit(message, true)) this.#take(message);
  }

  #take(message: Buffer[]): void {
    if (this.stopping || this.#handingOver) {
      this.#counts.notServing += 1;
      return;
    }
    let request: { envelope: Envelope; body: Buffer[] };
    try {
      request = Envelope.parse(message);
    } catch {
      this.#invalid(message.length);
      return;
    }
    if (request.body.length === 0) {
      this.#invalid(message.length);
      return;
    }
    const { envelope, body } = request;
    this.#jobs.start(envelope.routingId, (job) => this.#answer(envelope, body, job));
  }

  #invalid(frames: number): void {
    this.#counts.invalid += 1;
    this.events.emit({ type: "message:invalid", frames });
  }

  async #answer(envelope: Envelope, body: Buffer[], job: HandlerJob): Promise<void> {
    const { term } = this.star;
    if (this.#jobs.length > this.#maxInFlight) {
      this.#counts.failed += 1;
      await this.#sendError(envelope, errorReply("overloaded"), new Error("overloaded"), term);
      return;
    }
    let request: BodyOf<T>;
    try {
      request = this.#shape.decode(body);
    } catch (error) {
      this.#invalid(body.length);
      await this.#sendError(envelope, requestErrorReply(error), error, term);
      return;
    }
    try {
      const reply = await this.#handler(request, job);
      if (await this.#send(envelope, this.#shape.encode(reply as BodyFor<T>), term))
        this.#counts.replied += 1;
    } catch (error) {
      this.#counts.failed += 1;
      // After an abort it is not a failure.
      if (!job.aborted) this.events.emit({ type: "handler:failed", error });
      await this.#sendError(envelope, handlerErrorReply(error, this.#exposeErrors), error, term);
    }
  }

  async #sendError(
    envelope: Envelope,
    standard: readonly Buffer[],
    error: unknown,
    term: number,
  ): Promise<void> {
    try {
      const own = this.#errorReply;
      const reply = own === undefined ? standard : this.#shape.encode(own(error) as BodyFor<T>);
      await this.#send(envelope, reply, term);
    } catch (failure) {
      this.events.emit({ type: "handler:failed", error: failure });
    }
  }

  /** @returns whether it was sent */
  async #send(envelope: Envelope, reply: readonly Buffer[], term: number): Promise<boolean> {
    // A blocking handler causes a doubt; the reply waits for its end.
    if (!(await this.star.whenCertain()) || this.star.term !== term) {
      this.#counts.notServing += 1;
      return false;
    }
    try {
      await this.#router.reply(envelope, reply as Buffer[]);
      return true;
    } catch (error) {
      const { code } = error as ShoalError;
      if (code !== "EHOSTUNREACH" && code !== "EAGAIN" && code !== "EBADF") throw error;
      this.#counts.unroutable += 1;
      return false;
    }
  }

  #starOnEvent = (event: BinaryStarEvent): void => {
    // A doubt may end without a take-over.
    if (event.type === "state:changed" && event.reason !== "stalled" && event.state !== "active")
      this.#jobs.abort();
    this.events.emit(event);
  };
}
