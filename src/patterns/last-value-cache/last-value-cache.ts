/**
 * The cache's driver: a forwarder between publishers and subscribers that keeps
 * what passes.
 *
 *   PUB ──> frontend XSUB ──update──> ValueCache
 *                 │                       │ values beneath the prefix
 *                 └── every message ──> backend XPUB ──> SUB
 *                                         ^ subscriptions
 *
 * The frontend asks for everything (or the prefixes in `topics`) whether somebody
 * subscribed or not: the first subscriber of a topic gets its value, too.
 *
 * Where the engine can (capability `answerSubscribers`), a newcomer's values go to it
 * alone, as it has room for them. Elsewhere they go to all that asked for their topics:
 * the others get again what they have.
 */
import { ClosedError, InvalidArgumentError } from "../../core/errors.js";
import { EventStream } from "../../core/event-stream.js";
import { answersSubscribers, type Subscribed, senderOf, trySendTo } from "../../sockets/internal.js";
import { XPublisher, XSubscriber } from "../../sockets/pub-sub.js";
import { Pump } from "../../sockets/pump.js";
import { LmdbValueStore } from "./lmdb-value-store.js";
import {
  cacheSettings,
  type LastValueCacheEvent,
  type LastValueCacheOptions,
  type LastValueCacheStats,
} from "./options.js";
import { Snapshots } from "./snapshots.js";
import { ValueCache } from "./value-cache.js";
import { WriteBehind } from "./write-behind.js";

const FOREVER = { timeout: -1 } as const;
/** Values sent to newcomers between two turns of the event loop. */
const SNAPSHOT_BATCH = 256;
/** ms that `close` gives to messages on their way to subscribers, unless it is told otherwise. */
const CLOSE_LINGER = 1_000;

/** Where one subscriber cannot be told from the others. */
const EVERYBODY = Object.freeze({});
type Newcomer = Subscribed | typeof EVERYBODY;

const SUBSCRIBE = 1;
const CANCEL = 0;

/**
 * A forwarder that gives each new subscriber the last value of all that it
 * subscribed to, by exact topic or by prefix.
 *
 * A message is `topic | frame…`, two frames or more; what is kept is the whole
 * message. Live messages pass as a `Proxy` of the same sockets passes them. A
 * subscriber may get a value twice, never an older one after a newer.
 */
export class LastValueCache {
  readonly events: EventStream<LastValueCacheEvent> = new EventStream<LastValueCacheEvent>();
  readonly #frontend: XSubscriber;
  readonly #backend: XPublisher;
  readonly #cache: ValueCache;
  readonly #snapshots: Snapshots<Newcomer>;
  readonly #writer: WriteBehind | undefined;
  readonly #pump: Pump;
  #restored = 0;
  #damaged = 0;
  #messages = 0;
  #subscriptions = 0;
  #invalid = 0;
  #stepping = false;
  #resume: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Opens the store, if there is one, and reads it.
   *
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value; NotSupportedError `NOT_SUPPORTED`
   *   without the package `lmdb`; StoreError `taken`, `failed`
   */
  constructor(options: LastValueCacheOptions = {}) {
    const settings = cacheSettings(options);
    const { topics, store } = settings;
    this.#cache = new ValueCache(
      settings.bounds,
      {
        evicted: (topic) => this.events.emit({ type: "evicted", topic }),
        uncached: (topic, reason, bytes) => this.events.emit({ type: "uncached", topic, reason, bytes }),
      },
      store !== undefined,
    );
    this.#snapshots = new Snapshots(
      this.#cache,
      {
        send: (message, newcomer) => this.#sendTo(message, newcomer),
        wants: (newcomer, prefix) => newcomer === EVERYBODY || (newcomer as Subscribed).has(prefix),
        done: (prefix, topics) => this.events.emit({ type: "snapshot", prefix, topics }),
      },
      settings.maxSnapshots,
    );
    this.#frontend = new XSubscriber(settings.frontend);
    this.#backend = new XPublisher(settings.backend);
    this.#writer = store === undefined ? undefined : this.#openStore(store, settings.storeInterval);
    for (const topic of topics)
      this.#frontend.trySend(Buffer.concat([Buffer.of(SUBSCRIBE), Buffer.from(topic)]));
    this.#pump = new Pump(this.#frontend, this.#backend, {
      // One of the two, as the engines can: in batches as they came, or one by one.
      sift: (batch) => {
        this.#messages += batch.messages;
        this.#cache.updateAll(batch);
        return batch;
      },
      isSuspect: () => false,
      check: (frames) => {
        this.#messages += 1;
        this.#cache.update(frames);
        return "pass";
      },
      refused: () => undefined,
      failed: (error) => this.events.emit({ type: "message:failed", error }),
    });
    void this.#pump.run();
    void this.#hearSubscriptions();
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** Listens for publishers. @returns the endpoint, wildcards filled in. @throws as `bind` of a socket does */
  async bindFrontend(endpoint: string): Promise<string> {
    this.#assertOpen();
    await this.#frontend.bind(endpoint);
    return this.#frontend.lastEndpoint as string;
  }

  /** Connects to a publisher that listens. @throws InvalidArgumentError `EINVAL` for a bad endpoint */
  connectFrontend(endpoint: string): void {
    this.#assertOpen();
    this.#frontend.connect(endpoint);
  }

  /** Listens for subscribers. @returns the endpoint, wildcards filled in. @throws as `bind` of a socket does */
  async bindBackend(endpoint: string): Promise<string> {
    this.#assertOpen();
    await this.#backend.bind(endpoint);
    return this.#backend.lastEndpoint as string;
  }

  /** The last message of exactly this topic: its frames, topic first, a copy. */
  get(topic: string | Uint8Array): Buffer[] | undefined {
    return this.#cache.get(keyOf(topic));
  }

  /** Forgets a topic until its next message. @returns whether there was a value */
  delete(topic: string | Uint8Array): boolean {
    return this.#cache.delete(keyOf(topic));
  }

  /** The accounts at this moment. */
  stats(): LastValueCacheStats {
    const writer = this.#writer;
    return {
      ...this.#cache.stats(),
      messages: this.#messages,
      subscriptions: this.#subscriptions,
      snapshots: this.#snapshots.stats(),
      invalid: this.#invalid,
      store:
        writer === undefined
          ? undefined
          : {
              restored: this.#restored,
              damaged: this.#damaged,
              pending: this.#cache.pending + writer.inFlight,
              commits: writer.commits,
              failures: writer.failures,
              written: writer.written,
            },
    };
  }

  /**
   * Takes no more messages, lets those that passed reach their subscribers for at most `linger` ms
   * (default 1,000; -1: without limit), writes what the store was not told, and closes.
   */
  close(options: { readonly linger?: number } = {}): Promise<void> {
    const { linger = CLOSE_LINGER } = options;
    if (!Number.isInteger(linger) || linger < -1)
      throw new InvalidArgumentError(`linger is a whole number of ms, or -1; got ${String(linger)}`);
    this.#closing ??= this.#close(linger);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(linger: number): Promise<void> {
    this.#resume?.();
    this.#pump.end();
    await this.#frontend.close({ linger: 0 });
    await this.#backend.close({ linger });
    await this.#writer?.close();
    this.events.close();
  }

  #openStore(directory: string, interval: number): WriteBehind {
    try {
      const store = new LmdbValueStore(directory);
      const { values, damaged } = store.load();
      for (const { frames, order } of values) this.#cache.restore(frames, order);
      this.#restored = this.#cache.topics;
      this.#damaged = damaged;
      // Whoever wants to hear of it has had no moment yet to say so.
      if (damaged > 0) setImmediate(() => this.events.emit({ type: "store:damaged", records: damaged }));
      return new WriteBehind(this.#cache, store, interval, (error) =>
        this.events.emit({ type: "store:failed", error }),
      );
    } catch (error) {
      void this.#frontend.close({ linger: 0 });
      void this.#backend.close({ linger: 0 });
      throw error;
    }
  }

  async #hearSubscriptions(): Promise<void> {
    const alone = answersSubscribers(this.#backend);
    while (!this.closed) {
      if (this.#snapshots.room <= 0) {
        await new Promise<void>((resolve) => {
          this.#resume = resolve;
        });
        continue;
      }
      let frames: Buffer[];
      try {
        frames = await this.#backend.receive(FOREVER);
      } catch {
        return;
      }
      this.#hear(frames, alone ? senderOf(this.#backend) : EVERYBODY);
      this.#stepSoon();
    }
  }

  /** @param newcomer `undefined`: who sent it has gone */
  #hear(frames: readonly Buffer[], newcomer: Newcomer | undefined): void {
    const [first] = frames;
    if (frames.length === 1 && first?.[0] === SUBSCRIBE) {
      this.#subscriptions += 1;
      if (newcomer !== undefined) this.#snapshots.request(first.toString("latin1", 1), newcomer);
    } else if (frames.length !== 1 || first?.[0] !== CANCEL) {
      this.#invalid += 1;
      this.events.emit({ type: "invalid", frames: frames.length });
    }
  }

  #sendTo(message: Buffer[], newcomer: Newcomer): "sent" | "full" | "gone" {
    if (newcomer === EVERYBODY) {
      this.#backend.trySend(message);
      return "sent";
    }
    const subscriber = newcomer as Subscribed;
    const result = trySendTo(this.#backend, subscriber, message);
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
    if (this.closed) return;
    this.#snapshots.step(SNAPSHOT_BATCH);
    if (this.#snapshots.room > 0) {
      this.#resume?.();
      this.#resume = undefined;
    }
    this.#stepSoon();
  };

  #assertOpen(): void {
    if (this.closed) throw new ClosedError("EBADF", "The cache is closed");
  }
}

function keyOf(topic: string | Uint8Array): string {
  return Buffer.from(topic as string).toString("latin1");
}
