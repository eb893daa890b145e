/**
 * Forwarder between publishers and subscribers that keeps last values.
 *
 *   PUB ──> frontend XSUB ──update──> ValueCache
 *                 │                       │ values beneath the prefix
 *                 └── every message ──> backend XPUB ──> SUB
 *                                         ^ subscriptions
 *
 * The frontend subscribes to everything (or `topics`) even without subscribers, so a topic's first one gets its value.
 *
 * If the engine can address one subscriber, a late joiner's values go to it alone, as it has room. Otherwise all
 * subscribers of their topics get known values again.
 *
 * Behind a gate the cache is half of a pair. Both keep publishers' messages. Subscribers connect to both, and get
 * messages from the active one:
 *
 *   stands by ── begins to serve ──> all values are published once, then it is as above
 *       ^                                 │
 *       └───────── ceases to serve ───────┘  snapshots wait; live messages are kept, not passed on
 *
 * A message for a connected subscriber is a vote: publishers and subscribers both reach this cache.
 */

import { invalidArgument } from "../../core/arguments.js";
import { isBytes } from "../../core/bytes.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { INT32 } from "../../core/option-spec.js";
import { IdleWaits } from "../../core/waiter.js";
import { Driver } from "../../kit/driver.js";
import { ENDPOINT_SOURCE_EVENTS, relaySourceEvents } from "../../kit/endpoint-list.js";
import {
  anything,
  bytes,
  checkOptions,
  type Given,
  integer,
  object,
  type PublisherGate,
  publisherGate,
  text,
} from "../../kit/options.js";
import { OpenedSockets, WITHOUT_LIMIT } from "../../kit/sockets.js";
import type { EndpointSource } from "../../sockets/endpoint-source.js";
import { type EngineSubscriber, endpointsOf, forwards, trySendTo } from "../../sockets/internal.js";
import {
  XPublisher,
  type XPublisherOptions,
  XSubscriber,
  type XSubscriberOptions,
} from "../../sockets/pub-sub.js";
import { type ProxySide, Pump } from "../../sockets/pump.js";
import { CORE } from "../../sockets/socket.js";
import type { LAST_VALUE_CACHE, LastValueCacheUncachedReason } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import { Snapshots } from "./snapshots.js";
import { WriteBehind } from "./store.js";
import { ValueCache } from "./value-cache.js";

/** Bytes of the longest topic kept. */
const MAX_TOPIC_BYTES = 1_024;
/** Room for live messages next to a full snapshot. */
const LIVE_ROOM = 1_000;
const OWN = ["manual", "noDrop", "verbosity", "invertMatching", "welcomeMessage"];

export const OPTIONS = {
  /** Topic prefixes to subscribe to at publishers. Default: everything. */
  topics: anything<readonly string[]>(),
  /** Topics kept. Default 100,000. */
  maxTopics: integer({ default: 100_000 }),
  /** Bytes of topics and values; each frame after a value's first adds 64. Default 268,435,456. */
  maxBytes: bytes({ default: 268_435_456, min: 1 }),
  /** Bytes of one value; larger messages are forwarded but not kept. Default 1,048,576. */
  maxValueBytes: bytes({ default: 1_048_576, min: 1 }),
  /**
   * Subscriptions waiting for values, except those of late joiners without room; at the limit reading stops. Default
   * 1,000.
   */
  maxSnapshots: integer({ default: 1_000 }),
  /** Folder of an LMDB store. Default: none. */
  store: text(),
  /** ms between commits to the store. Default 100. */
  storeInterval: integer({ default: 100 }),
  /**
   * A `BinaryStarGate` makes the cache half of a pair. It always keeps messages, but forwards them and values only
   * while active. On becoming active it publishes all values. Default: none.
   */
  gate: publisherGate(),
  /** Options of the publishers' socket, such as security. */
  frontendOptions: object<XSubscriberOptions>(),
  /**
   * Options of the subscribers' socket. Default `sendHighWaterMark`: `maxTopics` + 1,000, of which a snapshot uses
   * half.
   */
  backendOptions: object<XPublisherOptions>(OWN),
};

export type LastValueCacheOptions = Given<typeof OPTIONS>;

const EVENTS = {
  /** A late joiner's values were sent. */
  "snapshot:sent": event<{ readonly prefix: Buffer; readonly topics: number }>(),
  /** The least recently updated topic of a full cache. */
  "topic:evicted": event<{ readonly topic: Buffer }>(),
  /** A message was forwarded but not kept. */
  "message:uncached": event<{
    readonly topic: Buffer;
    readonly reason: LastValueCacheUncachedReason;
    readonly bytes: number;
  }>(),
  /** A subscriber's message is not a subscription. */
  "message:invalid": event<{ readonly frames: number }>(),
  /** A commit failed and will be retried. */
  "store:failed": event<{ readonly error: unknown }>(),
  /** A message was dropped by an unexpected error. */
  "message:failed": event<{ readonly error: unknown }>(),
  /** Unreadable records were removed. */
  "store:damaged": event<{ readonly records: number }>(),
  ...ENDPOINT_SOURCE_EVENTS,
};

export type LastValueCacheEvent = EventsOf<typeof EVENTS>;

export type LastValueCacheStats = StatisticsOf<typeof LAST_VALUE_CACHE>;

/** Values per turn of the event loop. */
const SNAPSHOT_BATCH = 256;

/** The cache begins to serve, or the engine cannot address one subscriber. */
const EVERYBODY = Object.freeze({});
type LateJoiner = EngineSubscriber | typeof EVERYBODY;

const SUBSCRIBE = 1;
const CANCEL = 0;

/**
 * Forwarder that sends each new subscriber the last values of its subscription, an exact topic or a prefix.
 *
 * A message is `topic | frame…`, two frames or more, and is kept whole. Live messages are forwarded as by a `Proxy`.
 * A subscriber may get a value twice, but never an older one after a newer.
 *
 * @example
 * ```ts
 * import { Publisher, Subscriber } from "shoal";
 * import { LastValueCache } from "shoal/last-value-cache";
 *
 * const cache = new LastValueCache();
 * const publisher = new Publisher();
 * publisher.connect(await cache.bind("frontend", "tcp://127.0.0.1:*"));
 * await publisher.waitForSubscribers();
 * await publisher.send(["weather/oslo", "snow"]);
 * const subscriber = new Subscriber(); // It comes when that was published.
 * subscriber.subscribe("weather/");
 * subscriber.connect(await cache.bind("backend", "tcp://127.0.0.1:*"));
 * console.log(String(await subscriber.receive())); // weather/oslo,snow
 * await Promise.all([publisher.close(), subscriber.close(), cache.close()]);
 * ```
 */
export class LastValueCache extends Driver<LastValueCacheEvent, LastValueCacheStats> {
  readonly #sockets: { readonly frontend: XSubscriber; readonly backend: XPublisher };
  readonly #cache: ValueCache;
  readonly #snapshots: Snapshots<LateJoiner>;
  readonly #gate: PublisherGate | undefined;
  readonly #writer: WriteBehind | undefined;
  readonly #pump: Pump;
  readonly #forwarding: Promise<void>;
  readonly #counts = { messages: 0, notServing: 0, subscriptions: 0, invalid: 0 };
  #stepping = false;
  readonly #room = new IdleWaits();

  /**
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value; NotSupportedError
   *   `ERR_PACKAGE_UNAVAILABLE` without the package `lmdb`; StoreError `taken`, `damaged`, `failed`
   */
  constructor(options: LastValueCacheOptions = {}) {
    super("LastValueCache", EVENTS);
    const settings = checkOptions("LastValueCache", OPTIONS, options);
    const { topics = [""], store } = settings;
    if (!Array.isArray(topics) || topics.some((topic) => typeof topic !== "string"))
      throw invalidArgument("Option topics must be an array of prefixes, each a text", topics);
    this.#cache = new ValueCache(
      { ...settings, maxTopicBytes: MAX_TOPIC_BYTES },
      {
        evicted: (topic) => this.events.emit({ type: "topic:evicted", topic }),
        uncached: (topic, reason, bytes) =>
          this.events.emit({ type: "message:uncached", topic, reason, bytes }),
      },
      store !== undefined,
    );
    this.#snapshots = new Snapshots(
      this.#cache,
      {
        send: (message, joiner) => this.#sendTo(message, joiner),
        wants,
        done: (prefix, topics) => this.events.emit({ type: "snapshot:sent", prefix, topics }),
      },
      settings.maxSnapshots,
    );
    this.#gate = settings.gate;
    const sockets = new OpenedSockets();
    const frontend = sockets.open(() => new XSubscriber({ linger: 0, ...settings.frontendOptions }));
    const subscribers: XPublisherOptions = {
      sendHighWaterMark: Math.min(settings.maxTopics + LIVE_ROOM, INT32),
      ...settings.backendOptions,
      verbosity: "allSubs",
    };
    const backend = sockets.open(() => new XPublisher(subscribers));
    forwards(backend);
    for (const socket of [frontend, backend]) relaySourceEvents(socket, (event) => this.events.emit(event));
    this.#sockets = { frontend, backend };
    this.#writer =
      store === undefined ? undefined : sockets.open(() => this.#openStore(store, settings.storeInterval));
    settings.gate?.onServing(this.#gateOnServing);
    for (const topic of topics) frontend.trySend(Buffer.concat([Buffer.of(SUBSCRIBE), Buffer.from(topic)]));
    this.#pump = new Pump(frontend, backend, {
      // Batches or messages, by engine.
      filter: (batch) => {
        this.#counts.messages += batch.messages;
        this.#cache.updateAll(batch);
        return this.#passes(batch.messages) ? batch : undefined;
      },
      needsInspection: () => false,
      check: (frames) => {
        this.#counts.messages += 1;
        this.#cache.update(frames);
        return this.#passes(1) ? "pass" : "not-serving";
      },
      refused: () => undefined,
      failed: (error) => this.events.emit({ type: "message:failed", error }),
    });
    this.#forwarding = this.#pump.run();
    void this.#readSubscriptions();
  }

  /** Wildcards filled in. */
  get endpoints(): Readonly<Record<ProxySide, readonly string[]>> {
    const { frontend, backend } = this.#sockets;
    return { frontend: endpointsOf(frontend).bound, backend: endpointsOf(backend).bound };
  }

  /**
   * Binds one side; call it again for more endpoints.
   * @param side `frontend` for publishers, `backend` for subscribers
   * @returns the endpoint, wildcards filled in
   * @throws InvalidArgumentError `EINVAL` for a bad side or endpoint; otherwise as a socket's `bind`
   */
  async bind(side: ProxySide, endpoint: string): Promise<string> {
    this.assertOpen();
    return this.#socket(side).bind(endpoint);
  }

  /**
   * Connects one side to a bound peer or a source of them.
   * @throws InvalidArgumentError `EINVAL` for a bad side or endpoint
   */
  connect(side: ProxySide, endpoint: string | EndpointSource): void {
    this.assertOpen();
    this.#socket(side).connect(endpoint);
  }

  /**
   * Returns a copy of the last message of this topic, topic first.
   * @throws InvalidArgumentError `EINVAL`
   */
  get(topic: string | Uint8Array): Buffer[] | undefined {
    return this.#cache.get(keyOf(topic));
  }

  /**
   * Removes a topic until its next message.
   * @returns whether there was a value
   * @throws InvalidArgumentError `EINVAL`
   */
  delete(topic: string | Uint8Array): boolean {
    return this.#cache.delete(keyOf(topic));
  }

  stats(): LastValueCacheStats {
    return {
      ...this.#cache.stats(),
      ...this.#counts,
      snapshots: this.#snapshots.stats(),
      store: this.#writer?.stats(),
    };
  }

  /** @internal */
  protected override async onDrain(): Promise<void> {
    this.#pump.finish(this.#sockets.frontend[CORE].engine.stats().queuedIn);
    await this.#forwarding;
    await this.#writer?.flush();
  }

  /** @internal */
  protected async onClose(linger: number): Promise<void> {
    this.#room.end();
    this.#pump.end();
    await this.#sockets.frontend.close({ linger: 0 });
    await this.#sockets.backend.close({ linger });
    await this.#writer?.close();
  }

  #socket(side: ProxySide): XSubscriber | XPublisher {
    if (side !== "frontend" && side !== "backend")
      throw invalidArgument('A side must be "frontend" or "backend"', side);
    return this.#sockets[side];
  }

  #openStore(directory: string, interval: number): WriteBehind {
    const writer = new WriteBehind(this.#cache, directory, interval, (error) =>
      this.events.emit({ type: "store:failed", error }),
    );
    const { damaged: records } = writer.stats();
    // The program may add listeners.
    if (records > 0) setImmediate(() => this.events.emit({ type: "store:damaged", records }));
    return writer;
  }

  async #readSubscriptions(): Promise<void> {
    const { engine } = this.#sockets.backend[CORE];
    while (!this.closed) {
      if (this.#snapshots.room <= 0) {
        await this.#room.wait(false);
        continue;
      }
      let frames: Buffer[];
      try {
        frames = await this.#sockets.backend.receive(WITHOUT_LIMIT);
      } catch {
        return; // It closed: nothing else ends a receive without limit.
      }
      this.#subscription(frames, engine.sender === undefined ? EVERYBODY : engine.sender());
      this.#stepSoon();
    }
  }

  /** @param joiner `undefined`: it has left */
  #subscription(frames: readonly Buffer[], joiner: LateJoiner | undefined): void {
    const [first] = frames;
    if (frames.length === 1 && first?.[0] === SUBSCRIBE) {
      this.#counts.subscriptions += 1;
      if (joiner !== undefined && (this.#gate === undefined || this.#gate.vote()))
        this.#snapshots.request(first.toString("latin1", 1), joiner);
    } else if (frames.length !== 1 || first?.[0] !== CANCEL) {
      this.#counts.invalid += 1;
      this.events.emit({ type: "message:invalid", frames: frames.length });
    }
  }

  #passes(messages: number): boolean {
    const gate = this.#gate;
    if (gate === undefined || gate.isServing()) return true;
    const { peers } = this.#sockets.backend[CORE].engine.stats();
    if (peers !== 0 && gate.vote()) return true;
    this.#counts.notServing += messages;
    return false;
  }

  #gateOnServing = (): void => {
    if (this.closed) return;
    this.#snapshots.request("", EVERYBODY);
    this.#stepSoon();
  };

  #sendTo(message: Buffer[], joiner: LateJoiner): "sent" | "full" | "gone" {
    if (joiner === EVERYBODY) {
      this.#sockets.backend.trySend(message);
      return "sent";
    }
    const subscriber = joiner as EngineSubscriber;
    const result = trySendTo(this.#sockets.backend, subscriber, message);
    if (result === "full")
      subscriber.wantWritable(() => {
        this.#snapshots.ready(subscriber);
        this.#stepSoon();
      });
    return result;
  }

  #stepSoon(): void {
    if (!this.#snapshots.busy || this.#stepping) return;
    this.#stepping = true;
    setImmediate(this.#step);
  }

  #step = (): void => {
    this.#stepping = false;
    if (this.closed || this.#gate?.isServing() === false) return;
    this.#snapshots.step(SNAPSHOT_BATCH);
    if (this.#snapshots.room > 0) this.#room.end();
    this.#stepSoon();
  };
}

function wants(joiner: LateJoiner, prefix: string): boolean {
  return joiner === EVERYBODY || (joiner as EngineSubscriber).has(prefix);
}

function keyOf(topic: string | Uint8Array): string {
  if (typeof topic !== "string" && !isBytes(topic))
    throw invalidArgument("A topic must be a string or bytes", topic);
  return Buffer.from(topic as string).toString("latin1");
}
