/**
 * A client with many requests under way: a DEALER for each broker, and an id for each request.
 *
 *   DEALER sends   id | "" | body…        id: 8 bytes, used once by this client
 *   DEALER gets    id | "" | reply…
 *
 * The broker's ROUTER takes the client's routing id and the request's id for the envelope, and gives both back with the
 * reply, as a ROUTER, a REP or a proxy does that keeps all frames up to the delimiter: `LoadBalancer`, `PirateQueue`,
 * a queue proxy with REP workers, and a plain REP. The Guide's lbbroker expects one routing id alone, and is not one.
 */

import { Link, LinkedList } from "../../core/collections/linked-list.js";
import type { ShoalError } from "../../core/errors.js";
import type { EventNames } from "../../core/event-stream.js";
import { costOf } from "../../core/frame-cost.js";
import { randomStart } from "../../core/random.js";
import type { Codec } from "../../sockets/codec.js";
import { Dealer, type DealerOptions } from "../../sockets/request-reply.js";
import type { Raw } from "../../sockets/shape.js";
import { type BodyFor, type BodyOf, BodyShape } from "../kit/body.js";
import { type PendingCall, PendingCalls } from "../kit/calls.js";
import { Driver, type PatternWaitOptions } from "../kit/driver.js";
import {
  ENDPOINT_SOURCE_EVENTS,
  EndpointList,
  type EndpointSourceEvent,
  type PatternEndpoints,
} from "../kit/endpoint-list.js";
import { parseErrorReply, ServiceError } from "../kit/errors.js";
import { anything, bytes, checkOptions, integer, object } from "../kit/options.js";

/** Options of {@link LoadBalancerClient}. Times are in ms. */
export interface LoadBalancerClientOptions<Req = Raw, Rep = Raw> {
  /** ms of a whole call; -1: no limit. Default 30,000. */
  readonly timeout?: number | undefined;
  /** Times that a request is sent again when the connection it was sent over ends, or its broker stops. Default 2. */
  readonly retries?: number | undefined;
  /** Calls without a result; one more rejects with `ERR_TOO_MANY_PENDING`. Default 10,000. */
  readonly maxPending?: number | undefined;
  /** Bytes of their requests, and 64 for each of their frames; a single call may be larger. Default 64 MiB. */
  readonly maxPendingBytes?: number | undefined;
  /** Requests sent to one broker and not answered; more wait here. Default 1,000. */
  readonly maxInFlight?: number | undefined;
  /** Encodes a request, as one frame. Default: frames as they are. */
  readonly requestCodec?: Codec<Req> | undefined;
  /** Decodes a reply, of one frame. Default: frames as they are. */
  readonly replyCodec?: Codec<Rep> | undefined;
  /** Options of the DEALERs, such as security. */
  readonly socketOptions?: DealerOptions | undefined;
}

/** What one call can decide for itself. */
export interface LoadBalancerCallOptions {
  /** ms of the whole call; -1: no limit. Default: the client's. */
  readonly timeout?: number | undefined;
  /** Gives the request up; a worker may have dealt with it. */
  readonly signal?: AbortSignal | undefined;
}

/** What happens in a client of a load balancer. */
export type LoadBalancerClientEvent =
  | { readonly type: "broker:joined"; readonly endpoint: string }
  /** So many requests were sent over the connection and have no reply. */
  | { readonly type: "broker:left"; readonly endpoint: string; readonly inFlight: number }
  /** A request is sent again; `attempt` is 1 for the one that failed first. */
  | {
      readonly type: "request:retried";
      readonly reason: "disconnected" | "stopping";
      readonly attempt: number;
    }
  /** A message that is not a reply. */
  | { readonly type: "message:invalid"; readonly endpoint: string; readonly frames: number }
  | EndpointSourceEvent;

/** A client's statistics: requests = replies + errors + cancelled + pending. */
export interface LoadBalancerClientStats {
  readonly requests: number;
  readonly replies: number;
  /** Calls that ended with an error: error replies, time-outs, replies that the codec refuses. */
  readonly errors: number;
  /** Calls that ended by their signal or by `close`. */
  readonly cancelled: number;
  readonly retries: number;
  /** Replies to calls that had ended. */
  readonly lateReplies: number;
  readonly invalid: number;
  readonly pending: number;
  readonly pendingBytes: number;
  /** Of those pending, sent and not answered. */
  readonly inFlight: number;
}

const OPTIONS = {
  timeout: integer({ default: 30_000, min: -1 }),
  retries: integer({ default: 2, min: 0 }),
  maxPending: integer({ default: 10_000 }),
  maxPendingBytes: bytes({ default: 67_108_864 }),
  maxInFlight: integer({ default: 1_000 }),
  requestCodec: anything<Codec<never>>(),
  replyCodec: anything<Codec<never>>(),
  socketOptions: object<DealerOptions>(),
};

const CALL_OPTIONS = { timeout: integer({ min: -1 }), signal: anything<AbortSignal>() };

const EVENTS: EventNames<LoadBalancerClientEvent> = {
  "broker:joined": true,
  "broker:left": true,
  "request:retried": true,
  "message:invalid": true,
  ...ENDPOINT_SOURCE_EVENTS,
};

const DELIMITER = Buffer.alloc(0);
/** ms that a broker gets nothing which said that it stops, and is there still. */
const STOPPING_PAUSE = 1_000;

interface Call {
  readonly id: string;
  readonly message: Buffer[];
  readonly pending: PendingCall<unknown>;
  attempts: number;
  /** Where it was sent; `undefined` while it waits. */
  broker: Broker | undefined;
  link: Link<Call>;
}

/** A connection to one broker. */
interface Broker {
  readonly endpoint: string;
  readonly dealer: Dealer;
  readonly inFlight: Map<string, Call>;
  joined: boolean;
  /** It said that it stops, and gets nothing until it has come back, or this timer ends: it may stand behind another. */
  stopping: NodeJS.Timeout | undefined;
  /** The source has it no more: it gets nothing new, and is closed with the last reply. */
  leaving: boolean;
  /** Connections that have ended. */
  left: number;
  /** The call whose message waits for room in the socket, which sends it when there is some, unless it is stopped. */
  blocked: { readonly call: Call; readonly stop: AbortController } | undefined;
}

/**
 * Asks the workers behind one or several load balancers, with any number of requests under way at once. A request goes to
 * the connected broker with the fewest of them, and to another when that one's connection ends: it may be handled twice.
 *
 * @example
 * ```ts
 * import { LoadBalancer, LoadBalancerClient } from "shoal/load-balancer";
 * import { PirateWorker } from "shoal/pirate";
 *
 * const broker = new LoadBalancer();
 * const client = new LoadBalancerClient(await broker.bind("frontend", "tcp://127.0.0.1:*"));
 * const backend = await broker.bind("backend", "tcp://127.0.0.1:*");
 * const worker = new PirateWorker(backend, ([body]) => `${body}!`, { dialect: "simple" });
 * console.log(String(await client.request("hello"))); // hello!
 * await client.close();
 * await Promise.all([worker.close(), broker.close()]);
 * ```
 */
export class LoadBalancerClient<Req = Raw, Rep = Raw> extends Driver<
  LoadBalancerClientEvent,
  LoadBalancerClientStats
> {
  readonly #timeout: number;
  readonly #retries: number;
  readonly #maxInFlight: number;
  readonly #requests: BodyShape<Req>;
  readonly #replies: BodyShape<Rep>;
  readonly #endpoints: EndpointList;
  #brokers: readonly Broker[] = [];
  readonly #socketOptions: DealerOptions | undefined;
  readonly #calls: PendingCalls;
  readonly #waiting = new LinkedList<Call>();
  readonly #counts = {
    requests: 0,
    replies: 0,
    errors: 0,
    cancelled: 0,
    retries: 0,
    lateReplies: 0,
    invalid: 0,
  };
  #nextId = BigInt(randomStart());

  /**
   * @param endpoints of the brokers' clients' side; or a source. A broker that the source has no more gets no further request,
   *   and is left when those that it has are answered; while it has none, calls wait
   * @throws InvalidArgumentError `EINVAL` for an unknown option, a bad value or a bad endpoint
   */
  constructor(endpoints: PatternEndpoints, options: LoadBalancerClientOptions<Req, Rep> = {}) {
    super("LoadBalancerClient", EVENTS);
    const settings = checkOptions("LoadBalancerClient", OPTIONS, options);
    this.#socketOptions = settings.socketOptions;
    const socket = (): Dealer => new Dealer(this.#socketOptions);
    this.#endpoints = new EndpointList("LoadBalancerClient", endpoints, { socket });
    this.#timeout = settings.timeout;
    this.#retries = settings.retries;
    this.#maxInFlight = settings.maxInFlight;
    this.#requests = new BodyShape(options.requestCodec);
    this.#replies = new BodyShape(options.replyCodec);
    this.#calls = new PendingCalls(settings);
    try {
      for (const endpoint of this.#endpoints.current) this.#connect(endpoint);
    } catch (error) {
      for (const { dealer } of this.#brokers) void dealer.close({ linger: 0 });
      throw error;
    }
    this.#endpoints.start({
      changed: (list) => this.#follow(list),
      event: (event) => this.events.emit(event),
    });
  }

  /**
   * Sends a request and gives its reply.
   *
   * @returns the reply's frames, or with a codec the value
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; InvalidMessageError `ERR_INVALID_MESSAGE` for what a
   *   codec refuses, either way; InvalidStateError `ERR_TOO_MANY_PENDING`
   * @throws ServiceError `ERR_SERVICE`: a worker's handler failed, the broker gave up, or the connection ended more often
   *   than `retries` allow (`broker-lost`)
   * @throws ClosedError `EBADF`; `EAGAIN` while it drains, or when it closes
   */
  request(body: BodyFor<Req>, options: LoadBalancerCallOptions = {}): Promise<BodyOf<Rep>> {
    try {
      this.assertOpen();
      const { timeout = this.#timeout, signal } = checkOptions(
        "LoadBalancerClient.request",
        CALL_OPTIONS,
        options,
      );
      const frames = this.#requests.encode(body);
      const id = Buffer.allocUnsafeSlow(8);
      id.writeBigUInt64BE(this.#nextId);
      const pending = this.#calls.add<BodyOf<Rep>>(costOf(frames), {
        timeout,
        signal,
        onGivenUp: (why) => {
          if (why === "timeout") this.#counts.errors += 1;
          else this.#counts.cancelled += 1;
          this.#forget(call);
        },
      });
      this.#nextId += 1n;
      const call: Call = {
        id: id.toString("latin1"),
        message: [id, DELIMITER, ...frames],
        pending: pending as PendingCall<unknown>,
        attempts: 0,
        broker: undefined,
        link: undefined as never,
      };
      call.link = new Link(call);
      this.#counts.requests += 1;
      this.#waiting.push(call.link);
      this.#dispatch();
      return pending.promise;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Waits until a broker is connected.
   *
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF`, `EAGAIN`
   */
  ready(options: PatternWaitOptions = {}): Promise<void> {
    return this.whenReady(() => this.#brokers.map(({ dealer }) => dealer), options, this.#endpoints);
  }

  stats(): LoadBalancerClientStats {
    return {
      ...this.#counts,
      pending: this.#calls.size,
      pendingBytes: this.#calls.bytes,
      inFlight: this.#brokers.reduce((sum, { inFlight }) => sum + inFlight.size, 0),
    };
  }

  /** @internal */
  protected override onDrain(): Promise<void> {
    return this.#calls.idle();
  }

  /** @internal */
  protected async onClose(): Promise<void> {
    this.#endpoints.stop();
    this.#counts.cancelled += this.#calls.size;
    this.#calls.close();
    for (const { stopping } of this.#brokers) clearTimeout(stopping);
    for (const { dealer } of this.#brokers) dealer.events.close(); // Nobody listens to what its closing brings.
    await Promise.all(this.#brokers.map(({ dealer }) => dealer.close({ linger: 0 })));
  }

  #brokerAt(endpoint: string): Broker {
    return {
      endpoint,
      // What a lost connection had is sent again from here, not by the socket as well.
      dealer: new Dealer({ linger: 0, ...this.#socketOptions, immediate: true }),
      inFlight: new Map(),
      joined: false,
      stopping: undefined,
      leaving: false,
      left: 0,
      blocked: undefined,
    };
  }

  /** The source has other brokers. */
  #follow(list: readonly string[]): void {
    if (this.closed) return;
    const wanted = new Set(list);
    for (const broker of this.#brokers) {
      broker.leaving = !wanted.delete(broker.endpoint);
      // What waits in its socket has not left, and goes to another.
      if (broker.leaving) broker.blocked?.stop.abort();
    }
    for (const endpoint of wanted) {
      this.#endpoints.follow(endpoint, () => this.#connect(endpoint));
    }
    this.#closeLeft();
    this.#dispatch();
  }

  /** Closes the connections to brokers that have left and owe no reply. */
  #closeLeft(): void {
    for (const broker of this.#brokers) {
      if (!broker.leaving || broker.inFlight.size > 0) continue;
      this.#brokers = this.#brokers.filter((each) => each !== broker);
      this.#resume(broker);
      if (broker.joined) this.events.emit({ type: "broker:left", endpoint: broker.endpoint, inFlight: 0 });
      broker.joined = false;
      broker.dealer.events.close();
      void broker.dealer.close({ linger: 0 });
    }
  }

  #connect(endpoint: string): void {
    const broker = this.#brokerAt(endpoint);
    const { dealer } = broker;
    dealer.events.on("peer:join", () => {
      broker.joined = true;
      this.#resume(broker);
      this.events.emit({ type: "broker:joined", endpoint });
      this.#dispatch();
    });
    dealer.events.on("peer:leave", () => this.#left(broker));
    try {
      dealer.connect(endpoint);
    } catch (error) {
      void dealer.close({ linger: 0 });
      throw error;
    }
    this.#brokers = [...this.#brokers, broker];
    void this.#read(broker);
  }

  async #read(broker: Broker): Promise<void> {
    for await (const [id, delimiter, ...body] of broker.dealer) {
      if (id?.length !== 8 || delimiter?.length !== 0 || body.length === 0) {
        this.#counts.invalid += 1;
        this.events.emit({
          type: "message:invalid",
          endpoint: broker.endpoint,
          frames: body.length + (id === undefined ? 0 : 1) + (delimiter === undefined ? 0 : 1),
        });
      } else this.#reply(broker, id.toString("latin1"), body);
    }
  }

  #reply(broker: Broker, id: string, body: Buffer[]): void {
    const call = broker.inFlight.get(id);
    if (call === undefined) {
      this.#counts.lateReplies += 1;
      return;
    }
    this.#forget(call);
    const error = parseErrorReply(body, broker.endpoint);
    if (error?.reason === "stopping") this.#stopped(broker, call, error);
    else if (error !== undefined) this.#fail(call, error);
    else {
      try {
        call.pending.resolve(this.#replies.decode(body));
        this.#counts.replies += 1;
      } catch (cause) {
        this.#fail(call, cause as ShoalError);
      }
    }
    this.#dispatch();
  }

  #fail(call: Call, error: ShoalError): void {
    this.#counts.errors += 1;
    call.pending.reject(error);
  }

  /** A connection has ended: what was sent over it has no reply any more, and goes to the front, the oldest first. */
  #left(broker: Broker): void {
    if (!broker.joined) return;
    broker.joined = false;
    broker.left += 1;
    const { blocked } = broker;
    const lost = [...broker.inFlight.values()].filter((call) => call !== blocked?.call).reverse();
    // It has not left, and need not wait for this broker to come back.
    blocked?.stop.abort();
    this.events.emit({ type: "broker:left", endpoint: broker.endpoint, inFlight: lost.length });
    this.#sendAgain(broker, lost);
    if (broker.leaving) this.#closeLeft();
    this.#dispatch();
  }

  /** Calls that were sent over a connection that has ended. */
  #sendAgain(broker: Broker, lost: readonly Call[]): void {
    for (const call of lost) {
      // A listener of the events here may have given it up.
      if (call.pending.settled) continue;
      broker.inFlight.delete(call.id);
      call.broker = undefined;
      const times = call.attempts === 1 ? "once" : `${call.attempts} times`;
      const text = `the connection ended before the reply came, ${times}`;
      this.#retry(call, "disconnected", () => new ServiceError("broker-lost", broker.endpoint, text));
    }
  }

  /** A broker that is about to close has dropped a call. */
  #stopped(broker: Broker, call: Call, error: ServiceError): void {
    broker.stopping ??= setTimeout(() => {
      this.#resume(broker);
      this.#dispatch();
    }, STOPPING_PAUSE).unref();
    this.#retry(call, "stopping", () => error);
  }

  #resume(broker: Broker): void {
    clearTimeout(broker.stopping);
    broker.stopping = undefined;
  }

  #retry(call: Call, reason: "disconnected" | "stopping", failure: () => ServiceError): void {
    if (call.attempts > this.#retries) {
      this.#fail(call, failure());
      return;
    }
    this.#counts.retries += 1;
    this.events.emit({ type: "request:retried", reason, attempt: call.attempts });
    if (!call.pending.settled) this.#waiting.unshift(call.link);
  }

  #dispatch(): void {
    if (this.closed) return;
    for (let call = this.#waiting.first; call !== undefined; call = this.#waiting.first) {
      const broker = this.#choose();
      if (broker === undefined) return;
      this.#waiting.shift();
      this.#send(call, broker);
    }
  }

  /** The connected broker with the fewest requests that has room. */
  #choose(): Broker | undefined {
    let best: Broker | undefined;
    for (const broker of this.#brokers) {
      const { joined, leaving, stopping, blocked, inFlight } = broker;
      if (
        !joined ||
        leaving ||
        stopping !== undefined ||
        blocked !== undefined ||
        inFlight.size >= this.#maxInFlight
      )
        continue;
      if (best === undefined || broker.inFlight.size < best.inFlight.size) best = broker;
    }
    return best;
  }

  #send(call: Call, broker: Broker): void {
    call.attempts += 1;
    call.broker = broker;
    broker.inFlight.set(call.id, call);
    try {
      if (broker.dealer.trySend(call.message)) return;
    } catch (error) {
      this.#forget(call);
      this.#fail(call, error as ShoalError);
      return;
    }
    const stop = new AbortController();
    const { left } = broker;
    broker.blocked = { call, stop };
    broker.dealer.send(call.message, { timeout: -1, signal: stop.signal }).then(
      () => {
        broker.blocked = undefined;
        // It left over a connection that has ended since.
        if (broker.left !== left && call.broker === broker) this.#sendAgain(broker, [call]);
        this.#dispatch();
      },
      () => {
        broker.blocked = undefined;
        this.#takeBack(call, broker);
        this.#dispatch();
      },
    );
  }

  /** A call that never left, because its broker is gone. */
  #takeBack(call: Call, broker: Broker): void {
    if (call.pending.settled || call.broker !== broker) return;
    broker.inFlight.delete(call.id);
    call.broker = undefined;
    call.attempts -= 1;
    this.#waiting.unshift(call.link);
    if (broker.leaving) this.#closeLeft();
  }

  #forget(call: Call): void {
    const { broker } = call;
    call.link.unlink();
    call.broker = undefined;
    if (broker === undefined) return;
    broker.inFlight.delete(call.id);
    if (broker.blocked?.call === call) broker.blocked.stop.abort();
    if (broker.leaving) this.#closeLeft();
  }
}
