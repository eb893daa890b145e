/**
 * A load balancer, and a client with concurrent requests.
 *
 * The balancer is two ROUTERs around kit/dispatcher.ts. Without heartbeats, a worker is lost when its connection ends;
 * Pirates (../pirate/) detect losses sooner. The client is a DEALER per broker, with an id per request:
 *
 *   DEALER sends   id | "" | body…        id: 8 bytes, used once by this client
 *   DEALER gets    id | "" | reply…
 *
 * Any ROUTER, REP or proxy that keeps all frames up to the delimiter returns the id: `LoadBalancer`, `PirateQueue`, a
 * queue proxy with REP workers, a plain REP. The Guide's lbbroker expects a single routing id.
 */
import { randomStart } from "../../core/bytes.js";
import { Link, LinkedList } from "../../core/collections/queues.js";
import type { ShoalError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { costOf } from "../../core/memory.js";
import { type BodyFor, type BodyOf, BodyShape } from "../../kit/body.js";
import { BROKER_OPTIONS, BrokerDriver } from "../../kit/broker-driver.js";
import {
  CALL_LIMITS,
  CALL_OPTIONS,
  type CallOptions,
  type PendingCall,
  PendingCalls,
} from "../../kit/calls.js";
import {
  type PirateQueueEvent,
  type PirateQueueStats,
  QUEUE_EVENTS,
  QueueRules,
} from "../../kit/dispatcher.js";
import { Driver, type PatternWaitOptions } from "../../kit/driver.js";
import { ENDPOINT_SOURCE_EVENTS, EndpointList, type PatternEndpoints } from "../../kit/endpoint-list.js";
import { lateError, parseErrorReply, ServiceError } from "../../kit/errors.js";
import {
  checkOptions,
  codec,
  type Given,
  type GivenWithCodecs,
  integer,
  object,
  type Settings,
} from "../../kit/options.js";
import { connected, OpenedSockets } from "../../kit/sockets.js";
import { lastFailure, whenWritable } from "../../sockets/internal.js";
import type { Raw } from "../../sockets/message.js";
import { Dealer, type DealerOptions } from "../../sockets/request-reply.js";
import type { LOAD_BALANCER_CLIENT } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";

// --- Balancer --------------------------------------------------------------------------------------------------------

/** Workers are Simple Pirates. */
const RULES = { dialect: "simple", heartbeatInterval: 1_000, liveness: 1 } as const;

/** Events. Routing ids are bytes. */
export type LoadBalancerEvent = PirateQueueEvent;

export type LoadBalancerStats = PirateQueueStats;

export type LoadBalancerOptions = Given<typeof BROKER_OPTIONS>;

/**
 * Gives each request to the least recently used worker, one at a time, so that work follows capacity.
 *
 * Clients send `"" | body…` as a REQ, or as a DEALER with many requests in flight. Workers are REQ sockets that send
 * READY first, or a `PirateWorker` of dialect `"simple"`.
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
export class LoadBalancer extends BrokerDriver<LoadBalancerEvent, LoadBalancerStats> {
  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: LoadBalancerOptions = {}) {
    const settings = checkOptions("LoadBalancer", BROKER_OPTIONS, options);
    super(
      "LoadBalancer",
      QUEUE_EVENTS,
      settings,
      RULES.heartbeatInterval,
      (effects, now) => new QueueRules({ ...settings, ...RULES }, effects, now),
    );
  }
}

// --- Client ----------------------------------------------------------------------------------------------------------

const EVENTS = {
  "broker:joined": event<{ readonly endpoint: string }>(),
  /** `inFlight` requests have no reply. */
  "broker:left": event<{ readonly endpoint: string; readonly inFlight: number }>(),
  /** `attempt` is 1 for the first failed one. */
  "request:retried": event<{
    readonly reason: "disconnected" | "stopping";
    readonly attempt: number;
  }>(),
  "message:invalid": event<{ readonly endpoint: string; readonly frames: number }>(),
  ...ENDPOINT_SOURCE_EVENTS,
};

export type LoadBalancerClientEvent = EventsOf<typeof EVENTS>;

/** Statistics: requests = replies + errors + cancelled + pending. */
export type LoadBalancerClientStats = StatisticsOf<typeof LOAD_BALANCER_CLIENT>;

const OPTIONS = {
  /** Timeout of a call; -1: no limit. Default 30,000. */
  timeout: integer({ default: 30_000, min: -1 }),
  /** Repetitions after an ended connection. Those after a stopping broker's answer do not count. Default 2. */
  retries: integer({ default: 2, min: 0 }),
  ...CALL_LIMITS,
  /** Requests in flight per broker; more wait here. Default 1,000. */
  maxInFlight: integer({ default: 1_000 }),
  requestCodec: codec(),
  replyCodec: codec(),
  /** Options of the DEALERs, such as security. */
  socketOptions: object<DealerOptions>(["codec"]),
};

/** Times in ms. */
export type LoadBalancerClientOptions<Req = Raw, Rep = Raw> = GivenWithCodecs<typeof OPTIONS, Req, Rep>;

const DELIMITER = Buffer.alloc(0);
/** ms without requests for a stopping broker that stays connected. */
const STOPPING_PAUSE = 1_000;

interface Call {
  readonly id: string;
  readonly message: Buffer[];
  readonly pending: PendingCall<unknown>;
  attempts: number;
  broker: Broker | undefined;
  link: Link<Call>;
}

interface Broker {
  readonly endpoint: string;
  readonly dealer: Dealer;
  readonly inFlight: Map<string, Call>;
  joined: boolean;
  /** A stopping broker gets no requests until it reconnects or this timer ends: another may be behind the endpoint. */
  pause: NodeJS.Timeout | undefined;
  /** Its socket has no room. */
  full: boolean;
  /** Removed from the source: closed after its last reply. */
  leaving: boolean;
}

/**
 * Sends concurrent requests to workers behind one or more load balancers. A request goes to the connected broker with
 * the fewest in flight, and to another if that connection ends: it may be handled twice.
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
  readonly #settings: Settings<typeof OPTIONS>;
  readonly #requests: BodyShape<Req>;
  readonly #replies: BodyShape<Rep>;
  readonly #endpoints: EndpointList;
  #brokers: readonly Broker[] = [];
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
   * @param endpoints of the brokers' client side; or a source: a removed broker is closed after its last reply, and
   *   calls wait while the source is empty
   * @throws InvalidArgumentError `EINVAL` for an unknown option, a bad value or a bad endpoint
   */
  constructor(endpoints: PatternEndpoints, options: LoadBalancerClientOptions<Req, Rep> = {}) {
    super("LoadBalancerClient", EVENTS);
    const settings = checkOptions("LoadBalancerClient", OPTIONS, options);
    this.#settings = settings;
    const socket = (): Dealer => new Dealer(settings.socketOptions);
    this.#endpoints = new EndpointList("LoadBalancerClient", endpoints, { socket });
    this.#requests = new BodyShape(options.requestCodec);
    this.#replies = new BodyShape(options.replyCodec);
    this.#calls = new PendingCalls(settings);
    const sockets = new OpenedSockets();
    for (const endpoint of this.#endpoints.current) sockets.open(() => this.#connect(endpoint));
    this.#endpoints.start((list) => this.#follow(list), this.events);
  }

  /**
   * @returns the reply's frames, or with a codec the value
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; InvalidMessageError `ERR_INVALID_MESSAGE` when a codec
   *   refuses the request or reply; InvalidStateError `ERR_TOO_MANY_PENDING`; ServiceError `ERR_SERVICE`: a worker's
   *   handler failed, the broker gave up, or the connection ended more than `retries` times (`broker-lost`);
   *   ClosedError `EBADF`; `EAGAIN` while draining or when it closes
   */
  request(body: BodyFor<Req>, options: CallOptions = {}): Promise<BodyOf<Rep>> {
    try {
      const { timeout = this.#settings.timeout, signal } = checkOptions(
        "LoadBalancerClient.request",
        CALL_OPTIONS,
        options,
      );
      const frames = this.#requests.encode(body);
      this.assertOpen();
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
   * Settles when a broker is connected.
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF`, `EAGAIN`
   */
  ready(options: PatternWaitOptions = {}): Promise<void> {
    return this.whenReached(
      this.#brokers.some(({ joined }) => joined),
      options,
      () => {
        const failures = this.#brokers.map(({ dealer }) => lastFailure(dealer));
        const text = `No broker was connected within ${options.timeout} ms`;
        return lateError(text, this.#endpoints.current, failures.find(Boolean));
      },
    );
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
    for (const { pause, inFlight } of this.#brokers) {
      clearTimeout(pause);
      inFlight.clear();
    }
    for (const { dealer } of this.#brokers) dealer.events.close();
    await Promise.all(this.#brokers.map(({ dealer }) => dealer.close({ linger: 0 })));
  }

  #follow(list: readonly string[]): void {
    if (this.closed) return;
    const wanted = new Set(list);
    for (const broker of this.#brokers) {
      broker.leaving = !wanted.delete(broker.endpoint);
    }
    for (const endpoint of wanted) {
      this.#endpoints.connect(endpoint, () => this.#connect(endpoint));
    }
    this.#closeLeft();
    this.#dispatch();
  }

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

  #connect(endpoint: string): Dealer {
    // Requests of a lost connection are repeated here, not by the socket.
    const { socketOptions } = this.#settings;
    const dealer = new Dealer({ linger: 0, ...socketOptions, immediate: true, receiveTimeout: -1 });
    const states = { joined: false, pause: undefined, full: false, leaving: false };
    const broker: Broker = { endpoint, dealer, inFlight: new Map(), ...states };
    dealer.events.on("peer:join", () => {
      broker.joined = true;
      this.reached();
      this.#resume(broker);
      this.events.emit({ type: "broker:joined", endpoint });
      this.#dispatch();
    });
    dealer.events.on("peer:leave", () => this.#left(broker));
    connected(dealer, endpoint);
    this.#brokers = [...this.#brokers, broker];
    void this.#read(broker);
    return dealer;
  }

  async #read(broker: Broker): Promise<void> {
    for await (const frames of broker.dealer) {
      const [id, delimiter, ...body] = frames;
      if (id?.length !== 8 || delimiter?.length !== 0 || body.length === 0) {
        this.#counts.invalid += 1;
        this.events.emit({ type: "message:invalid", endpoint: broker.endpoint, frames: frames.length });
      } else this.#reply(broker, id.toString("latin1"), body);
      this.#dispatch();
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
    if (error?.reason === "stopping") {
      this.#pause(broker);
      this.#again(call, "stopping");
      call.attempts -= 1; // No worker had it.
    } else if (error !== undefined) this.#fail(call, error);
    else {
      try {
        call.pending.resolve(this.#replies.decode(body));
        this.#counts.replies += 1;
      } catch (cause) {
        this.#fail(call, cause as ShoalError);
      }
    }
  }

  #fail(call: Call, error: ShoalError): void {
    this.#counts.errors += 1;
    call.pending.reject(error);
  }

  /** Its requests return to the front, oldest first. */
  #left(broker: Broker): void {
    if (!broker.joined) return;
    broker.joined = false;
    const lost = [...broker.inFlight.values()].reverse();
    this.events.emit({ type: "broker:left", endpoint: broker.endpoint, inFlight: lost.length });
    for (const call of lost) {
      // A listener may have cancelled it.
      if (call.pending.settled) continue;
      broker.inFlight.delete(call.id);
      call.broker = undefined;
      const times = call.attempts === 1 ? "once" : `${call.attempts} times`;
      const text = `the connection ended before the reply came, ${times}`;
      if (call.attempts <= this.#settings.retries) this.#again(call, "disconnected");
      else this.#fail(call, new ServiceError("broker-lost", broker.endpoint, text));
    }
    if (broker.leaving) this.#closeLeft();
    this.#dispatch();
  }

  #pause(broker: Broker): void {
    clearTimeout(broker.pause);
    broker.pause = setTimeout(() => {
      broker.pause = undefined;
      this.#dispatch();
    }, STOPPING_PAUSE).unref();
  }

  #resume(broker: Broker): void {
    clearTimeout(broker.pause);
    broker.pause = undefined;
  }

  #again(call: Call, reason: "disconnected" | "stopping"): void {
    this.#counts.retries += 1;
    this.events.emit({ type: "request:retried", reason, attempt: call.attempts });
    if (!call.pending.settled) this.#waiting.unshift(call.link);
  }

  #dispatch(): void {
    if (this.closed) return;
    for (let call = this.#waiting.first; call !== undefined; call = this.#waiting.first) {
      const broker = this.#choose();
      if (broker === undefined) return;
      this.#send(call, broker);
    }
  }

  #choose(): Broker | undefined {
    let best: Broker | undefined;
    const { maxInFlight } = this.#settings;
    for (const broker of this.#brokers) {
      const { joined, leaving, pause, full, inFlight } = broker;
      if (!joined || leaving || pause !== undefined || full || inFlight.size >= maxInFlight) continue;
      if (best === undefined || inFlight.size < best.inFlight.size) best = broker;
    }
    return best;
  }

  #send(call: Call, broker: Broker): void {
    call.link.unlink();
    call.attempts += 1;
    call.broker = broker;
    broker.inFlight.set(call.id, call);
    try {
      // A transport of the program may call this client, or give the call up.
      if (broker.dealer.trySend(call.message)) return;
    } catch (error) {
      this.#forget(call);
      this.#fail(call, error as ShoalError);
      return;
    }
    call.attempts -= 1;
    call.broker = undefined;
    broker.inFlight.delete(call.id);
    this.#waiting.unshift(call.link);
    broker.full = true;
    void whenWritable(broker.dealer).then(() => {
      broker.full = false;
      this.#dispatch();
    });
  }

  #forget(call: Call): void {
    const { broker } = call;
    call.link.unlink();
    call.broker = undefined;
    if (broker === undefined) return;
    broker.inFlight.delete(call.id);
    if (broker.leaving) this.#closeLeft();
  }
}
