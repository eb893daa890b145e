/** PUB, SUB, XPUB and XSUB (29/PUBSUB). */

import { checkCallOptions, checkInteger } from "../core/arguments.js";
import { isBytes } from "../core/bytes.js";
import { SteadyMap } from "../core/collections/steady-map.js";
import { InvalidArgumentError, NotSupportedError } from "../core/errors.js";
import type { OptionsFor } from "../core/option-table.js";
import { SocketType } from "../core/socket-type.js";
import type { WaitOptions } from "../core/waiter.js";
import { MAX_PREFIX_LENGTH } from "../engine/frame.js";
import { PublishRouting } from "../engine/zmtp/routing/publish.js";
import { SubscribeRouting } from "../engine/zmtp/routing/subscribe.js";
import { defineSocket } from "./define.js";
import {
  FRAMES,
  type MessageLike,
  type Raw,
  type Settled,
  shapeFor,
  type TopicIn,
  type TopicOut,
} from "./message.js";
import type { Readable } from "./readable.js";
import { CORE, Socket } from "./socket.js";
import type { SocketCore } from "./socket-core.js";
import type { CodecOptions, ConstructionOptions, Properties } from "./socket-options.js";
import type { Writable } from "./writable.js";

export type PublisherOptions<T = Raw> = OptionsFor<"Publisher"> & ConstructionOptions & CodecOptions<T>;
export type SubscriberOptions<T = Raw> = OptionsFor<"Subscriber"> & ConstructionOptions & CodecOptions<T>;
export type XPublisherOptions = OptionsFor<"XPublisher"> & ConstructionOptions;
export type XSubscriberOptions = OptionsFor<"XSubscriber"> & ConstructionOptions;

export interface WaitForSubscribersOptions extends WaitOptions {
  /** Counts only subscriptions that match this first frame. Default: all. */
  readonly topic?: string | Uint8Array;
  /** Number of subscriptions. Default 1. */
  readonly count?: number;
}

const WAIT_FOR_OPTIONS: readonly (keyof WaitForSubscribersOptions)[] = [
  "topic",
  "count",
  "signal",
  "timeout",
];

/**
 * Sends each message to subscribers of a prefix of its first frame, except full ones (29/PUBSUB, The PUB Socket Type).
 *
 * @example
 * ```ts
 * import { Publisher, Subscriber } from "shoal";
 *
 * const publisher = new Publisher();
 * const subscriber = new Subscriber();
 * subscriber.connect(await publisher.bind("tcp://127.0.0.1:*"));
 * subscriber.subscribe("coast.");
 * await publisher.waitForSubscribers({ topic: "coast.north" }); // So the first message is not lost.
 * await publisher.send(["coast.north", "storm"]);
 * console.log(String(await subscriber.receive())); // coast.north,storm
 * await Promise.all([publisher.close(), subscriber.close()]);
 * ```
 */
export class Publisher<T = Raw> extends Socket {
  readonly #subscriptions = new SubscriptionTable();

  /** @throws InvalidArgumentError `EINVAL` */
  constructor(options?: PublisherOptions<T>) {
    super(SocketType.Publisher, options, shapeFor("topic", options?.codec));
    const subscriptions = this.#subscriptions;
    this[CORE].events.listen((event) => {
      if (event.type === "subscribe") subscriptions.add(event.topic);
      else if (event.type === "unsubscribe") subscriptions.remove(event.topic);
    });
  }

  /**
   * Waits for subscriptions, so that no first message is lost. The engine decides how repeated ones count
   * (docs/engines.md).
   *
   * @throws InvalidArgumentError `EINVAL`; TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF`,
   *   `EAGAIN`
   * @throws NotSupportedError `NOT_SUPPORTED` on the engine `libzmq` with `conflate`
   */
  waitForSubscribers(options: WaitForSubscribersOptions = {}): Promise<void> {
    return this[CORE].run(async () => {
      checkCallOptions("waitForSubscribers", options, WAIT_FOR_OPTIONS);
      const { topic, count = 1 } = options;
      checkInteger("count", count);
      if (topic !== undefined && typeof topic !== "string" && !isBytes(topic))
        throw new InvalidArgumentError(`topic must be a string or bytes; got ${typeof topic}`);
      const core = this[CORE];
      const { conflatedSubscriptions } = core.context.load().capabilities;
      if (core.options.conflate && !conflatedSubscriptions)
        throw new NotSupportedError("A publisher with conflate cannot see its subscriptions on this engine");
      const wanted = topic === undefined ? undefined : Buffer.from(topic as string);
      const subscriptions = this.#subscriptions;
      core.assertOpen();
      await core.events.waitFor(
        () => (wanted === undefined ? subscriptions.total : subscriptions.matching(wanted)) >= count,
        { count, noun: "subscription", verb: "came" },
        options,
      );
    });
  }
}
export interface Publisher<T = Raw>
  extends Writable<TopicOut<Settled<T>>>,
    Properties<OptionsFor<"Publisher">> {}
defineSocket(Publisher, "Publisher", (effects) => new PublishRouting(effects, false));

/**
 * Receives messages whose first frame begins with a subscribed prefix (29/PUBSUB, The SUB Socket Type).
 *
 * @example
 * ```ts
 * import { Publisher, Subscriber } from "shoal";
 *
 * const publisher = new Publisher();
 * const subscriber = new Subscriber();
 * subscriber.connect(await publisher.bind("tcp://127.0.0.1:*"));
 * subscriber.subscribe("eel"); // "" would be everything.
 * await publisher.waitForSubscribers({ topic: "eel" });
 * for (const fish of ["cod", "eel"]) await publisher.send([fish, "7.90"]);
 * const [topic, price] = await subscriber.receive();
 * console.log(`${topic}: ${price}`); // eel: 7.90
 * await Promise.all([publisher.close(), subscriber.close()]);
 * ```
 */
export class Subscriber<T = Raw> extends Socket {
  /** @throws InvalidArgumentError `EINVAL` */
  constructor(options?: SubscriberOptions<T>) {
    super(SocketType.Subscriber, options, shapeFor("topic", options?.codec));
  }

  /**
   * Subscribes to prefixes of the first frame, or to all messages without arguments. Each call needs a cancellation.
   *
   * @throws InvalidArgumentError `EINVAL` for a prefix of more than 1,024 bytes on the engine `zmtp`; ClosedError `EBADF`
   */
  subscribe(...prefixes: (Uint8Array | string)[]): void {
    applyPrefixes(this[CORE], "subscribe", prefixes);
  }

  /** Cancels subscriptions to these prefixes, or the one to all messages. */
  unsubscribe(...prefixes: (Uint8Array | string)[]): void {
    applyPrefixes(this[CORE], "unsubscribe", prefixes);
  }
}
export interface Subscriber<T = Raw>
  extends Readable<TopicIn<Settled<T>>>,
    Properties<OptionsFor<"Subscriber">> {}
defineSocket(Subscriber, "Subscriber", (effects) => new SubscribeRouting(effects, true));

/**
 * A publisher that receives its peers' subscriptions as one frame: `01` or `00`, then the prefix (29/PUBSUB, The XPUB
 * Socket Type).
 *
 * @example
 * ```ts
 * import { Subscriber, XPublisher } from "shoal";
 *
 * const publisher = new XPublisher();
 * const subscriber = new Subscriber();
 * subscriber.connect(await publisher.bind("tcp://127.0.0.1:*"));
 * subscriber.subscribe("tide");
 * const [subscription] = await publisher.receive();
 * console.log(subscription[0], String(subscription.subarray(1))); // 1 tide
 * await publisher.send(["tide", "high"]);
 * console.log(String(await subscriber.receive())); // tide,high
 * await Promise.all([publisher.close(), subscriber.close()]);
 * ```
 */
export class XPublisher extends Socket {
  /** @throws InvalidArgumentError `EINVAL` */
  constructor(options?: XPublisherOptions) {
    super(SocketType.XPublisher, options, FRAMES);
  }

  /**
   * Subscribes the sender of the last received message to these prefixes, or to all messages; needs `manual`. Has no
   * effect if that peer is gone. Receive and answer one message at a time.
   *
   * @param prefixes text (UTF-8) or bytes
   * @throws InvalidArgumentError `EINVAL` without `manual`, or for an invalid prefix; ClosedError `EBADF`
   * @throws NotSupportedError `NOT_SUPPORTED` on the engine `libzmq`
   */
  subscribe(...prefixes: (Uint8Array | string)[]): void {
    this.#set("subscribe", prefixes);
  }

  /** Cancels such prefixes; throws as `subscribe`. */
  unsubscribe(...prefixes: (Uint8Array | string)[]): void {
    this.#set("unsubscribe", prefixes);
  }

  #set(call: "subscribe" | "unsubscribe", prefixes: (Uint8Array | string)[]): void {
    const core = this[CORE];
    core.assertOpen();
    if (core.engine.subscriptions !== undefined && !core.options.manual) {
      throw new InvalidArgumentError(`${call} of an XPublisher needs the option manual; it is false`);
    }
    applyPrefixes(core, call, prefixes);
  }
}
export interface XPublisher
  extends Readable<Buffer[]>,
    Writable<MessageLike | MessageLike[]>,
    Properties<OptionsFor<"XPublisher">> {
  /** Set as text or bytes, read as UTF-8 text. */
  get welcomeMessage(): string | null;
  set welcomeMessage(value: string | Uint8Array | null);
}
defineSocket(XPublisher, "XPublisher", (effects) => new PublishRouting(effects, true));

/**
 * A subscriber that sends its subscriptions as one frame: `01` or `00`, then the prefix (29/PUBSUB, The XSUB Socket
 * Type).
 *
 * @example
 * ```ts
 * import { Publisher, XSubscriber } from "shoal";
 *
 * const publisher = new Publisher();
 * const subscriber = new XSubscriber();
 * subscriber.connect(await publisher.bind("tcp://127.0.0.1:*"));
 * await subscriber.ready();
 * await subscriber.send(Buffer.from("\x01tide")); // Subscribes to "tide"; \x00 cancels.
 * await publisher.waitForSubscribers({ topic: "tide" });
 * await publisher.send(["tide", "low"]);
 * console.log(String(await subscriber.receive())); // tide,low
 * await Promise.all([publisher.close(), subscriber.close()]);
 * ```
 */
export class XSubscriber extends Socket {
  /** @throws InvalidArgumentError `EINVAL` */
  constructor(options?: XSubscriberOptions) {
    super(SocketType.XSubscriber, options, FRAMES);
  }
}
export interface XSubscriber
  extends Readable<Buffer[]>,
    Writable<MessageLike | MessageLike[]>,
    Properties<OptionsFor<"XSubscriber">> {}
defineSocket(XSubscriber, "XSubscriber", (effects) => new SubscribeRouting(effects, false));

/** Checks all prefixes first; none means the empty one. */
function applyPrefixes(
  core: SocketCore,
  call: "subscribe" | "unsubscribe",
  prefixes: readonly (Uint8Array | string)[],
): void {
  core.assertOpen();
  const { subscriptions } = core.engine;
  if (subscriptions === undefined) {
    throw new NotSupportedError(
      `The ${core.context.engine} engine cannot set the subscriptions of an XPublisher's peers`,
    );
  }
  for (const prefix of prefixes) {
    if (typeof prefix !== "string" && !isBytes(prefix))
      throw new InvalidArgumentError(`A topic prefix must be a string or bytes; got ${typeof prefix}`);
    const length = Buffer.byteLength(prefix);
    // A publisher would end the connection, and each one after it.
    if (length > MAX_PREFIX_LENGTH && core.context.engine === "zmtp")
      throw new InvalidArgumentError(
        `A topic prefix has at most ${MAX_PREFIX_LENGTH} bytes on the engine zmtp; got ${length}`,
      );
  }
  for (const prefix of prefixes.length === 0 ? [""] : prefixes)
    subscriptions[call](Buffer.from(prefix as string));
}

export const MAX_COUNTED_PREFIXES = 100_000;

export class SubscriptionTable {
  readonly #counts = new SteadyMap<number>();
  #total = 0;

  get total(): number {
    return this.#total;
  }

  add(prefix: Buffer): void {
    const key = prefix.toString("latin1");
    const count = this.#counts.get(key);
    if (count === undefined && this.#counts.size >= MAX_COUNTED_PREFIXES) return;
    this.#counts.set(key, (count ?? 0) + 1);
    this.#total += 1;
  }

  remove(prefix: Buffer): void {
    const key = prefix.toString("latin1");
    const count = this.#counts.get(key);
    if (count === undefined) return;
    this.#total -= 1;
    if (count === 1) this.#counts.delete(key);
    else this.#counts.set(key, count - 1);
  }

  /** Subscriptions that match this first frame. */
  matching(topic: Buffer): number {
    const text = topic.toString("latin1");
    let count = 0;
    for (let length = 0; length <= text.length; length++)
      count += this.#counts.get(text.slice(0, length)) ?? 0;
    return count;
  }
}
