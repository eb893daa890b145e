/**
 * A SUB whose messages are measured by lateness-rules.ts at delivery.
 *
 *   receive ──> message ──assess──> on-time, suspect ──> handed over
 *                             └──> late: event, then by policy
 *                                    event  handed over
 *                                    die    closed; the call rejects with SuicidalSnailError
 */
import { readUint64 } from "../../core/bytes.js";
import { RingBuffer } from "../../core/collections/queues.js";
import { InvalidStateError, TimeoutError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { type Clock, systemClock } from "../../core/timers.js";
import { refusedWait, runCall, type WaitOptions } from "../../core/waiter.js";
import { Driver, type PatternWaitOptions } from "../../kit/driver.js";
import { ENDPOINT_SOURCE_EVENTS, relaySourceEvents } from "../../kit/endpoint-list.js";
import { anything, checkOptions, choice, func, type Given, integer, object } from "../../kit/options.js";
import { untilClosed } from "../../kit/sockets.js";
import type { EndpointSource } from "../../sockets/endpoint-source.js";
import { type Received, receiveAs } from "../../sockets/internal.js";
import { Subscriber, type SubscriberOptions } from "../../sockets/pub-sub.js";
import type { SUICIDAL_SNAIL } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import {
  LatenessRules,
  type SuicidalSnailCause,
  type SuicidalSnailLateness,
  type SuicidalSnailStamp,
} from "./lateness-rules.js";

// --- Options ---------------------------------------------------------------------------------------------------------

const POLICIES = ["event", "die"] as const;

const OPTIONS = {
  /** Action when late. Default `"die"`. */
  policy: choice(POLICIES, "die"),
  /** ms above the smallest lateness seen. Default 1,000. */
  maxLateness: integer({ default: 1_000 }),
  /** Messages queued in this process (docs/engines.md); 0: any number. Default 0. */
  maxQueue: integer({ default: 0, min: 0 }),
  /** Lateness before it acts. Default 0. */
  patience: integer({ default: 0, min: 0 }),
  /** Between events, to catch up. Default 1,000. */
  holdOff: integer({ default: 1_000, min: 0 }),
  /** Publishers with a baseline; the least recently heard is evicted. Default 10,000. */
  maxSources: integer({ default: 10_000 }),
  /** Reads a message's stamp. Default: that of a SequencedPublisher. */
  stamp: func<SuicidalSnailReadStamp>(),
  /** Options of its sockets, such as security. */
  socketOptions: object<SubscriberOptions>(["conflate", "codec"]),
  /** Clock for tests. */
  clock: anything<Clock>(),
};

/** Times in ms. */
export type SuicidalSnailOptions = Given<typeof OPTIONS>;

export type SuicidalSnailPolicy = (typeof POLICIES)[number];

const EVENTS = {
  /** Late for `patience`. Emitted once until it recovers. */
  "lateness:exceeded": event<{ readonly policy: SuicidalSnailPolicy } & SuicidalSnailLateness>(),
  /** In time again. */
  "lateness:recovered": event(),
  /** A message without a stamp. */
  "message:invalid": event<{ readonly frames: number }>(),
  ...ENDPOINT_SOURCE_EVENTS,
};

export type SuicidalSnailEvent = EventsOf<typeof EVENTS>;

export interface SuicidalSnailMessage {
  readonly frames: Buffer[];
  readonly source: string;
  /** ms by the source's clock. */
  readonly time: number;
  readonly sequence: number | undefined;
  /** ms above the baseline. */
  readonly lateness: number;
}

/** received = delivered + dropped + waiting. */
export type SuicidalSnailStats = StatisticsOf<typeof SUICIDAL_SNAIL>;

type SnailSettings = ReturnType<typeof snailSettings>;

/** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
function snailSettings(options: SuicidalSnailOptions) {
  const settings = checkOptions("SuicidalSnail", OPTIONS, options);
  const { stamp = sequencedStamp, socketOptions, clock = systemClock } = settings;
  return { ...settings, stamp, socketOptions: { linger: 0, ...socketOptions }, clock };
}

export type SuicidalSnailReadStamp = (frames: readonly Buffer[]) => SuicidalSnailStamp | undefined;

/** Beginning and length of a meta (docs/patterns/sequenced.md). */
const META = Buffer.from("SQ\x01\x01");
const META_BYTES = 40;

/** Reads the stamp of a SequencedPublisher's message: `topic | meta | body…`. */
export const sequencedStamp: SuicidalSnailReadStamp = (frames) => {
  const meta = frames[1];
  if (frames.length < 3 || meta?.length !== META_BYTES) return undefined;
  if (meta.compare(META, 0, 4, 0, 4) !== 0) return undefined;
  const [sequence, time] = [readUint64(meta, 24), readUint64(meta, 32) / 1_000];
  return { source: meta.toString("latin1", 4, 20), time, sequence };
};

/** The subscriber was too late and closed itself, as its policy says. Code `ETIMEDOUT`. */
export class SuicidalSnailError extends TimeoutError {
  /** ms. */
  readonly lateness: number;
  /** Dropped messages of this process. */
  readonly queued: number;
  readonly lateCause: SuicidalSnailCause;

  constructor({ lateness, queued, cause }: SuicidalSnailLateness) {
    super(
      "ETIMEDOUT",
      `The subscriber was ${Math.round(lateness)} ms late with ${queued} messages waiting, and closed itself`,
    );
    this.lateness = lateness;
    this.queued = queued;
    this.lateCause = cause;
  }

  override get retryable(): boolean {
    return false;
  }
}

// --- SuicidalSnail ---------------------------------------------------------------------------------------------------

/** Messages read ahead: the newest of them shows how late the oldest is. */
const BATCH = 256;

interface Waiting {
  readonly frames: Buffer[];
  readonly stamp: SuicidalSnailStamp;
}

/**
 * Subscriber that measures its lateness, and by default closes when it is too late.
 *
 * @example
 * ```ts
 * import { SequencedPublisher } from "shoal/sequenced";
 * import { SuicidalSnail } from "shoal/suicidal-snail";
 *
 * const publisher = new SequencedPublisher();
 * const snail = new SuicidalSnail({ policy: "die", maxLateness: 1_000 });
 * snail.subscribe("tick");
 * snail.connect(await publisher.bind("tcp://127.0.0.1:*"));
 * await publisher.waitForSubscribers();
 * publisher.publish("tick", "tock");
 * const { lateness } = await snail.receive();
 * console.log(lateness < 1_000); // true
 * await Promise.all([snail.close(), publisher.close()]);
 * ```
 */
export class SuicidalSnail extends Driver<SuicidalSnailEvent, SuicidalSnailStats> {
  readonly #settings: SnailSettings;
  readonly #rules: LatenessRules;
  readonly #queue = new RingBuffer<Waiting>();
  readonly #socket: Subscriber;
  readonly #messages: Received<Waiting>;
  #isReading = false;
  #isLate = false;
  #quietUntil = Number.NEGATIVE_INFINITY;
  readonly #counts = { received: 0, delivered: 0, invalid: 0, late: 0, dropped: 0 };
  #isDying = false;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: SuicidalSnailOptions = {}) {
    super("SuicidalSnail", EVENTS);
    this.#settings = snailSettings(options);
    this.#rules = new LatenessRules(this.#settings);
    this.#socket = new Subscriber(this.#settings.socketOptions);
    relaySourceEvents(this.#socket, (event) => this.events.emit(event));
    this.#messages = receiveAs(this.#socket, this.#look);
  }

  /**
   * Settles when a publisher is connected.
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EAGAIN`
   */
  ready(options: PatternWaitOptions = {}): Promise<void> {
    return this.whenConnected(this.#socket, options);
  }

  /**
   * Connects to a publisher or proxy, or a source of them.
   * @throws InvalidArgumentError `EINVAL` for a bad endpoint
   */
  connect(endpoint: string | EndpointSource): void {
    this.assertOpen();
    this.#socket.connect(endpoint);
  }

  /** Subscribes to topic prefixes; without arguments to all messages. */
  subscribe(...prefixes: (Uint8Array | string)[]): void {
    this.assertOpen();
    this.#socket.subscribe(...prefixes);
  }

  unsubscribe(...prefixes: (Uint8Array | string)[]): void {
    this.assertOpen();
    this.#socket.unsubscribe(...prefixes);
  }

  /**
   * Waits for the next message. One call at a time.
   * @throws SuicidalSnailError `ETIMEDOUT` when it has died; TimeoutError `EAGAIN`; AbortedError `ABORT_ERR`;
   * ClosedError `EAGAIN` when it closes, `EBADF` once closed; InvalidStateError `EFSM` while another call waits
   */
  receive(options: WaitOptions = {}): Promise<SuicidalSnailMessage> {
    const refused = refusedWait(options, "receive");
    if (refused !== undefined) return refused;
    if (this.#queue.length > 0) return this.#receive(options);
    const wasClosed = this.closed;
    // A SuicidalSnailError must be seen.
    return runCall(
      () => this.closed && !wasClosed && !this.#isDying,
      () => this.#receive(options),
    );
  }

  async #receive(options: WaitOptions): Promise<SuicidalSnailMessage> {
    this.assertOpen();
    const { frames, stamp } = this.#queue.shift() ?? (await this.#read(options));
    const now = this.#settings.clock.now();
    const lateness = this.#rules.latenessOf(stamp, now);
    this.#assess(lateness, now);
    this.#counts.delivered += 1;
    return { frames, source: stamp.source, time: stamp.time, sequence: stamp.sequence, lateness };
  }

  async #read(options: WaitOptions): Promise<Waiting> {
    if (this.#isReading) throw new InvalidStateError("EFSM", "One call at a time waits for a message here");
    this.#isReading = true;
    try {
      const messages = await this.#messages.receiveMany({ ...options, max: BATCH });
      for (const message of messages) this.#queue.push(message);
      return this.#queue.shift() as Waiting;
    } finally {
      this.#isReading = false;
    }
  }

  /** Yields messages until it is closed. Throws SuicidalSnailError when it has died. */
  [Symbol.asyncIterator](): AsyncGenerator<SuicidalSnailMessage, undefined> {
    return untilClosed(() => this.receive());
  }

  stats(): SuicidalSnailStats {
    return {
      ...this.#counts,
      waiting: this.#queue.length,
      forgotten: this.#rules.forgotten,
    };
  }

  protected async onClose(): Promise<void> {
    await this.#socket.close({ linger: 0 });
  }

  #look = (frames: Buffer[]): Waiting | undefined => {
    const stamp = this.#stampOf(frames);
    if (stamp === undefined) {
      this.#counts.invalid += 1;
      this.events.emit({ type: "message:invalid", frames: frames.length });
      return undefined;
    }
    this.#rules.arrived(stamp, this.#settings.clock.now());
    this.#counts.received += 1;
    return { frames, stamp };
  };

  #stampOf(frames: readonly Buffer[]): ReturnType<SuicidalSnailReadStamp> {
    try {
      const stamp = this.#settings.stamp(frames);
      return Number.isFinite(stamp?.time) && typeof stamp?.source === "string" ? stamp : undefined;
    } catch {
      return undefined; // A peer's message must not end the loop.
    }
  }

  /** @throws SuicidalSnailError */
  #assess(lateness: number, now: number): void {
    const queued = this.#queue.length + this.#socket.stats().receiveQueued;
    const verdict = this.#rules.assess(lateness, queued, now);
    if (verdict === "suspect") return;
    if (verdict === "on-time") {
      if (this.#isLate) this.events.emit({ type: "lateness:recovered" });
      this.#isLate = false;
      return;
    }
    const { policy, holdOff } = this.#settings;
    if (this.#isLate || now < this.#quietUntil) return;
    const how: SuicidalSnailLateness = { lateness, queued, cause: queued > 0 ? "slow" : "upstream" };
    this.#isLate = true;
    this.#quietUntil = now + holdOff;
    this.#counts.late += 1;
    this.events.emit({ type: "lateness:exceeded", policy, ...how });
    if (policy === "event") return;
    this.#counts.dropped += 1 + this.#queue.length;
    this.#queue.clear();
    this.#isDying = true;
    void this.close();
    throw new SuicidalSnailError(how);
  }
}
