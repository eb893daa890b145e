/**
 * A server that runs as one of a pair: a ROUTER for clients behind the gate of a
 * Binary Star, and a function that answers.
 *
 *   client REQ or DEALER  ── envelope | "" | body ──>  ROUTER ─ gate ─> handler
 *                         <── envelope | "" | reply ──
 *
 * A reply leaves only if this server has served without a break since it admitted
 * the request; else it is dropped and counted, since the other server does not
 * know what it contains.
 */
import { quoted, refuseExtra } from "../../core/arguments.js";
import { InvalidArgumentError, InvalidStateError, type ShoalError } from "../../core/errors.js";
import type { EventNames } from "../../core/event-stream.js";
import { withTimeout } from "../../core/waiter.js";
import type { Codec } from "../../sockets/codec.js";
import { Envelope } from "../../sockets/envelope.js";
import { Router, type RouterOptions } from "../../sockets/request-reply.js";
import type { Raw, Settled } from "../../sockets/shape.js";
import { type BodyFor, type BodyOf, BodyShape } from "../kit/body.js";
import { Driver, type PatternWaitOptions } from "../kit/driver.js";
import { errorReply, handlerErrorReply, requestErrorReply } from "../kit/errors.js";
import {
  anything,
  boolean,
  checkEndpoint,
  checkFunction,
  checkOptions,
  func,
  integer,
  object,
} from "../kit/options.js";
import { BinaryStarReactor, type BinaryStarReactorEvent, type BinaryStarReactorStats } from "./gate.js";
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
  exposeErrors: boolean(false),
  maxInFlight: integer({ default: 1_000 }),
  codec: anything<Codec<never>>(),
  socketOptions: object<RouterOptions>(),
};

const HAND_OVER_OPTIONS = { timeout: integer({ default: 5_000, min: -1 }) };

const EVENTS: EventNames<BinaryStarServerEvent> = {
  ...BINARY_STAR_EVENTS,
  "request:dropped": true,
  "handler:failed": true,
  "message:invalid": true,
};

/** What a handler knows of its request. */
export interface BinaryStarRequestContext {
  /** Aborted when the reply cannot leave any more: this server ceased to serve, or closes. */
  readonly signal: AbortSignal;
  /** The client's routing id. */
  readonly client: Buffer;
}

/** Answers one request; with a codec it takes and gives the value. */
export type BinaryStarHandler<T> = (
  request: BodyOf<T>,
  context: BinaryStarRequestContext,
) => BodyFor<Settled<T>> | Promise<BodyFor<Settled<T>>>;

/** How a server of a pair runs. */
export interface BinaryStarServerOptions<T = Raw> {
  /** The pair: role, and how the two find each other. */
  readonly star: BinaryStarOptions;
  /**
   * The reply to a request whose handler failed, for clients of another make. Default: an error reply, which
   * `BinaryStarClient` rejects with as a `ServiceError`.
   */
  readonly errorReply?: ((error: unknown) => BodyFor<Settled<NoInfer<T>>>) | undefined;
  /**
   * Whether clients get the message of any error that the handler throws. Otherwise they get that of a `ServiceError`, and
   * of an error with `expose: true`; of each error its `code` and `data`. Default false.
   */
  readonly exposeErrors?: boolean | undefined;
  /** Requests whose handlers run at once; one more is answered with an error. Default 1,000. */
  readonly maxInFlight?: number | undefined;
  /** Encodes and decodes bodies, of one frame then. Default: frames as they are. */
  readonly codec?: Codec<T> | undefined;
  /** For the clients' socket, such as security. */
  readonly socketOptions?: RouterOptions | undefined;
}

/** What `handOver` takes. */
export interface BinaryStarHandOverOptions {
  /** ms that requests in flight have to finish; -1: no limit. Default 5,000. */
  readonly timeout?: number | undefined;
}

/** One of a server's endpoints: `clients` for requests, `state` for the other server of the pair. */
export type BinaryStarSide = "clients" | "state";

/** Where a server listens, wildcards filled in. */
export interface BinaryStarEndpoints {
  readonly clients: readonly string[];
  /** At most one. */
  readonly state: readonly string[];
}

/** What happens to a server of a pair, its Binary Star included. */
export type BinaryStarServerEvent =
  | BinaryStarEvent
  | BinaryStarReactorEvent
  /** A handler threw or rejected, or what it gave has no form on the wire. */
  | { readonly type: "handler:failed"; readonly error: unknown }
  /** A message that is not a request: it has no envelope or no body, or the codec refuses the body. */
  | { readonly type: "message:invalid"; readonly frames: number };

/** Counts since the server was made. */
export interface BinaryStarServerStats extends BinaryStarReactorStats {
  readonly star: BinaryStarStats;
  readonly inFlight: number;
  readonly replied: number;
  /** Handlers that failed, and requests past `maxInFlight`. */
  readonly failed: number;
  readonly invalid: number;
  /** Replies that did not leave: this server had ceased to serve, or the client was gone. */
  readonly repliesDropped: { readonly notServing: number; readonly unroutable: number };
}

/**
 * A server that runs as one of a pair: a function that answers clients (REQ, DEALER) while this half of the pair serves. A reply
 * leaves only if this server has served without a break since it admitted the request.
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
  /** This server's half of the pair. */
  readonly star: BinaryStar;
  readonly #handler: BinaryStarHandler<T>;
  readonly #errorReply: BinaryStarServerOptions<T>["errorReply"];
  readonly #exposeErrors: boolean;
  readonly #shape: BodyShape<T>;
  readonly #router: Router;
  readonly #maxInFlight: number;
  readonly #reactor: BinaryStarReactor<Buffer[]>;
  readonly #clients: string[] = [];
  readonly #inFlight = new Set<Promise<void>>();
  /** Aborted when this server ceases to serve. */
  #serving = new AbortController();
  #handingOver = false;
  readonly #counts = { replied: 0, failed: 0, invalid: 0, notServing: 0, unroutable: 0 };

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(handler: BinaryStarHandler<NoInfer<T>>, options: BinaryStarServerOptions<T>) {
    super("BinaryStarServer", EVENTS);
    checkFunction("handler", handler);
    const settings = checkOptions("BinaryStarServer", OPTIONS, options);
    if (settings.star === undefined)
      throw new InvalidArgumentError("BinaryStarServer needs the option star: role and peer");
    this.#handler = handler as BinaryStarHandler<T>;
    this.#errorReply = options.errorReply;
    this.#exposeErrors = settings.exposeErrors;
    this.#maxInFlight = settings.maxInFlight;
    this.#shape = new BodyShape(options.codec);
    this.star = new BinaryStar(settings.star);
    this.#router = new Router({ linger: 0, ...settings.socketOptions });
    for (const type of Object.keys(BINARY_STAR_EVENTS) as BinaryStarEvent["type"][])
      this.star.events.on(type, this.#starOnEvent);
    this.#reactor = new BinaryStarReactor(this.star, this.#router, {
      onRequest: (message) => this.#take(message),
    });
    this.#reactor.events.on("request:dropped", (event) => this.events.emit(event));
  }

  /** Where it listens. */
  get endpoints(): BinaryStarEndpoints {
    const { endpoint } = this.star;
    return { clients: [...this.#clients], state: endpoint === null ? [] : [endpoint] };
  }

  /**
   * Listens for clients, at any number of endpoints, or for the other server, at one. The pair begins with `state`: bind
   * `clients` first.
   *
   * @returns the endpoint, wildcards filled in
   * @throws InvalidArgumentError `EINVAL` for a bad side or endpoint; InvalidStateError `EFSM` when `state` is bound already;
   *   ClosedError `EBADF`; TransportError as `bind` of a socket does
   */
  bind(side: BinaryStarSide, endpoint: string): Promise<string>;
  async bind(side: BinaryStarSide, endpoint: string, ...extra: unknown[]): Promise<string> {
    this.assertOpen();
    refuseExtra("bind", "a side and an endpoint", extra);
    checkEndpoint("endpoint", endpoint, "bind");
    if (side === "state") return this.star.bind(endpoint);
    if (side !== "clients")
      throw new InvalidArgumentError(`A side is "clients" or "state"; got ${quoted(side)}`);
    const resolved = await this.#router.bind(endpoint);
    this.#clients.push(resolved);
    return resolved;
  }

  /**
   * Waits until it is decided which of the two serves: this server is active, or passive.
   *
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF`, `EAGAIN`
   */
  async ready(options: PatternWaitOptions = {}): Promise<void> {
    this.assertOpen();
    return this.star.ready(options);
  }

  /**
   * Gives the service over to the passive peer: takes no new request, finishes
   * those in flight, for at most `timeout` ms, then hands over.
   *
   * @throws InvalidStateError `EFSM` when this server does not serve, or no passive peer is there; InvalidArgumentError
   *   `EINVAL`; ClosedError `EBADF`, `EAGAIN`
   */
  async handOver(options: BinaryStarHandOverOptions = {}): Promise<void> {
    this.assertOpen();
    const { timeout } = checkOptions("BinaryStarServer.handOver", HAND_OVER_OPTIONS, options);
    if (this.star.state !== "active" || this.star.stats().peer !== "passive")
      throw new InvalidStateError("EFSM", "Only the active server of a pair can hand over, to a passive one");
    this.#handingOver = true;
    try {
      await withTimeout(this.#idle(), timeout);
      this.star.handOver();
    } finally {
      this.#handingOver = false;
    }
  }

  stats(): BinaryStarServerStats {
    const { notServing, unroutable, ...counts } = this.#counts;
    return {
      ...this.#reactor.stats(),
      ...counts,
      star: this.star.stats(),
      inFlight: this.#inFlight.size,
      repliesDropped: { notServing, unroutable },
    };
  }

  /** @internal Requests that come are dropped: their clients ask the other server. */
  protected override async onDrain(): Promise<void> {
    await this.#reactor.drain();
    await this.#idle();
  }

  /** @internal */
  protected async onClose(linger: number): Promise<void> {
    await withTimeout(this.#idle(), linger);
    this.#serving.abort();
    await this.star.close();
    await this.#router.close({ linger });
    await this.#reactor.close();
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
    const work = this.#answer(request.envelope, request.body);
    this.#inFlight.add(work);
    void work.finally(() => this.#inFlight.delete(work));
  }

  #invalid(frames: number): void {
    this.#counts.invalid += 1;
    this.events.emit({ type: "message:invalid", frames });
  }

  async #answer(envelope: Envelope, body: Buffer[]): Promise<void> {
    const { term } = this.star;
    const { signal } = this.#serving;
    if (this.#inFlight.size >= this.#maxInFlight) {
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
      const reply = await this.#handler(request, { signal, client: envelope.routingId });
      if (await this.#send(envelope, this.#shape.encode(reply as BodyFor<T>), term))
        this.#counts.replied += 1;
    } catch (error) {
      this.#counts.failed += 1;
      // What it throws when it is aborted does not count as a failure.
      if (!signal.aborted) this.events.emit({ type: "handler:failed", error });
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

  /** @returns whether it left */
  async #send(envelope: Envelope, reply: readonly Buffer[], term: number): Promise<boolean> {
    // A handler that held the process up for long leaves a doubt: the reply waits for its end.
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

  /** Settles when no request is in flight. */
  async #idle(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.all(this.#inFlight);
  }

  #starOnEvent = (event: BinaryStarEvent): void => {
    // A doubt may end as if nothing had happened: what is in flight goes on meanwhile.
    if (event.type === "state:changed" && event.reason !== "stalled") {
      if (event.state === "active") this.#serving = new AbortController();
      else this.#serving.abort();
    }
    this.events.emit(event);
  };
}
