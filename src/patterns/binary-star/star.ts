/**
 * One server's half of a Binary Star: publishes its state to its peer, reads the
 * peer's, and decides about each client's request.
 *
 *   PUB bound by `bind`           ── state, each heartbeat ──>  the peer's SUB
 *   SUB connected to `peer`      <── state ──                   the peer's PUB
 */
import { describe, refuseExtra } from "../../core/arguments.js";
import { type Clock, systemClock } from "../../core/clock.js";
import { DriverTimer } from "../../core/driver-timer.js";
import { ClosedError, InvalidArgumentError, InvalidStateError } from "../../core/errors.js";
import type { EventNames } from "../../core/event-stream.js";
import type { Context } from "../../sockets/context.js";
import { type EndpointSource, isEndpointSource } from "../../sockets/endpoint-source.js";
import { listen, type SocketEvent } from "../../sockets/internal.js";
import {
  Publisher,
  type PublisherOptions,
  Subscriber,
  type SubscriberOptions,
} from "../../sockets/pub-sub.js";
import { Driver, type PatternWaitOptions } from "../kit/driver.js";
import { ENDPOINT_SOURCE_EVENTS, EndpointList, type EndpointSourceEvent } from "../kit/endpoint-list.js";
import {
  anything,
  checkEndpoint,
  checkOptions,
  choice,
  func,
  integer,
  object,
  type Settings,
} from "../kit/options.js";
import { Readiness } from "../kit/readiness.js";
import { BinaryStarState, encodeState, parseState } from "./protocol.js";
import {
  type BinaryStarAdmission,
  type BinaryStarEffects,
  type BinaryStarFenceReason,
  type BinaryStarReason,
  type BinaryStarReplica,
  type BinaryStarRole,
  BinaryStarRules,
  type BinaryStarRulesStats,
} from "./rules.js";

/** ms until a lost connection to the peer is tried again, first and at most: it must be back within the patience. */
const RECONNECT_INTERVAL = 100;
/** ms that the last state has to leave when the server closes. */
const LAST_STATE_LINGER = 100;

const OPTIONS = {
  role: choice(["primary", "backup"]),
  peer: anything<string | EndpointSource>(),
  // Both times as the Guide has them.
  heartbeatInterval: integer({ default: 1_000 }),
  liveness: integer({ default: 2, min: 2, max: 1_000 }),
  socketOptions: object<PublisherOptions & SubscriberOptions>(),
  publisherOptions: object<PublisherOptions>(),
  subscriberOptions: object<SubscriberOptions>(),
  checkHandOver: func<() => void>(),
  replica: object<BinaryStarReplica>(),
  context: anything<Context>(),
  clock: anything<Clock>(),
};

/** How a server of a pair finds its peer. Times are in ms. */
export interface BinaryStarOptions {
  /** One of the two is the primary: it serves when both start. */
  readonly role: BinaryStarRole;
  /**
   * Where the other server publishes its state: the endpoint that it binds. Or a source of that one endpoint, which must not have this
   * server's own. An endpoint stays in use until the source has another one in its place, however long its list is empty: a server
   * that drains still serves, and must be heard.
   */
  readonly peer: string | EndpointSource;
  /** ms between two states; the same on both servers. Default 1,000. */
  readonly heartbeatInterval?: number | undefined;
  /** Heartbeats of silence after which the peer counts as gone; 2 to 1,000, the same on both. Default 2. */
  readonly liveness?: number | undefined;
  /** For both sockets. */
  readonly socketOptions?: (PublisherOptions & SubscriberOptions) | undefined;
  /** For the PUB that publishes, over those for both: security as a server. */
  readonly publisherOptions?: PublisherOptions | undefined;
  /** For the SUB that reads the peer's states, over those for both: security as a client. */
  readonly subscriberOptions?: SubscriberOptions | undefined;
  /** Called before `handOver` gives the service over; what it throws refuses that. For servers whose peer needs their state. */
  readonly checkHandOver?: (() => void) | undefined;
  /**
   * What a fail-over must not lose: its position is published with each state, and it is asked before this server becomes
   * active. Both servers have one or neither; with one the Guide's programs cannot be peers.
   */
  readonly replica?: BinaryStarReplica | undefined;
  readonly context?: Context | undefined;
  /** Where time comes from; for tests. */
  readonly clock?: Clock | undefined;
}

/**
 * A server's state by name. `active` serves, `passive` stands by; `primary` and `backup` wait for their peer's state.
 * `fenced` serves nobody until `resolve`. `doubting` was held up while it served, and answers nobody until it has heard
 * whether its peer took over.
 */
export type BinaryStarStateName = "primary" | "backup" | "active" | "passive" | "doubting" | "fenced";

/** What happens to a server of a Binary Star. */
export type BinaryStarEvent =
  /**
   * The server has another state. Listeners of `active` run before the requests that waited for it are served. With the
   * reason `stalled` the server is `doubting` for about a heartbeat: `active` follows when the peer did not take over, and
   * then it served all the time.
   */
  | {
      readonly type: "state:changed";
      readonly state: Exclude<BinaryStarStateName, "fenced">;
      readonly from: BinaryStarStateName;
      readonly reason: BinaryStarReason;
    }
  /** Both serve, both stand by, or their replicas differ. This server serves nobody until `resolve`. */
  | {
      readonly type: "state:changed";
      readonly state: "fenced";
      readonly from: BinaryStarStateName;
      readonly reason: BinaryStarFenceReason;
    }
  /** Requests that came to a server that does not serve are dropped: the peer lives, or this server is fenced. */
  | { readonly type: "votes:dropped" }
  /** The peer has the same role: a mistake in the configuration of one of them. Neither will ever serve. */
  | { readonly type: "peer:misconfigured"; readonly role: BinaryStarRole }
  /** A message from the peer's endpoint is not a state, or one of a version that this server does not know. */
  | { readonly type: "peer:invalid"; readonly frames: number };

/** The name of each event; for drivers whose events include a Binary Star's. */
export const BINARY_STAR_EVENTS: EventNames<BinaryStarEvent> = {
  "state:changed": true,
  "votes:dropped": true,
  "peer:misconfigured": true,
  "peer:invalid": true,
};

/** A server's counts, all since it was made. */
export interface BinaryStarStats extends BinaryStarRulesStats {
  readonly state: BinaryStarStateName;
  /** The last state of the peer; `undefined` while it is silent. */
  readonly peer: BinaryStarStateName | undefined;
  /** Messages from the peer's endpoint that are not a state. */
  readonly invalid: number;
}

const NAMES: Readonly<Record<BinaryStarState, BinaryStarStateName>> = {
  [BinaryStarState.PRIMARY]: "primary",
  [BinaryStarState.BACKUP]: "backup",
  [BinaryStarState.ACTIVE]: "active",
  [BinaryStarState.PASSIVE]: "passive",
};

/**
 * One server's half of a Binary Star: publishes its state to its peer, reads the peer's, and decides about each client's request.
 * A {@link BinaryStarGate} puts it in front of a server.
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
  /** Where the peer is, of a source; `undefined` for an endpoint that is fixed. */
  readonly #peerSource: EndpointList | undefined;
  #peerEndpoint = "";
  readonly #readiness: Readiness;
  /** Wait for the end of a doubt. */
  #doubters: (() => void)[] = [];
  /** The state as the last event had it. */
  #state: BinaryStarStateName;
  #invalid = 0;
  #term = 0;
  #binding: Promise<string> | undefined;
  #running = false;
  /** Every state that came before this time is read. */
  #readUntil = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> = Promise.resolve();

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: BinaryStarOptions) {
    super("BinaryStar", { ...BINARY_STAR_EVENTS, ...ENDPOINT_SOURCE_EVENTS });
    const settings = checkOptions("BinaryStar", OPTIONS, options);
    const { role, heartbeatInterval, liveness, replica, context, clock } = settings;
    if (role === undefined)
      throw new InvalidArgumentError('Option role of BinaryStar is "primary" or "backup"; got undefined');
    const { peer } = settings;
    if (isEndpointSource(peer)) this.#peerSource = new EndpointList("BinaryStar", peer);
    else checkEndpoint("peer", peer);
    this.#settings = settings;
    // Rules of other patterns do not see that the process stood still; these have to (rules.ts, sentence 2).
    this.#timer = new DriverTimer(Number.POSITIVE_INFINITY, clock ?? systemClock);
    const shared = { ...settings.socketOptions, ...(context === undefined ? {} : { context }) };
    const reconnect = Math.min(RECONNECT_INTERVAL, heartbeatInterval);
    this.#publisher = new Publisher({ linger: 0, ...shared, ...settings.publisherOptions });
    this.#subscriber = new Subscriber({
      linger: 0,
      reconnectInterval: reconnect,
      reconnectMaxInterval: reconnect,
      ...shared,
      ...settings.subscriberOptions,
    });
    this.#rules = new BinaryStarRules(
      { role, heartbeatInterval, liveness, replica },
      this.#effects(),
      this.#timer.now(),
    );
    this.#state = this.state;
    this.#readiness = new Readiness("BinaryStar", () => this.state === "active" || this.state === "passive");
  }

  /** Where this server publishes its state, wildcards filled in; `null` before {@link bind}. */
  get endpoint(): string | null {
    return this.#publisher.lastEndpoint;
  }

  get state(): BinaryStarStateName {
    if (this.#rules.fence !== undefined) return "fenced";
    return this.#rules.doubting ? "doubting" : NAMES[this.#rules.state];
  }

  /** Counts each time this server became or ceased to be the one that serves; a doubt in which nobody took over does not. */
  get term(): number {
    return this.#term;
  }

  /**
   * Publishes its state there from now on, and reads its peer's.
   *
   * @returns the endpoint, wildcards filled in
   * @throws InvalidStateError `EFSM` when it is bound already; InvalidArgumentError `EINVAL` for a bad endpoint;
   *   ClosedError `EBADF`; TransportError as `bind` of a socket does
   */
  bind(endpoint: string): Promise<string>;
  async bind(endpoint: string, ...extra: unknown[]): Promise<string> {
    this.assertOpen();
    refuseExtra("bind", "an endpoint", extra);
    checkEndpoint("endpoint", endpoint, "bind");
    if (this.#binding !== undefined) throw new InvalidStateError("EFSM", "BinaryStar is bound already");
    this.#binding = this.#bind(endpoint);
    this.#binding.catch(() => {
      this.#binding = undefined;
    });
    return this.#binding;
  }

  /**
   * Waits until it is decided which of the two serves: this server is active, or passive.
   *
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF`, `EAGAIN`
   */
  async ready(options: PatternWaitOptions = {}): Promise<void> {
    this.assertOpen();
    return this.#readiness.wait(options);
  }

  /**
   * Decides about a client's request. Asking votes for a fail-over, so ask for requests of clients only, not for monitoring.
   *
   * @returns `serve`: answer it. `hold`: keep it until this server is `active` (answer it), or `votes:dropped` or `fenced`
   *   (drop it). `refuse`: drop it.
   */
  admit(): BinaryStarAdmission {
    if (!this.#running || this.stopping) return "refuse";
    const admission = this.#rules.request(this.#timer.now());
    this.#timer.update();
    return admission;
  }

  /** Whether requests are answered here, at this moment; no vote. Ask again before a reply leaves. */
  isServing(): boolean {
    if (!this.#running || this.closed) return false;
    const serving = this.#rules.stillServing(this.#timer.now());
    this.#timer.update();
    return serving;
  }

  /**
   * Whether it serves, once that is certain: at once, except for a server that was held up and is in doubt, which knows
   * after about a heartbeat. Await it before you give up a reply that took long to make.
   */
  async whenCertain(): Promise<boolean> {
    while (!this.isServing() && this.#rules.doubting && !this.closed)
      await new Promise<void>((resolve) => this.#doubters.push(resolve));
    return this.isServing();
  }

  /** Publishes the state at once, not with the next heartbeat, since the position of `replica` has changed. */
  publishNow(): void {
    if (!this.#running || this.closed) return;
    this.#rules.publishNow(this.#timer.now());
    this.#timer.update();
  }

  /**
   * Gives the service over to the passive peer: how an operator brings the primary
   * back. This server refuses from now on; the peer serves when it hears of it.
   *
   * @throws InvalidStateError `EFSM` when this server does not serve, or no passive peer is there; and what the option
   *   `checkHandOver` throws
   */
  handOver(): void {
    this.#assertRunning();
    if (this.isServing()) this.#settings.checkHandOver?.();
    this.#rules.handOver(this.#timer.now());
    this.#timer.update();
  }

  /**
   * Decides what a fenced server is to be. First resolve the loser as passive, or
   * stop it, then the winner as active. A backup that never found a primary is
   * made to serve alone in the same way.
   *
   * @throws InvalidStateError `EFSM` when there is nothing to decide, or the peer's state contradicts it
   */
  resolve(choice: "active" | "passive"): void {
    if (choice !== "active" && choice !== "passive")
      throw new InvalidArgumentError(`resolve takes "active" or "passive"; got ${describe(choice)}`);
    this.#assertRunning();
    this.#rules.resolve(choice, this.#timer.now());
    this.#timer.update();
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

  /** @internal Publishes no state any more; the peer finds out by its patience. */
  protected async onClose(linger: number): Promise<void> {
    this.#timer.stop();
    this.#readiness.close();
    this.#endDoubt();
    // The last state may be that of a hand-over.
    const last = linger < 0 ? LAST_STATE_LINGER : Math.min(linger, LAST_STATE_LINGER);
    this.#peerSource?.stop();
    await Promise.all([this.#publisher.close({ linger: last }), this.#subscriber.close({ linger: 0 })]);
    await this.#reading;
  }

  async #bind(endpoint: string): Promise<string> {
    const resolved = await this.#publisher.bind(endpoint);
    this.#subscriber.subscribe();
    if (this.#peerSource === undefined) this.#subscriber.connect(this.#settings.peer as string);
    else
      this.#peerSource.start({
        changed: (list) => this.#follow(list),
        event: (event) => this.events.emit(event),
      });
    this.#running = true;
    this.#rules.connection(false);
    listen(this.#subscriber, (event) => this.#subscriberOnEvent(event));
    this.#reading = this.#read();
    this.#timer.start({ nextWakeUp: () => this.#rules.nextWakeUp(), tick: (now) => this.#tick(now) });
    return resolved;
  }

  /** What had come by now is read in the turn of the event loop that follows; the rules decide after it. */
  #tick(now: number): void {
    this.#rules.tick(now, this.#readUntil);
    setImmediate(() => {
      if (this.closed) return;
      this.#readUntil = now;
      this.#rules.tick(this.#timer.now(), now);
      this.#timer.update();
    });
  }

  /** The peer is elsewhere. While the source has no endpoint, or still has that one, nothing changes. */
  #follow(list: readonly string[]): void {
    const before = this.#peerEndpoint;
    const [endpoint] = list;
    if (endpoint === undefined || list.includes(before) || this.stopping) return;
    if (this.#peerSource?.connect(endpoint, (where) => this.#subscriber.connect(where)) !== true) return;
    this.#peerEndpoint = endpoint;
    if (before !== "") this.#subscriber.disconnect(before);
  }

  /** A refused connection is a host that is there, and a process that is not. */
  #subscriberOnEvent(event: SocketEvent): void {
    if (event.type === "handshake") this.#rules.connection(true);
    else if (event.type === "disconnect") this.#rules.connection(false);
    else if (event.type === "connect:retry" && event.error?.code === "ECONNREFUSED")
      this.#rules.connection(false, true);
  }

  #assertRunning(): void {
    if (this.closed || !this.#running) throw new ClosedError("EBADF", "The Binary Star does not run");
  }

  #effects(): BinaryStarEffects {
    return {
      publish: (state: BinaryStarState) => {
        const { replica } = this.#settings;
        const frame = encodeState(state);
        this.#publisher.trySend(replica === undefined ? frame : [frame, replica.position()]);
      },
      changed: (_state, _from, reason) => {
        this.#term += 1;
        this.#changed(reason);
        this.#endDoubt();
      },
      doubted: () => this.#changed("stalled"),
      resumed: () => {
        this.#changed("stalled");
        this.#endDoubt();
      },
      fenced: (reason) => {
        this.#term += 1;
        const from = this.#state;
        this.#state = "fenced";
        this.events.emit({ type: "state:changed", state: "fenced", from, reason });
        this.#endDoubt();
      },
      votesDropped: () => this.events.emit({ type: "votes:dropped" }),
      sameRole: (role) => this.events.emit({ type: "peer:misconfigured", role }),
    };
  }

  #changed(reason: BinaryStarReason): void {
    const from = this.#state;
    const state = this.#rules.doubting ? "doubting" : NAMES[this.#rules.state];
    this.#state = state;
    if (state === "active" || state === "passive") this.#readiness.reached();
    this.events.emit({
      type: "state:changed",
      state: state as Exclude<BinaryStarStateName, "fenced">,
      from,
      reason,
    });
  }

  #endDoubt(): void {
    for (const resolve of this.#doubters.splice(0)) resolve();
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
