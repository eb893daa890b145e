/**
 * Subscriptions of this node's clients, the messages in them, and how these are delivered.
 *
 *   handler that returns nothing      called as messages arrive
 *   handler that returns a promise    one call at a time; messages are queued. Above the mark the link waits, and this node's own
 *                                     publishers drop or wait (`onFull`)
 *   async iterable                    queued; above the mark the newest is dropped
 *
 * A handler delays a link for at most 10 s; then messages above its mark are dropped until it has caught up.
 */
import { createHash } from "node:crypto";
import { RingBuffer } from "../../core/collections/queues.js";
import { begin, isObserved, MESSAGE_PROCESS, MESSAGE_RECEIVE } from "../../core/diagnostics.js";
import { ClosedError } from "../../core/errors.js";
import type { MessageProcessOperation, ObservedMessage } from "../../core/message-operations.js";
import { TurnBudget } from "../../core/turn-budget.js";
import { IdleWaits, ignore } from "../../core/waiter.js";
import { LatestMap } from "../bounds.js";

// --- Messages ----------------------------------------------------------------------------------------------

/** Topic of one-to-one messages. */
export const SELF_TOPIC = "self";
/** Of each node's own client. */
export const SELF_ID = 1;

/** A client of a node: the sender of a message, or whom one is sent to. */
export interface ClusterAddress {
  /** 32 hexadecimal digits. */
  readonly node: string;
  /** On its node: 1 for the node's own client, up to 2^31 - 1. */
  readonly id: number;
}

/** A message of a topic, or to this client alone. */
export interface ClusterMessage {
  /** "self" for a one-to-one message. */
  readonly topic: string;
  /**
   * A view of received memory, which is never changed. Copy it to keep it for long: a view keeps the memory around it.
   */
  readonly data: Buffer;
  /** The publisher, for `sendTo`. */
  readonly sender: ClusterAddress;
  readonly subtopic: string | undefined;
  /** Whether it is a retained value, published before the subscription. */
  readonly retained: boolean;
}

export class ReceivedMessage implements ClusterMessage {
  readonly topic: string;
  data: Buffer;
  readonly sender: ClusterAddress;
  readonly subtopic: string | undefined;
  readonly retained: boolean;
  /** Received trace context, if messages are observed. */
  context: Buffer | undefined = undefined;

  constructor(
    topic: string,
    data: Buffer,
    sender: ClusterAddress,
    subtopic: string | undefined,
    retained = false,
  ) {
    this.topic = topic;
    this.data = data;
    this.sender = sender;
    this.subtopic = subtopic;
    this.retained = retained;
  }

  /** Counted bytes in a queue. */
  get bytes(): number {
    return this.data.length + this.topic.length + (this.subtopic?.length ?? 0) + 128;
  }
}

// --- Subscriptions -----------------------------------------------------------------------------------------

/** A returned promise delays the next message. */
export type MessageHandler = (message: ClusterMessage) => unknown;

/** A subscription of a client: an async iterable of messages, unless it has a handler. */
export interface ClusterSubscription extends AsyncIterable<ClusterMessage> {
  /** The given filter; "self" for one-to-one messages. */
  readonly filter: string;
  /**
   * Resolves when all live members know the subscription: their later messages arrive. Rejects with TimeoutError
   * `ETIMEDOUT` after 10 s; the subscription stays.
   */
  readonly ready: Promise<void>;
  /** Messages queued for the program. */
  readonly waiting: number;
  readonly dropped: number;
  readonly closed: boolean;
  /** A `for await` ends after the queued messages; a handler is no longer called. */
  close(): void;
}

/** The client of a subscription. */
export interface Subscriber {
  /** Number of its last delivery: it gets each message once. */
  lastDelivery: number;
  onFailed(subscription: Subscription, error: unknown): void;
  onDropped(subscription: Subscription, message: ReceivedMessage): void;
  onClosed(subscription: Subscription): void;
}

export interface SubscriptionSettings {
  readonly filter: string;
  readonly subtopic: string | undefined;
  readonly each: boolean;
  /** Whether it gets retained values first, and later no older retained messages. */
  readonly retained: boolean;
  readonly handler: MessageHandler | undefined;
  readonly maxQueue: number;
  readonly maxQueueBytes: number;
}

let created = 0;

export class Subscription implements ClusterSubscription {
  /** Later ones have higher numbers. */
  readonly age = ++created;
  readonly filter: string;
  readonly subtopic: string | undefined;
  readonly each: boolean;
  readonly retained: boolean;
  readonly subscriber: Subscriber;
  ready: Promise<void> = Promise.resolve();
  readonly #handler: MessageHandler | undefined;
  readonly #settings: SubscriptionSettings;
  readonly #queue = new RingBuffer<ReceivedMessage>(2);
  #bytes = 0;
  /** Memory of the last queued message, while any is queued, and the bytes of the messages in it. */
  #read: ArrayBufferLike | undefined = undefined;
  #readBytes = 0;
  #dropped = 0;
  #closed = false;
  #isBusy = false;
  readonly #readers = new RingBuffer<(result: IteratorResult<ClusterMessage, undefined>) => void>(2);
  readonly #waits = new IdleWaits();
  #stallTimer: NodeJS.Timeout | undefined = undefined;
  /** It delayed a link for too long, and has not caught up. */
  #isStalled = false;
  /** With `retained`: of each topic. */
  readonly #latest = new LatestMap<string, { readonly stamp: number; readonly node: string }>(100_000);

  constructor(settings: SubscriptionSettings, subscriber: Subscriber) {
    this.filter = settings.filter;
    this.subtopic = settings.subtopic;
    this.each = settings.each;
    this.retained = settings.retained;
    this.subscriber = subscriber;
    this.#handler = settings.handler;
    this.#settings = settings;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  get dropped(): number {
    return this.#dropped;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get isFull(): boolean {
    return this.#queue.length >= this.#settings.maxQueue || this.#bytes >= this.#settings.maxQueueBytes;
  }

  /**
   * @param holds whether the caller can wait
   * @returns settles when there is room again; `undefined` if there is
   */
  push(message: ReceivedMessage, holds: boolean): Promise<void> | undefined {
    if (this.#closed) return undefined;
    const handler = this.#handler;
    if (handler !== undefined && !this.#isBusy) {
      if (!this.#call(handler, message) && this.#queue.length > 0) this.#next(handler);
      return undefined;
    }
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      if (MESSAGE_RECEIVE.hasSubscribers) MESSAGE_RECEIVE.publish(this.#observed(message));
      reader({ done: false, value: message });
      return undefined;
    }
    if (this.isFull && (!holds || handler === undefined || this.#isStalled)) {
      this.#dropped += 1;
      this.subscriber.onDropped(this, message);
      return undefined;
    }
    this.#own(message);
    this.#queue.push(message);
    this.#bytes += message.bytes;
    return holds && handler !== undefined && this.isFull ? this.room() : undefined;
  }

  /** A message keeps the memory of its whole read: the first ones are copied, up to a quarter of the read. */
  #own(message: ReceivedMessage): void {
    const { buffer } = message.data;
    if (buffer.byteLength <= Buffer.poolSize) return;
    if (buffer !== this.#read) {
      this.#read = buffer;
      this.#readBytes = 0;
    }
    this.#readBytes += message.bytes;
    if (4 * this.#readBytes < buffer.byteLength) message.data = Buffer.from(message.data);
  }

  /** Whether a retained message is newer than the latest of its topic, which it then replaces. */
  takes({ topic, sender: { node } }: ReceivedMessage, stamp: number): boolean {
    // Publishers choose topics: as many with 65,535 bytes would take 6.5 GB. No topic has a "#".
    const key = topic.length > 255 ? `#${createHash("sha256").update(topic).digest("base64")}` : topic;
    const latest = this.#latest.get(key);
    const isOld =
      latest !== undefined && (stamp < latest.stamp || (stamp === latest.stamp && node <= latest.node));
    if (!isOld) this.#latest.set(key, { stamp, node });
    return !isOld;
  }

  /** Settles when half of the queue is free, it closes, or it has delayed for too long. */
  room(): Promise<void> {
    this.#stallTimer ??= setTimeout(() => {
      this.#isStalled = true;
      this.#release();
    }, 10_000).unref();
    return this.#waits.wait(false);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#latest.clear();
    if (this.#handler !== undefined) {
      this.#queue.clear();
      this.#bytes = 0;
      this.#read = undefined;
    }
    this.#release();
    for (let reader = this.#readers.shift(); reader !== undefined; reader = this.#readers.shift())
      reader({ done: true, value: undefined });
    this.subscriber.onClosed(this);
  }

  /** @throws ClosedError `EBADF` if it has a handler */
  [Symbol.asyncIterator](): AsyncIterator<ClusterMessage, undefined> {
    if (this.#handler !== undefined)
      throw new ClosedError(
        "EBADF",
        "a subscription with a handler is not read: its handler has the messages",
      );
    return {
      next: () => {
        const message = this.#take();
        if (message !== undefined) {
          if (MESSAGE_RECEIVE.hasSubscribers) MESSAGE_RECEIVE.publish(this.#observed(message));
          return Promise.resolve({ done: false, value: message });
        }
        if (this.#closed) return Promise.resolve({ done: true, value: undefined });
        return new Promise((resolve) => this.#readers.push(resolve));
      },
      return: () => {
        this.close();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  #take(): ReceivedMessage | undefined {
    const message = this.#queue.shift();
    if (message === undefined) return undefined;
    this.#bytes -= message.bytes;
    if (this.#queue.length === 0) this.#read = undefined;
    if (!this.#waits.isAwaited && !this.#isStalled) return message;
    const { maxQueue, maxQueueBytes } = this.#settings;
    if (this.#queue.length <= maxQueue / 2 && this.#bytes <= maxQueueBytes / 2) {
      this.#isStalled = false;
      this.#release();
    }
    return message;
  }

  #release(): void {
    clearTimeout(this.#stallTimer);
    this.#stallTimer = undefined;
    this.#waits.end();
  }

  /**
   * Messages that arrive within the call, as by a stream in memory, are queued.
   *
   * @returns whether the handler is pending
   */
  #call(handler: MessageHandler, message: ReceivedMessage): boolean {
    this.#isBusy = true;
    try {
      const result = isObserved(MESSAGE_PROCESS) ? this.#observe(handler, message) : handler(message);
      if (result !== undefined && typeof (result as PromiseLike<unknown> | null)?.then === "function") {
        Promise.resolve(result).then(
          () => this.#next(handler),
          (error: unknown) => {
            this.subscriber.onFailed(this, error);
            this.#next(handler);
          },
        );
        return true;
      }
    } catch (error) {
      this.subscriber.onFailed(this, error);
    }
    this.#isBusy = false;
    return false;
  }

  #observe(handler: MessageHandler, message: ReceivedMessage): unknown {
    const operation = begin<MessageProcessOperation>(MESSAGE_PROCESS, {
      handler: "subscription",
      received: this.#observed(message),
    });
    return operation.observe(() => handler(message));
  }

  #observed(message: ReceivedMessage): ObservedMessage {
    const { topic: destination, sender, data } = message;
    return {
      system: "cluster",
      destination,
      filter: this.filter,
      sender: sender.node,
      bytes: data.length,
      message,
      context: message.context,
    };
  }

  #next(handler: MessageHandler): void {
    this.#isBusy = false;
    while (!this.#closed) {
      const message = this.#take();
      if (message === undefined || this.#call(handler, message)) return;
    }
  }
}

// --- Deliveries --------------------------------------------------------------------------------------------

interface Local {
  readonly subscriptions: readonly Subscription[];
  readonly message: ReceivedMessage;
  /** Of a retained message; else 0. */
  readonly stamp: number;
}

/** Gives messages to this node's own subscriptions; those of its own publishers at the end of the turn. */
export class Deliveries {
  readonly #queue = new RingBuffer<Local>();
  /** ms of deliveries between turns of the event loop. */
  readonly #budget = new TurnBudget(10);
  #queuedBytes = 0;
  #isScheduled = false;
  #number = 0;
  delivered = 0;

  /** Of publications in one turn. */
  get isFull(): boolean {
    return this.#queue.length >= 65_536 || this.#queuedBytes >= 67_108_864;
  }

  /**
   * Gives a message to the subscriptions whose subtopic fits: for each client the first, and those with `each`.
   *
   * @param holds whether the caller can wait
   * @param stamp of a retained message; else 0
   * @returns settles when there is room for more; `undefined`: there is
   */
  deliver(
    subscriptions: readonly Subscription[],
    message: ReceivedMessage,
    holds: boolean,
    stamp = 0,
  ): Promise<void> | undefined {
    const number = ++this.#number;
    let held: Promise<void> | undefined;
    for (let i = 0; i < subscriptions.length; i++) {
      const subscription = subscriptions[i] as Subscription;
      const { subtopic, subscriber } = subscription;
      if (subtopic !== undefined && subtopic !== message.subtopic) continue;
      if (!subscription.each) {
        if (subscriber.lastDelivery === number) continue;
        subscriber.lastDelivery = number;
      }
      if (stamp !== 0 && subscription.retained && !subscription.takes(message, stamp)) continue;
      this.delivered += 1;
      const room = subscription.push(message, holds);
      if (room !== undefined) held = held === undefined ? room : Promise.all([held, room]).then(ignore);
    }
    return held;
  }

  /** Queues a message of this node's own publisher, or a retained value. @param stamp of a retained message; else 0 */
  queue(subscriptions: readonly Subscription[], message: ReceivedMessage, stamp = 0): void {
    this.#queue.push({ subscriptions, message, stamp });
    this.#queuedBytes += message.bytes;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(this.#drain);
  }

  readonly #drain = (): void => {
    for (let local = this.#queue.shift(); local !== undefined; local = this.#queue.shift()) {
      this.#queuedBytes -= local.message.bytes;
      this.deliver(local.subscriptions, local.message, false, local.stamp);
      if (this.#budget.spend() && this.#queue.length > 0) {
        setImmediate(this.#drain);
        return;
      }
    }
    this.#isScheduled = false;
  };
}
