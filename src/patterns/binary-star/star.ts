/**
 * One server's half of a Binary Star: tells the peer its state, hears the peer's,
 * and says of each client's request what is to be done with it.
 *
 *   PUB bound at `bind`  ── state, each heartbeat ──>  the peer's SUB
 *   SUB connected to `connect`  <── state ──  the peer's PUB
 */
import { type Clock, systemClock } from "../../core/clock.js";
import { DriverTimer } from "../../core/driver-timer.js";
import { ClosedError, InvalidArgumentError } from "../../core/errors.js";
import { EventStream } from "../../core/event-stream.js";
import type { Context } from "../../sockets/context.js";
import {
  Publisher,
  type PublisherOptions,
  Subscriber,
  type SubscriberOptions,
} from "../../sockets/pub-sub.js";
import { checkCount, checkEndpoint, checkFunction, checkKeys } from "../kit/options.js";
import { changeEvent, nameOf, type StarEvent, type StarStateName } from "./events.js";
import type { StarHolding } from "./holding.js";
import { encodeState, parseState, type StarState } from "./protocol.js";
import { type Admission, BinaryStarRules, type StarRole, type StarRulesStats } from "./rules.js";

/** ms between two states, as the Guide has it. */
const HEARTBEAT_INTERVAL = 1_000;
/** Heartbeats of silence until the peer counts as gone, as the Guide has it. */
const LIVENESS = 2;
/** ms until a lost link to the peer is tried again, first and at most: it must be back within the patience. */
const RECONNECT_INTERVAL = 100;
/** ms that the state told last has to leave when the server closes. */
const LAST_WORD = 100;

/** How a server finds its peer. */
export interface BinaryStarOptions {
  /** One of the two is the primary: it serves when both start. */
  readonly role: StarRole;
  /** Where this server tells its state: `tcp://HOST:PORT`. */
  readonly bind: string;
  /** Where the peer tells its own: the peer's `bind`. */
  readonly connect: string;
  /** ms between two states; the same on both servers. Default 1,000. */
  readonly heartbeatInterval?: number;
  /** Heartbeats of silence after which the peer counts as gone; 2 or more, the same on both. Default 2. */
  readonly liveness?: number;
  /** For both sockets. */
  readonly socketOptions?: PublisherOptions & SubscriberOptions;
  /** For the PUB that tells, over those for both: security as a server. */
  readonly publisherOptions?: PublisherOptions;
  /** For the SUB that hears, over those for both: security as a client. */
  readonly subscriberOptions?: SubscriberOptions;
  /** Asked before `handOver` gives the service over; what it throws refuses that. For servers whose peer needs their state. */
  readonly checkHandOver?: () => void;
  /**
   * For servers that have what a fail-over must not lose: told with each state, and asked before this server becomes
   * active (holding.ts). Both have it or neither, which is to say that the Guide's programs are no peers then.
   */
  readonly holding?: StarHolding;
  readonly context?: Context;
  /** Where time comes from; for tests. */
  readonly clock?: Clock;
}

/** A server's counts, all since it was made. */
export interface StarStats extends StarRulesStats {
  readonly state: StarStateName;
  /** What the peer told last; `undefined` while it is silent. */
  readonly peer: StarStateName | undefined;
  /** Messages from the peer's endpoint that are no state. */
  readonly invalid: number;
}

const KEYS = [
  "role",
  "bind",
  "connect",
  "heartbeatInterval",
  "liveness",
  "socketOptions",
  "publisherOptions",
  "subscriberOptions",
  "checkHandOver",
  "holding",
  "context",
  "clock",
] as const;

/** See the head of this file; the rules are in rules.ts, what wraps a server in server.ts. */
export class BinaryStar {
  /** What happens to this server. */
  readonly events: EventStream<StarEvent> = new EventStream();
  readonly #options: BinaryStarOptions;
  readonly #rules: BinaryStarRules;
  readonly #timer: DriverTimer;
  readonly #publisher: Publisher;
  readonly #subscriber: Subscriber;
  /** That wait for the end of a doubt. */
  #doubters: (() => void)[] = [];
  #invalid = 0;
  #term = 0;
  #started = false;
  #closed = false;
  #hearing: Promise<void> = Promise.resolve();

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: BinaryStarOptions) {
    checkKeys("BinaryStar", options, KEYS);
    const { role, heartbeatInterval = HEARTBEAT_INTERVAL, liveness = LIVENESS } = options;
    if (role !== "primary" && role !== "backup")
      throw new InvalidArgumentError(`Option role is "primary" or "backup"; got ${String(role)}`);
    checkEndpoint("bind", options.bind);
    checkEndpoint("connect", options.connect);
    checkCount("heartbeatInterval", heartbeatInterval, 1);
    checkCount("liveness", liveness, 2, 1_000);
    if (options.checkHandOver !== undefined) checkFunction("checkHandOver", options.checkHandOver);
    this.#options = options;
    // Rules of other patterns do not see that the process stood still; these have to (rules.ts, sentence 2).
    this.#timer = new DriverTimer(Number.POSITIVE_INFINITY, options.clock ?? systemClock);
    const shared = {
      ...options.socketOptions,
      ...(options.context === undefined ? {} : { context: options.context }),
    };
    this.#publisher = new Publisher({ linger: 0, ...shared, ...options.publisherOptions });
    this.#subscriber = new Subscriber({
      linger: 0,
      reconnectInterval: Math.min(RECONNECT_INTERVAL, heartbeatInterval),
      reconnectMaxInterval: Math.min(RECONNECT_INTERVAL, heartbeatInterval),
      ...shared,
      ...options.subscriberOptions,
    });
    this.#rules = new BinaryStarRules(
      {
        role,
        heartbeatInterval,
        liveness,
        ...(options.holding === undefined ? {} : { holding: options.holding }),
      },
      this.#outbox(),
      this.#timer.now(),
    );
  }

  /** Where this server tells its state, wildcards filled in; `null` before {@link start}. */
  get endpoint(): string | null {
    return this.#publisher.lastEndpoint;
  }

  get state(): StarStateName {
    if (this.#rules.fence !== undefined) return "fenced";
    return this.#rules.doubting ? "doubting" : nameOf(this.#rules.state);
  }

  /** Counts each time this server became or ceased to be the one that serves; a doubt in which nobody took over does not. */
  get term(): number {
    return this.#term;
  }

  /**
   * Begins to tell and to hear states.
   *
   * @throws TransportError as `bind` does; InvalidArgumentError `EINVAL` for a bad endpoint
   */
  async start(): Promise<void> {
    if (this.#closed) throw new ClosedError("EBADF", "The Binary Star is closed");
    if (this.#started) return;
    this.#started = true;
    await this.#publisher.bind(this.#options.bind);
    this.#subscriber.subscribe();
    this.#subscriber.connect(this.#options.connect);
    this.#hearing = this.#hear();
    this.#timer.start(this.#rules);
  }

  /**
   * A client's request is there: what is to be done with it. Asking votes for a
   * fail-over, so only clients' requests are asked for, no monitoring.
   *
   * @returns `serve`: answer it. `hold`: keep it until the event `active` (answer it) or `votes-void` or `fatal`
   *   (drop it). `refuse`: drop it.
   */
  admit(): Admission {
    if (!this.#started || this.#closed) return "refuse";
    const admission = this.#rules.request(this.#timer.now());
    this.#timer.update();
    return admission;
  }

  /** Whether requests are answered here, at this moment; no vote. To be asked again before a reply leaves. */
  isServing(): boolean {
    if (!this.#started || this.#closed) return false;
    const serving = this.#rules.stillServing(this.#timer.now());
    this.#timer.update();
    return serving;
  }

  /**
   * Whether it serves, once that is certain: at once, but for a server that was held up and is in doubt, which knows
   * after about a heartbeat. To be awaited before a reply that was long in the making is given up.
   */
  async whenCertain(): Promise<boolean> {
    while (!this.isServing() && this.#rules.doubting && !this.#closed)
      await new Promise<void>((resolve) => this.#doubters.push(resolve));
    return this.isServing();
  }

  /** Tells the peer at once, not with the next heartbeat, since what `holding` tells has changed. */
  announce(): void {
    if (!this.#started || this.#closed) return;
    this.#rules.tellAgain(this.#timer.now());
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
    if (this.isServing()) this.#options.checkHandOver?.();
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
      throw new InvalidArgumentError(`resolve takes "active" or "passive"; got ${String(choice)}`);
    this.#assertRunning();
    this.#rules.resolve(choice, this.#timer.now());
    this.#timer.update();
  }

  stats(): StarStats {
    const peer = this.#rules.peer(this.#timer.now());
    return {
      ...this.#rules.stats(),
      state: this.state,
      peer: peer === undefined ? undefined : nameOf(peer),
      invalid: this.#invalid,
    };
  }

  /** Tells no state any more; the peer finds out by its patience. Closing twice is closing once. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer.stop();
    this.#endDoubt();
    // The state told last may be that of a hand-over.
    const publishing = this.#publisher.close({ linger: LAST_WORD });
    await Promise.all([publishing, this.#subscriber.close({ linger: 0 })]);
    await this.#hearing;
    this.events.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #assertRunning(): void {
    if (this.#closed || !this.#started) throw new ClosedError("EBADF", "The Binary Star does not run");
  }

  #outbox(): ConstructorParameters<typeof BinaryStarRules>[1] {
    return {
      publish: (state: StarState) => {
        const { holding } = this.#options;
        const frame = encodeState(state);
        this.#publisher.trySend(holding === undefined ? frame : [frame, holding.tell()]);
      },
      changed: (state, from, cause) => {
        this.#term += 1;
        this.events.emit(changeEvent(state, from, cause));
        this.#endDoubt();
      },
      doubted: () => this.events.emit({ type: "waiting", from: "active", cause: "stalled" }),
      resumed: () => {
        this.events.emit({ type: "active", from: "doubting", cause: "stalled" });
        this.#endDoubt();
      },
      fenced: (reason) => {
        this.#term += 1;
        this.events.emit({ type: "fatal", reason });
        this.#endDoubt();
      },
      votesVoid: () => this.events.emit({ type: "votes-void" }),
      sameRole: (role) => this.events.emit({ type: "same-role", role }),
    };
  }

  #endDoubt(): void {
    for (const resolve of this.#doubters.splice(0)) resolve();
  }

  async #hear(): Promise<void> {
    const count = this.#options.holding === undefined ? 1 : 2;
    for await (const frames of this.#subscriber) {
      const state = parseState(frames, count);
      if (state === undefined || !this.#rules.receive(state, this.#timer.now(), frames[1])) {
        this.#invalid += 1;
        this.events.emit({ type: "invalid", frames: frames.length });
        continue;
      }
      this.#timer.update();
    }
  }
}
