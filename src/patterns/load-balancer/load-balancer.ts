/**
 * A load balancer, and a client with concurrent requests.
 *
 * The balancer is the Pirates' queue (../pirate/) for Simple Pirates: without heartbeats, a worker is lost when its
 * connection ends. The client is a DEALER per broker, with an id per request:
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
import { BodyShape } from "../../kit/body.js";
import { BROKER_OPTIONS } from "../../kit/broker-driver.js";
import type { PendingCall } from "../../kit/calls.js";
import { DEALER_CLIENT_OPTIONS, DealerClient, DealerServer } from "../../kit/dealer-client.js";
import { ENDPOINT_SOURCE_EVENTS, type PatternEndpoints } from "../../kit/endpoint-list.js";
import { parseErrorReply, ServiceError } from "../../kit/errors.js";
import {
  checkOptions,
  codec,
  type Given,
  type GivenWithCodecs,
  integer,
  type Settings,
} from "../../kit/options.js";
import type { Raw } from "../../sockets/message.js";
import type { LOAD_BALANCER_CLIENT } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import { PirateQueue, type PirateQueueEvent, type PirateQueueStats } from "../pirate/index.js";

// --- Balancer --------------------------------------------------------------------------------------------------------

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
export class LoadBalancer extends PirateQueue {
  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: LoadBalancerOptions = {}) {
    super({ ...checkOptions("LoadBalancer", BROKER_OPTIONS, options), dialect: "simple" }, "LoadBalancer");
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
  ...DEALER_CLIENT_OPTIONS,
  /** Requests in flight per broker; more wait here. Default 1,000. */
  maxInFlight: integer({ default: 1_000 }),
  requestCodec: codec(),
  replyCodec: codec(),
};

/** Times in ms. */
export type LoadBalancerClientOptions<Req = Raw, Rep = Raw> = GivenWithCodecs<typeof OPTIONS, Req, Rep>;

const DELIMITER = Buffer.alloc(0);
/** ms without requests for a stopping broker that stays connected. */
const STOPPING_PAUSE = 1_000;

class Call {
  readonly id: string;
  readonly message: Buffer[];
  readonly pending: PendingCall<unknown>;
  readonly link: Link<Call> = new Link<Call>(this);
  attempts = 0;
  broker: Broker | undefined = undefined;

  constructor(id: Buffer, frames: readonly Buffer[], pending: PendingCall<unknown>) {
    this.id = id.toString("latin1");
    this.message = [id, DELIMITER, ...frames];
    this.pending = pending;
  }
}

class Broker extends DealerServer {
  readonly inFlight = new Map<string, Call>();
  /** A stopping broker gets no requests until it reconnects or this timer ends: another may be behind the endpoint. */
  pause: NodeJS.Timeout | undefined = undefined;

  /** A removed one is closed after its last reply. */
  override get isBusy(): boolean {
    return this.inFlight.size > 0;
  }

  resume(): void {
    clearTimeout(this.pause);
    this.pause = undefined;
  }
}

/**
 * Sends concurrent requests to workers behind one or more load balancers. A request goes to the connected broker with
 * the fewest in flight, and to another if that connection ends: it may be handled twice. It fails with `broker-lost` after
 * more than `retries` ended connections.
 * {@link LoadBalancer} has an example.
 */
export class LoadBalancerClient<Req = Raw, Rep = Raw> extends DealerClient<
  Req,
  Rep,
  Call,
  Broker,
  LoadBalancerClientEvent,
  LoadBalancerClientStats
> {
  readonly #settings: Settings<typeof OPTIONS>;
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
    const settings = checkOptions("LoadBalancerClient", OPTIONS, options);
    super("LoadBalancerClient", EVENTS, endpoints, settings, {
      requests: new BodyShape(options.requestCodec),
      replies: new BodyShape(options.replyCodec),
      Server: Broker,
    });
    this.#settings = settings;
    this.start();
  }

  stats(): LoadBalancerClientStats {
    return {
      ...this.#counts,
      pending: this.calls.size,
      pendingBytes: this.calls.bytes,
      inFlight: this.peers.reduce((sum, { inFlight }) => sum + inFlight.size, 0),
    };
  }

  /** @internal */
  protected override async onClose(): Promise<void> {
    this.#counts.cancelled += this.calls.size;
    for (const broker of this.peers) {
      broker.resume();
      broker.inFlight.clear();
    }
    await super.onClose();
  }

  protected override prepare(frames: Buffer[], pending: PendingCall<unknown>): Call {
    const id = Buffer.allocUnsafeSlow(8);
    id.writeBigUInt64BE(this.#nextId++);
    return new Call(id, frames, pending);
  }

  protected override begin(call: Call): void {
    this.#counts.requests += 1;
    this.#waiting.push(call.link);
    this.proceed();
  }

  protected override givenUp(call: Call, why: "timeout" | "aborted"): void {
    if (why === "timeout") this.#counts.errors += 1;
    else this.#counts.cancelled += 1;
    this.#forget(call);
  }

  protected override joined(broker: Broker): void {
    broker.resume();
    this.events.emit({ type: "broker:joined", endpoint: broker.endpoint });
  }

  /** @internal Its requests return to the front, oldest first. */
  protected override left(broker: Broker): void {
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
    this.closeLeft();
    this.proceed();
  }

  protected override receive(broker: Broker, frames: Buffer[]): void {
    const [id, delimiter, ...body] = frames;
    if (id?.length !== 8 || delimiter?.length !== 0 || body.length === 0) {
      this.#counts.invalid += 1;
      this.events.emit({ type: "message:invalid", endpoint: broker.endpoint, frames: frames.length });
    } else this.#reply(broker, id.toString("latin1"), body);
    this.proceed();
  }

  protected override proceed(): void {
    if (this.closed) return;
    for (let call = this.#waiting.first; call !== undefined; call = this.#waiting.first) {
      const broker = this.#choose();
      if (broker === undefined) return;
      this.#send(call, broker);
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
      broker.resume();
      broker.pause = setTimeout(() => {
        broker.pause = undefined;
        this.proceed();
      }, STOPPING_PAUSE).unref();
      this.#again(call, "stopping");
      call.attempts -= 1; // No worker had it.
    } else if (error !== undefined) this.#fail(call, error);
    else if (this.settle(call, body)) this.#counts.replies += 1;
    else this.#counts.errors += 1;
  }

  #fail(call: Call, error: ShoalError): void {
    this.#counts.errors += 1;
    call.pending.reject(error);
  }

  #again(call: Call, reason: "disconnected" | "stopping"): void {
    this.#counts.retries += 1;
    this.events.emit({ type: "request:retried", reason, attempt: call.attempts });
    if (!call.pending.settled) this.#waiting.unshift(call.link);
  }

  #choose(): Broker | undefined {
    let best: Broker | undefined;
    for (const broker of this.peers) {
      const { isJoined, isLeaving, isFull, pause, inFlight } = broker;
      if (!isJoined || isLeaving || isFull || pause !== undefined) continue;
      if (inFlight.size < (best?.inFlight.size ?? this.#settings.maxInFlight)) best = broker;
    }
    return best;
  }

  #send(call: Call, broker: Broker): void {
    call.link.unlink();
    call.attempts += 1;
    call.broker = broker;
    broker.inFlight.set(call.id, call);
    try {
      // A listener may call this client within that, or give the call up.
      if (this.trySend(broker, call.message)) return;
    } catch (error) {
      this.#forget(call);
      this.#fail(call, error as ShoalError);
      return;
    }
    call.attempts -= 1;
    call.broker = undefined;
    broker.inFlight.delete(call.id);
    this.#waiting.unshift(call.link);
  }

  #forget(call: Call): void {
    const { broker } = call;
    call.link.unlink();
    call.broker = undefined;
    if (broker === undefined) return;
    broker.inFlight.delete(call.id);
    if (broker.isLeaving) this.closeLeft();
  }
}
