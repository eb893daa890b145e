/** REQ, REP, DEALER and ROUTER (28/REQREP). */
import { checkCallOptions, checkInteger } from "../core/arguments.js";
import {
  ClosedError,
  InvalidArgumentError,
  InvalidStateError,
  type ShoalError,
  TimeoutError,
} from "../core/errors.js";
import type { OptionsFor } from "../core/option-table.js";
import { SocketType } from "../core/socket-type.js";
import { backOff } from "../core/timers.js";
import { ignore, MAX_TIMEOUT, Mutex } from "../core/waiter.js";
import type { OutgoingMessage } from "../engine/engine.js";
import { PipelineRouting } from "../engine/zmtp/routing/pipeline.js";
import { ReplyRouting, RequestRouting } from "../engine/zmtp/routing/request-reply.js";
import { RouterRouting } from "../engine/zmtp/routing/router.js";
import { defineSocket } from "./define.js";
import type { EndpointSource } from "./endpoint-source.js";
import { Envelope } from "./envelope.js";
import {
  type BodyIn,
  type BodyOut,
  type MessageLike,
  type Raw,
  type RoutedIn,
  type RoutedOut,
  type Settled,
  shapeFor,
} from "./message.js";
import { checkMemory, type DeliveryResult, SEND_OPTIONS, type SendOptions } from "./outbox.js";
import type { Readable } from "./readable.js";
import { CORE, Socket } from "./socket.js";
import type { CodecOptions, ConstructionOptions, Properties, RoutingIdProperty } from "./socket-options.js";
import type { Writable } from "./writable.js";

export type RequestOptions<T = Raw> = OptionsFor<"Request"> & ConstructionOptions & CodecOptions<T>;
export type ReplyOptions<T = Raw> = OptionsFor<"Reply"> & ConstructionOptions & CodecOptions<T>;
export type DealerOptions<T = Raw> = OptionsFor<"Dealer"> & ConstructionOptions & CodecOptions<T>;
export type RouterOptions<T = Raw> = OptionsFor<"Router"> & ConstructionOptions & CodecOptions<T>;

export interface RequestCallOptions {
  /** ms for the whole call, including its turn and all attempts; -1: no limit. Default 30,000. */
  readonly timeout?: number;
  /** ms for one attempt; -1: only the call's limit. Default: an equal share of `timeout`. */
  readonly attemptTimeout?: number;
  /** Further attempts after a failed one. Default 0. */
  readonly retries?: number;
  /** Most ms before the second attempt after a lost connection; doubles per attempt up to 5,000, half of it random. Default 100. */
  readonly retryDelay?: number;
  readonly signal?: AbortSignal;
}

const REQUEST_OPTIONS: readonly (keyof RequestCallOptions)[] = [
  "timeout",
  "attemptTimeout",
  "retries",
  "retryDelay",
  "signal",
];

const MAX_RETRY_DELAY = 5_000;

interface Attempt {
  readonly time: number;
  /** ms after the connection's end. */
  readonly rest: number;
  /** End of the whole call, by `performance.now()`. */
  readonly end: number;
  readonly signal: AbortSignal | undefined;
}

class PeerLeft extends TimeoutError {
  constructor() {
    super("EAGAIN", "The connection ended before the reply came");
  }
}

export interface RouterConnectOptions {
  /** The peer's routing id on this socket. */
  routingId?: string;
}

/**
 * Sends a request to the next peer and receives its reply, strictly alternating (28/REQREP, The REQ Socket Type).
 *
 * @example
 * ```ts
 * import { Reply, Request } from "shoal";
 *
 * const server = new Reply();
 * const client = new Request();
 * client.connect(await server.bind("tcp://127.0.0.1:*"));
 * const answer = client.request("Any fish?", { timeout: 3_000, retries: 2 });
 * await server.receive();
 * await server.send("Plenty.");
 * console.log(String(await answer)); // Plenty.
 * await Promise.all([client.close(), server.close()]);
 * ```
 */
export class Request<T = Raw> extends Socket {
  /** The endpoint that the call in turn asked last. */
  #asked: string | undefined = undefined;
  readonly #turns = new Mutex();
  #waits = false;

  /** @throws InvalidArgumentError `EINVAL` */
  constructor(options?: RequestOptions<T>) {
    super(SocketType.Request, options, shapeFor("body", options?.codec));
  }

  /**
   * Sends a request and returns its reply. Concurrent calls take turns; meanwhile `send` and `receive` fail with
   * `EFSM`.
   *
   * An attempt fails after its time, or when its connection ends (unknown with `libzmq`). REP and ROUTER peers return
   * each request's id (`ZMQ_REQ_CORRELATE`), so no late reply is taken for another. The first call sets `correlate` and
   * `relaxed`. The peer may handle a retried message twice.
   *
   * @returns the reply's frames, or with a codec the value as only element
   * @throws InvalidArgumentError `EINVAL`; AbortedError `ABORT_ERR`
   * @throws TimeoutError `ETIMEDOUT` after the last attempt or the call's time, with the endpoint that was asked last; with
   *   `libzmq` only if there is one connection
   * @throws InvalidMessageError `ERR_INVALID_MESSAGE` if the codec or its schema refuses the reply
   * @throws InvalidStateError `EFSM` while a `receive` of the program waits
   * @throws ClosedError `EAGAIN` when the socket closes meanwhile, `EBADF` when closed
   */
  request(body: BodyOut<T>, options: RequestCallOptions = {}): Promise<BodyIn<T>> {
    return this[CORE].run(async () => {
      checkCallOptions("request", options, REQUEST_OPTIONS);
      return this.#request(body, options);
    });
  }

  async #request(body: BodyOut<T>, options: RequestCallOptions): Promise<BodyIn<T>> {
    const { timeout = 30_000, retries = 0, retryDelay = 100, signal } = options;
    checkInteger("timeout", timeout, -1, MAX_TIMEOUT);
    checkInteger("retries", retries, 0);
    checkInteger("retryDelay", retryDelay, 0, MAX_TIMEOUT);
    const { attemptTimeout = timeout < 0 ? -1 : Math.ceil(timeout / (retries + 1)) } = options;
    checkInteger("attemptTimeout", attemptTimeout, -1, MAX_TIMEOUT);
    if (options.attemptTimeout === 0)
      throw new InvalidArgumentError("attemptTimeout must be 1 or more, or -1; got 0");
    const started = performance.now();
    const end = timeout < 0 ? Number.POSITIVE_INFINITY : started + timeout;
    const core = this[CORE];
    const message = core.encode(body);
    const turn = this.#turns.take({ timeout, signal });
    core.reserved = this.#turns.taken;
    const done = await turn;
    try {
      core.assertOpen(); // The socket may have closed meanwhile.
      if (core.inbox.waiting > 0)
        throw new InvalidStateError("EFSM", "A receive of the program's own waits: its reply comes first");
      this.#watch();
      this.#asked = undefined;
      if (!this.correlate) this.correlate = true;
      if (!this.relaxed) this.relaxed = true;
      for (let attempt = 0; ; attempt++) {
        const isLast = attempt === retries;
        const rest = isLast ? 0 : backOff(attempt, retryDelay, MAX_RETRY_DELAY, Math.random);
        const time = attemptTimeout < 0 ? Number.POSITIVE_INFINITY : attemptTimeout;
        try {
          return await this.#attempt(message, { time, rest, end, signal });
        } catch (error) {
          if (core.closed || (error as ShoalError).code !== "EAGAIN") throw error;
          if (isLast || msUntil(end) === 0) throw this.#noReply(attempt + 1, performance.now() - started);
        }
      }
    } finally {
      done();
      core.reserved = this.#turns.taken; // The next call may have its turn already.
    }
  }

  /** @throws TimeoutError `EAGAIN` after `time` or `rest` */
  async #attempt(message: OutgoingMessage, { time, rest, end, signal }: Attempt): Promise<BodyIn<T>> {
    const core = this[CORE];
    const over = Math.min(end, performance.now() + time);
    // Otherwise late replies to an earlier request would be taken for this reply.
    core.counters.late += core.engine.discard();
    await core.outbox.send(message, { timeout: msUntil(over), signal }, false);
    this.#asked = core.engine.asked;
    if (core.closed) throw new ClosedError("EAGAIN", "The socket closed before the reply came");
    try {
      const reply = core.inbox.receive({ timeout: msUntil(over), signal });
      this.#waits = true;
      if (core.engine.replyLost === true) setImmediate(this.#look);
      return (await reply) as BodyIn<T>;
    } catch (error) {
      if (!(error instanceof PeerLeft)) throw error;
      this.#waits = false;
      const rested = Math.min(end, performance.now() + rest);
      return (await core.inbox.receive({ timeout: msUntil(rested), signal })) as BodyIn<T>;
    } finally {
      this.#waits = false;
    }
  }

  #watch(): void {
    const core = this[CORE];
    if (core.engineOnReplyLost !== ignore) return;
    // Deferred, because the reply may have been received.
    core.engineOnReplyLost = () => setImmediate(this.#look);
    core.events.listen((event) => {
      if (event.type === "invalid" && this.#waits && core.reserved) core.inbox.fail(() => event.error);
    });
  }

  #look = (): void => {
    const { engine, inbox } = this[CORE];
    if (this.#waits && engine.replyLost === true) inbox.fail(() => new PeerLeft());
  };

  #noReply(attempts: number, waited: number): TimeoutError {
    const { endpoints, engine, events } = this[CORE];
    const { connected } = endpoints.all;
    // A peer that connected to this socket has no endpoint of its own.
    const isKnown = this.#asked !== undefined && connected.includes(this.#asked);
    const asked = isKnown ? this.#asked : connected.length === 1 ? connected[0] : undefined;
    const known = attempts === 1 && asked !== undefined ? [asked] : connected;
    const from = known.length === 0 ? "" : ` from ${known.join(", ")}`;
    const when = engine.replyLost === true ? ", the connection ended" : "";
    const times = attempts === 1 ? "1 attempt" : `${attempts} attempts`;
    const cause = events.lastFailure;
    const why = cause === undefined ? "" : `; last: ${cause.message}`;
    return new TimeoutError(
      "ETIMEDOUT",
      `No reply within ${Math.round(waited)} ms${from}, ${times}${when}${why}`,
      { cause, endpoint: asked },
    );
  }
}
export interface Request<T = Raw>
  extends Readable<BodyIn<Settled<T>>>,
    Writable<BodyOut<Settled<T>>>,
    Properties<OptionsFor<"Request">>,
    RoutingIdProperty {}
defineSocket(Request, "Request", (effects) => new RequestRouting(effects));

/**
 * Receives a request and sends its reply, strictly alternating (28/REQREP, The REP Socket Type).
 *
 * @example
 * ```ts
 * import { Reply, Request } from "shoal";
 *
 * const server = new Reply();
 * const client = new Request();
 * client.connect(await server.bind("tcp://127.0.0.1:*"));
 * await client.send("21");
 * const [question] = await server.receive();
 * await server.send(String(2 * Number(question))); // To the client that asked.
 * console.log(String(await client.receive())); // 42
 * await Promise.all([client.close(), server.close()]);
 * ```
 */
export class Reply<T = Raw> extends Socket {
  /** @throws InvalidArgumentError `EINVAL` */
  constructor(options?: ReplyOptions<T>) {
    super(SocketType.Reply, options, shapeFor("body", options?.codec));
  }
}
export interface Reply<T = Raw>
  extends Readable<BodyIn<Settled<T>>>,
    Writable<BodyOut<Settled<T>>>,
    Properties<OptionsFor<"Reply">>,
    RoutingIdProperty {}
defineSocket(Reply, "Reply", (effects) => new ReplyRouting(effects));

/**
 * Sends to its peers in turn and receives from them fairly, in any order (28/REQREP, The DEALER Socket Type).
 *
 * @example
 * ```ts
 * import { Dealer, Router } from "shoal";
 *
 * const router = new Router();
 * const dealer = new Dealer();
 * dealer.connect(await router.bind("tcp://127.0.0.1:*"));
 * for (const question of ["one", "two"]) await dealer.send(question); // Without waiting for an answer.
 * for (let i = 0; i < 2; i++) await router.send(await router.receive());
 * console.log(`${await dealer.receive()}, ${await dealer.receive()}`); // one, two
 * await Promise.all([dealer.close(), router.close()]);
 * ```
 */
export class Dealer<T = Raw> extends Socket {
  /** @throws InvalidArgumentError `EINVAL` */
  constructor(options?: DealerOptions<T>) {
    super(SocketType.Dealer, options, shapeFor("body", options?.codec));
  }
}
export interface Dealer<T = Raw>
  extends Readable<BodyIn<Settled<T>>>,
    Writable<BodyOut<Settled<T>>>,
    Properties<OptionsFor<"Dealer">>,
    RoutingIdProperty {}
defineSocket(Dealer, "Dealer", (effects) => new PipelineRouting(effects, true, true));

/**
 * Addresses each peer by its routing id, the first frame in both directions. Messages to unknown or full peers are
 * dropped, counted and reported; with `mandatory` and in {@link reply} they are errors (28/REQREP, The ROUTER Socket
 * Type).
 *
 * @example
 * ```ts
 * import { Dealer, Router } from "shoal";
 *
 * const router = new Router();
 * const boat = new Dealer({ routingId: "boat 7" });
 * boat.connect(await router.bind("tcp://127.0.0.1:*"));
 * await boat.send("position?");
 * const [routingId, question] = await router.receive();
 * console.log(`${routingId}: ${question}`); // boat 7: position?
 * await router.send([routingId, "54.3 10.1"]);
 * console.log(String(await boat.receive())); // 54.3 10.1
 * await Promise.all([boat.close(), router.close()]);
 * ```
 */
export class Router<T = Raw> extends Socket {
  /** @throws InvalidArgumentError `EINVAL` */
  constructor(options?: RouterOptions<T>) {
    super(SocketType.Router, options, shapeFor("routed", options?.codec));
  }

  /**
   * Connects to an endpoint; `routingId` names the peer there.
   *
   * @throws InvalidArgumentError `EINVAL`; otherwise as `connect` of {@link Socket}
   */
  override connect(endpoint: string | EndpointSource, options: RouterConnectOptions = {}): void {
    this[CORE].endpoints.connectNamed(endpoint, options);
  }

  /**
   * Sends to one peer at once if possible, regardless of `mandatory`, without errors for departed and full peers.
   *
   * @param message routing id and frames; with a codec the last is the value
   * @returns `sent`; `full` if the peer is at its high-water mark or earlier sends wait; `gone` for an unknown routing
   *   id or a closed socket. Unsent messages are not counted
   * @throws InvalidArgumentError `EINVAL`; InvalidMessageError `ERR_INVALID_MESSAGE` if the codec or its schema refuses
   *   the value
   */
  tryDeliver(message: RoutedOut<Settled<T>>): DeliveryResult {
    const core = this[CORE];
    return core.closed ? "gone" : core.outbox.tryDeliver(core.encode(message));
  }

  /**
   * Sends a reply to the sender of a request.
   * @param body 1 or more frames; with a codec the value
   * @throws InvalidArgumentError `EINVAL`; TimeoutError `EAGAIN` for a full peer
   * @throws UnroutableError `EHOSTUNREACH` when the peer is gone, regardless of `mandatory`
   */
  reply(envelope: Envelope, body: BodyOut<T>, options?: SendOptions): Promise<void> {
    return this[CORE].run(async () => {
      if (!(envelope instanceof Envelope))
        throw new InvalidArgumentError("reply takes an Envelope, such as Envelope.parse gives");
      checkCallOptions("reply", options, SEND_OPTIONS);
      checkMemory(options);
      const message = this[CORE].encode(envelope.wrap(body as MessageLike | MessageLike[]));
      await this[CORE].outbox.send(message, options, true);
    });
  }
}
export interface Router<T = Raw>
  extends Readable<RoutedIn<Settled<T>>>,
    Writable<RoutedOut<Settled<T>>>,
    Properties<OptionsFor<"Router">>,
    RoutingIdProperty {}
defineSocket(Router, "Router", (effects) => new RouterRouting(effects));

/** The timeout until a time that may be infinite or past. */
function msUntil(time: number): number {
  if (time === Number.POSITIVE_INFINITY) return -1;
  return Math.min(MAX_TIMEOUT, Math.max(0, Math.round(time - performance.now())));
}
