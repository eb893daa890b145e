/**
 * Half of a Binary Star: publishes its state, reads its peer's, and decides on clients' requests.
 *
 *   PUB bound by `bind`           ── state, each heartbeat ──>  the peer's SUB
 *   SUB connected to `peer`      <── state ──                   the peer's PUB
 */
import { invalidArgument } from "../../core/arguments.js";
import { ClosedError, InvalidArgumentError, InvalidStateError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { INT32 } from "../../core/option-spec.js";
import { type Clock, DriverTimer, systemClock } from "../../core/timers.js";
import { IdleWaits } from "../../core/waiter.js";
import { Driver, type PatternWaitOptions } from "../../kit/driver.js";
import { ENDPOINT_SOURCE_EVENTS, EndpointList, type EndpointSourceEvent } from "../../kit/endpoint-list.js";
import {
  anything,
  checkEndpoint,
  checkOptions,
  choice,
  func,
  type GivenWith,
  integer,
  methods,
  object,
  type Settings,
} from "../../kit/options.js";
import { OpenedSockets } from "../../kit/sockets.js";
import { type EndpointSource, isEndpointSource } from "../../sockets/endpoint-source.js";
import { listen, type SocketEvent } from "../../sockets/internal.js";
import {
  Publisher,
  type PublisherOptions,
  Subscriber,
  type SubscriberOptions,
} from "../../sockets/pub-sub.js";
import type { BINARY_STAR } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import {
  type BinaryStarAdmission,
  type BinaryStarEffects,
  type BinaryStarFenceReason,
  type BinaryStarReason,
  type BinaryStarReplica,
  type BinaryStarRole,
  BinaryStarRules,
  BinaryStarState,
  encodeState,
  parseState,
} from "./rules.js";

/** ms, initial and maximal: reconnects must happen within the peer's timeout. */
const RECONNECT_INTERVAL = 100;
/** ms between PINGs at most, as sockets have it. */
const PING_INTERVAL = 5_000;
/** ms for an attempt to connect at least: the system repeats it ever less often while the peer is off. */
const DIAL_TIMEOUT = 1_000;
/** ms for a handshake at least, with a slow `authenticate`: the peer may lose its power before its greeting. */
const HANDSHAKE_TIMEOUT = 5_000;
const LAST_STATE_LINGER = 100;

interface StateSocketOptions extends PublisherOptions, SubscriberOptions {}

export const OPTIONS = {
  /** The primary is active when both start. */
  role: choice<BinaryStarRole>(["primary", "backup"]),
  /**
   * The other server's state endpoint, or a source of it without this server's own. An empty list keeps the endpoint:
   * a draining server is still active and must be heard.
   */
  peer: anything<string | EndpointSource>(),
  /** ms between states; the same on both servers. Default 1,000. */
  heartbeatInterval: integer({ default: 1_000 }),
  /** Heartbeats of silence before the peer counts as gone; 2 to 1,000, the same on both servers. Default 2. */
  liveness: integer({ default: 2, min: 2, max: 1_000 }),
  /** Options of both sockets. */
  socketOptions: object<StateSocketOptions>(["codec"]),
  /** Options of the PUB, over `socketOptions`: security as a server. */
  publisherOptions: object<PublisherOptions>(["codec"]),
  /** Options of the SUB, over `socketOptions`: security as a client. `handshakeInterval`: the peer's timeout, 5 s at least. */
  subscriberOptions: object<SubscriberOptions>(["codec"]),
  /** Called before `handOver`; throw to refuse it. */
  checkHandOver: func<() => void>(),
  /**
   * State that a fail-over must not lose, checked before this server becomes active. On both servers or neither;
   * incompatible with the Guide's programs.
   */
  replica: methods<BinaryStarReplica>("a replica: an object", [
    "position",
    "compare",
    "mayTakeOver",
    "resolved",
  ]),
  /** Clock for tests. */
  clock: anything<Clock>(),
};

/** Options of a Binary Star. Times in ms. */
export type BinaryStarOptions = GivenWith<typeof OPTIONS, "role" | "peer">;

/**
 * `active` serves, `passive` stands by, `primary` and `backup` wait for their peer's state. `fenced` serves no one
 * until `resolve`; `doubting`, after a pause, until it knows whether its peer took over.
 */
export type BinaryStarStateName = StatisticsOf<typeof BINARY_STAR>["state"];

export const BINARY_STAR_EVENTS = {
  /**
   * With the state `fenced` this server serves no one until `resolve`. Listeners of `active` run before queued requests
   * are served. Reason `stalled`: `doubting` for about a heartbeat, then `active` without an interruption if the peer did
   * not take over.
   */
  "state:changed": event<
    | {
        readonly state: Exclude<BinaryStarStateName, "fenced">;
        readonly from: BinaryStarStateName;
        readonly reason: BinaryStarReason;
      }
    | {
        readonly state: "fenced";
        readonly from: BinaryStarStateName;
        readonly reason: BinaryStarFenceReason;
      }
  >(),
  /** The peer lives, or this server is fenced. */
  "votes:dropped": event(),
  /** The peer has the same role; neither will serve. */
  "peer:misconfigured": event<{ readonly role: BinaryStarRole }>(),
  /** The peer's message is not a state, or of an unknown version. */
  "peer:invalid": event<{ readonly frames: number }>(),
};

export type BinaryStarEvent = EventsOf<typeof BINARY_STAR_EVENTS>;

export type BinaryStarStats = StatisticsOf<typeof BINARY_STAR> & {
  /** `undefined` while the peer is silent. */
  readonly peer: BinaryStarStateName | undefined;
};

const NAMES: Readonly<Record<BinaryStarState, BinaryStarStateName>> = {
  [BinaryStarState.PRIMARY]: "primary",
  [BinaryStarState.BACKUP]: "backup",
  [BinaryStarState.ACTIVE]: "active",
  [BinaryStarState.PASSIVE]: "passive",
};

/**
 * Half of a Binary Star: decides on clients' requests. A {@link BinaryStarGate} puts it in front of a server.
 *
 * @example
 * ```ts
 * import { BinaryStar, BinaryStarGate } from "shoal/binary-star";
 * import { MajordomoBroker } from "shoal/majordomo";
 *
 * const star = new BinaryStar({ role: "primary", peer: "tcp://127.0.0.1:5602" }); // Where the backup's state is.
 * const broker = new MajordomoBroker({ gate: new BinaryStarGate(star) });
 * await broker.bind("tcp://127.0.0.1:*");
 * await star.bind("tcp://127.0.0.1:*"); // The last step: the pair begins here.
 * await broker.close();
 * await star.close();
 * ```
 */
export class BinaryStar extends Driver<BinaryStarEvent | EndpointSourceEvent, BinaryStarStats> {
  readonly #settings: Settings<typeof OPTIONS>;
  readonly #rules: BinaryStarRules;
  readonly #timer: DriverTimer;
  readonly #publisher: Publisher;
  readonly #subscriber: Subscriber;
  /** `undefined` for a fixed endpoint. */
  readonly #peerSource: EndpointList | undefined;
  #peerEndpoint = "";
  /** Calls of {@link whenCertain}. */
  readonly #doubters = new IdleWaits();
  /** As reported last. */
  #state: BinaryStarStateName;
  #invalid = 0;
  #term = 0;
  #binding: Promise<string> | undefined;
  #running = false;
  /** States received before it have been read. */
  #readUntil = Number.NEGATIVE_INFINITY;

  /**
   * @param check internal: throws for an endpoint to refuse
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value
   */
  constructor(options: BinaryStarOptions, check?: (endpoint: string) => void) {
    super("BinaryStar", { ...BINARY_STAR_EVENTS, ...ENDPOINT_SOURCE_EVENTS });
    const settings = checkOptions("BinaryStar", OPTIONS, options);
    const { role, heartbeatInterval, liveness, replica, socketOptions, clock } = settings;
    if (role === undefined)
      throw new InvalidArgumentError(
        'Option role of BinaryStar must be "primary" or "backup"; got undefined',
      );
    const { peer } = settings;
    if (isEndpointSource(peer)) this.#peerSource = new EndpointList("BinaryStar", peer, check && { check });
    else {
      checkEndpoint("peer", peer);
      check?.(peer as string);
    }
    this.#settings = settings;
    // The rules must see pauses of the process.
    this.#timer = new DriverTimer(Number.POSITIVE_INFINITY, clock ?? systemClock);
    const reconnect = Math.min(RECONNECT_INTERVAL, heartbeatInterval);
    const patience = Math.min(INT32, heartbeatInterval * liveness);
    const publisher = { linger: 0, ...socketOptions, ...settings.publisherOptions };
    const subscriber = {
      linger: 0,
      reconnectInterval: reconnect,
      reconnectMaxInterval: reconnect,
      // A peer that is back after a power failure knows nothing of the old connection, and sends nothing on it.
      heartbeatInterval: Math.min(PING_INTERVAL, heartbeatInterval),
      connectTimeout: Math.max(DIAL_TIMEOUT, patience),
      handshakeInterval: Math.max(HANDSHAKE_TIMEOUT, patience),
      ...socketOptions,
      ...settings.subscriberOptions,
      receiveTimeout: -1,
    };
    const sockets = new OpenedSockets();
    this.#publisher = sockets.open(() => new Publisher(publisher));
    this.#subscriber = sockets.open(() => new Subscriber(subscriber));
    const effects: BinaryStarEffects = {
      publish: (own) => {
        if (this.closed) return; // By a listener of the change.
        const frame = encodeState(own);
        this.#publisher.trySend(replica === undefined ? frame : [frame, replica.position()]);
      },
      changed: (reason) => this.#changed(reason),
      votesDropped: () => this.events.emit({ type: "votes:dropped" }),
      sameRole: (peer) => this.events.emit({ type: "peer:misconfigured", role: peer }),
    };
    const rulesOptions = { role, heartbeatInterval, liveness, replica };
    this.#rules = new BinaryStarRules(rulesOptions, effects, this.#timer.now());
    this.#state = this.state;
  }

  /** Wildcards filled in; `null` before {@link bind}. */
  get endpoint(): string | null {
    return this.#publisher.lastEndpoint;
  }

  get state(): BinaryStarStateName {
    if (this.#rules.fence !== undefined) return "fenced";
    return this.#rules.doubting ? "doubting" : NAMES[this.#rules.state];
  }

  /** Changes each time this server becomes or stops being active. */
  get term(): number {
    return this.#term;
  }

  /**
   * Binds the state endpoint, and starts the pair.
   * @returns the endpoint, wildcards filled in
   * @throws InvalidStateError `EFSM` when already bound; InvalidArgumentError `EINVAL`; ClosedError `EBADF`;
   *   TransportError as a socket's `bind`
   */
  async bind(endpoint: string): Promise<string> {
    this.assertOpen();
    checkEndpoint("endpoint", endpoint, "bind");
    if (this.#binding !== undefined) throw new InvalidStateError("EFSM", "BinaryStar is bound already");
    this.#binding = this.#bind(endpoint);
    this.#binding.catch(() => {
      this.#binding = undefined;
    });
    return this.#binding;
  }

  /**
   * Settles when this server is active or passive.
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF`, `EAGAIN`
   */
  async ready(options: PatternWaitOptions = {}): Promise<void> {
    this.assertOpen();
    return this.whenReached(this.state === "active" || this.state === "passive", options);
  }

  /**
   * Decides on a client's request. Each call is a vote for fail-over: call it for client requests only.
   * @returns `serve`: answer it. `hold`: answer it at `active`, drop it at `votes:dropped` or `fenced`. `refuse`: drop it
   */
  admit(): BinaryStarAdmission {
    if (!this.#running || this.stopping) return "refuse";
    return this.#timer.run((now) => this.#rules.request(now));
  }

  /** Not a vote. Check again before sending a reply. */
  isServing(): boolean {
    if (!this.#running || this.closed) return false;
    return this.#timer.run((now) => this.#rules.stillServing(now));
  }

  /**
   * Whether this server is active. A doubting one knows after about a heartbeat: await it before dropping a reply.
   */
  async whenCertain(): Promise<boolean> {
    while (!this.isServing() && this.#rules.doubting && !this.closed) await this.#doubters.wait(false);
    return this.isServing();
  }

  /** Publishes the new position of `replica` at once. */
  publishNow(): void {
    if (this.#running && !this.closed) this.#timer.run((now) => this.#rules.publishNow(now));
  }

  /**
   * Hands the service over to the passive peer, and refuses requests from now on.
   * @throws InvalidStateError `EFSM` when this server is not active, or has no passive peer; errors of `checkHandOver`
   */
  handOver(): void {
    this.#assertRunning();
    if (this.isServing()) this.#settings.checkHandOver?.();
    this.#timer.run((now) => this.#rules.handOver(now));
  }

  /**
   * Decides for a fenced server, or a backup that never found its primary. First resolve the loser as passive, or stop
   * it, then the winner as active.
   * @throws InvalidStateError `EFSM` when there is nothing to decide, or the peer's state contradicts it
   */
  resolve(choice: "active" | "passive"): void {
    if (choice !== "active" && choice !== "passive")
      throw invalidArgument('resolve takes "active" or "passive"', choice);
    this.#assertRunning();
    this.#timer.run((now) => this.#rules.resolve(choice, now));
  }

  stats(): BinaryStarStats {
    const peer = this.#rules.peer(this.#timer.now());
    return {
      ...this.#rules.stats(),
      state: this.state,
      peer: peer === undefined ? undefined : NAMES[peer],
      invalid: this.#invalid,
    };
  }

  /** @internal */
  protected async onClose(linger: number): Promise<void> {
    this.#timer.stop();
    this.#doubters.end();
    const last = linger < 0 ? LAST_STATE_LINGER : Math.min(linger, LAST_STATE_LINGER);
    this.#peerSource?.stop();
    await Promise.all([this.#publisher.close({ linger: last }), this.#subscriber.close({ linger: 0 })]);
  }

  async #bind(endpoint: string): Promise<string> {
    const resolved = await this.#publisher.bind(endpoint);
    this.#subscriber.subscribe();
    if (this.#peerSource === undefined) this.follow(this.#settings.peer as string, "");
    else this.#peerSource.start((list) => this.#followFirst(list), this.events);
    this.#running = true;
    this.#rules.connection(false);
    listen(this.#subscriber, (event) => this.#subscriberOnEvent(event));
    void this.#read();
    this.#timer.start({ nextWakeUp: () => this.#rules.nextWakeUp(), tick: (now) => this.#tick(now) });
    return resolved;
  }

  /** The next turn reads received states; the rules decide after it. */
  #tick(now: number): void {
    this.#rules.tick(now, this.#readUntil);
    setImmediate(() => {
      if (this.closed) return;
      this.#readUntil = now;
      this.#timer.run((later) => this.#rules.tick(later, now));
    });
  }

  /** @internal Hears another peer in place of the one before, if any. */
  protected follow(endpoint: string, before: string): void {
    this.#subscriber.connect(endpoint);
    if (before !== "") this.#subscriber.disconnect(before);
  }

  /** An empty or unchanged list has no effect. */
  #followFirst(list: readonly string[]): void {
    const before = this.#peerEndpoint;
    const [endpoint] = list;
    if (endpoint === undefined || list.includes(before) || this.stopping) return;
    if (this.#peerSource?.connect(endpoint, () => this.follow(endpoint, before)) === true)
      this.#peerEndpoint = endpoint;
  }

  /** Refused: the host is up without the process. */
  #subscriberOnEvent(event: SocketEvent): void {
    if (event.type === "handshake") this.#rules.connection(true);
    else if (event.type === "disconnect") this.#rules.connection(false);
    else if (event.type === "connect:retry" && event.error?.code === "ECONNREFUSED")
      this.#rules.connection(false, true);
  }

  #assertRunning(): void {
    if (this.closed || !this.#running) throw new ClosedError("EBADF", "The Binary Star does not run");
  }

  #changed(reason: BinaryStarReason | BinaryStarFenceReason): void {
    const from = this.#state;
    const { state } = this;
    this.#state = state;
    if (reason !== "stalled") this.#term += 1;
    if (state === "active" || state === "passive") this.reached();
    this.events.emit({ type: "state:changed", state, from, reason } as BinaryStarEvent);
    if (state !== "doubting") this.#doubters.end();
  }

  async #read(): Promise<void> {
    const count = this.#settings.replica === undefined ? 1 : 2;
    for await (const frames of this.#subscriber) {
      const state = parseState(frames, count);
      if (state === undefined || !this.#rules.receive(state, this.#timer.now(), frames[1])) {
        this.#invalid += 1;
        this.events.emit({ type: "peer:invalid", frames: frames.length });
        continue;
      }
      this.#timer.update();
    }
  }
}
