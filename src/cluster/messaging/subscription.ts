/**
 * A subscription, as a program has it: a handler that is called for each message, or an async iterable with a queue.
 *
 *   handler that returns nothing      called as the messages come, one after the other
 *   handler that returns a promise    one call at a time; what comes meanwhile is queued. Past the mark the link that brought it
 *                                     waits, so the publisher's own mark is reached in the end. Messages of this node's own
 *                                     publishers are dropped past the mark, or `onFull: "wait"` waits
 *   async iterable                    queued; past the mark the newest is dropped, and counted in `dropped`
 *
 * What throws or rejects is the event `handler:failed`, and ends nothing. A handler that holds a link for longer than
 * `STALL_TIME` holds it no more: past the mark messages for it are dropped from then on, until it has caught up.
 */
import { RingBuffer } from "../../core/collections/ring-buffer.js";
import { ClosedError } from "../../core/errors.js";
import {
  isMessageProcessObserved,
  isMessageReceiveObserved,
  isMessageTraced,
  type ObservedMessage,
  observeMessageProcess,
  observeMessageReceive,
} from "../../core/message-operations.js";
import { MAX_RETAINED_SEEN, STALL_TIME } from "./bounds.js";
import type { ClusterMessage, ReceivedMessage } from "./message.js";

/** Called for each message of a subscription. A promise that it returns holds up the next message; any other result is ignored. */
export type MessageHandler = (message: ClusterMessage) => unknown;

/** A subscription of a client: an async iterable of its messages, unless it has a handler. */
export interface ClusterSubscription extends AsyncIterable<ClusterMessage> {
  /** The filter that was given; "self" for one-to-one messages. */
  readonly filter: string;
  /**
   * Settles when all live members know of it: what they publish from then on arrives. Rejects with TimeoutError `ETIMEDOUT` where one
   * does not answer in time; the subscription stands, and that one is sent it again.
   */
  readonly ready: Promise<void>;
  /** Messages that wait for the program. */
  readonly waiting: number;
  /** Messages that were dropped since too many waited. */
  readonly dropped: number;
  readonly closed: boolean;
  /** Ends it. A `for await` ends after what waits; a handler is called no more. */
  close(): void;
}

/** Bounds of what waits for the program. */
export interface SubscriptionMark {
  readonly messages: number;
  readonly bytes: number;
}

export interface SubscriptionEffects {
  /** The handler threw or rejected. */
  failed(subscription: Subscription, error: unknown): void;
  /** A message was dropped past the mark. */
  dropped(subscription: Subscription, message: ReceivedMessage): void;
  closed(subscription: Subscription): void;
}

/** A client, as its subscriptions know it. */
export interface Subscriber {
  /** The last delivery that this client got, so that it gets each once. */
  lastDelivery: number;
}

export class Subscription implements ClusterSubscription {
  readonly filter: string;
  readonly subtopic: string | undefined;
  readonly each: boolean;
  /** Whether it gets the last values of topics, and of those that are retained nothing that is earlier. */
  readonly retained: boolean;
  readonly subscriber: Subscriber;
  ready: Promise<void> = Promise.resolve();
  readonly #handler: MessageHandler | undefined;
  readonly #mark: SubscriptionMark;
  readonly #effects: SubscriptionEffects;
  readonly #queue = new RingBuffer<ReceivedMessage>(2);
  #bytes = 0;
  #dropped = 0;
  #closed = false;
  /** A promise of the handler has not settled. */
  #isBusy = false;
  /** The program reads: what waits for a message. */
  readonly #readers = new RingBuffer<(result: IteratorResult<ClusterMessage, undefined>) => void>(2);
  #room: Promise<void> | undefined = undefined;
  #roomMade: (() => void) | undefined = undefined;
  #stallTimer: NodeJS.Timeout | undefined = undefined;
  /** It held a link for too long, and has not caught up since. */
  #isStalled = false;
  #onClose: (() => void) | undefined = undefined;
  /** With `retained`, by topic: the latest that it got, the one that was updated the longest ago first. */
  readonly #latest = new Map<string, { readonly stamp: number; readonly node: string }>();

  constructor(
    filter: string,
    subtopic: string | undefined,
    each: boolean,
    retained: boolean,
    subscriber: Subscriber,
    handler: MessageHandler | undefined,
    mark: SubscriptionMark,
    effects: SubscriptionEffects,
  ) {
    this.filter = filter;
    this.subtopic = subtopic;
    this.each = each;
    this.retained = retained;
    this.subscriber = subscriber;
    this.#handler = handler;
    this.#mark = mark;
    this.#effects = effects;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  get waitingBytes(): number {
    return this.#bytes;
  }

  get dropped(): number {
    return this.#dropped;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether a message more is past the mark. */
  get isFull(): boolean {
    return this.#queue.length >= this.#mark.messages || this.#bytes >= this.#mark.bytes;
  }

  /**
   * Gives it a message.
   *
   * @param holds whether who brings it can wait: then a handler's queue takes one past its mark
   * @returns settles when there is room again; `undefined`: there is
   */
  push(message: ReceivedMessage, holds: boolean): Promise<void> | undefined {
    if (this.#closed) return undefined;
    if (this.#handler !== undefined && !this.#isBusy) {
      this.#call(this.#handler, message);
      return undefined;
    }
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      if (isReceiveObserved(message)) observeMessageReceive(this.#observed(message));
      reader({ done: false, value: message });
      return undefined;
    }
    if (this.isFull && (!holds || this.#handler === undefined || this.#isStalled)) {
      this.#dropped += 1;
      this.#effects.dropped(this, message);
      return undefined;
    }
    this.#queue.push(message);
    this.#bytes += message.bytes;
    return holds && this.#handler !== undefined && this.isFull ? this.room() : undefined;
  }

  /** Whether a retained publication or value is later than what it has of its topic. Then it counts as what it has. */
  takes({ topic, sender: { node } }: ReceivedMessage, stamp: number): boolean {
    const latest = this.#latest.get(topic);
    if (latest !== undefined) {
      if (stamp < latest.stamp || (stamp === latest.stamp && node <= latest.node)) return false;
      this.#latest.delete(topic);
    }
    this.#latest.set(topic, { stamp, node });
    if (this.#latest.size > MAX_RETAINED_SEEN)
      for (const oldest of this.#latest.keys()) {
        this.#latest.delete(oldest);
        break;
      }
    return true;
  }

  /** Settles when half of what may wait has gone, or it closes, or it has held for too long. */
  room(): Promise<void> {
    if (this.#room === undefined) {
      this.#room = new Promise((resolve) => {
        this.#roomMade = resolve;
      });
      this.#stallTimer = setTimeout(() => {
        this.#isStalled = true;
        this.#release();
      }, STALL_TIME).unref();
    }
    return this.#room;
  }

  /** Called when it closes; one at most. */
  onClose(listener: () => void): void {
    this.#onClose = listener;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClose?.();
    this.#latest.clear();
    if (this.#handler !== undefined) {
      this.#queue.clear();
      this.#bytes = 0;
    }
    this.#release();
    for (let reader = this.#readers.shift(); reader !== undefined; reader = this.#readers.shift())
      reader({ done: true, value: undefined });
    this.#effects.closed(this);
  }

  /** @throws ClosedError `EBADF` where it has a handler */
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
          if (isReceiveObserved(message)) observeMessageReceive(this.#observed(message));
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
    if (this.#room !== undefined || this.#isStalled) this.#look();
    return message;
  }

  /** There may be room again. */
  #look(): void {
    const { messages, bytes } = this.#mark;
    if (this.#queue.length > messages / 2 || this.#bytes > bytes / 2) return;
    this.#isStalled = false;
    this.#release();
  }

  #release(): void {
    clearTimeout(this.#stallTimer);
    this.#stallTimer = undefined;
    const made = this.#roomMade;
    this.#room = undefined;
    this.#roomMade = undefined;
    made?.();
  }

  #call(handler: MessageHandler, message: ReceivedMessage): void {
    let result: unknown;
    try {
      result =
        message.context !== undefined || isMessageProcessObserved()
          ? this.#callObserved(handler, message)
          : handler(message);
      if (result === undefined || typeof (result as PromiseLike<unknown> | null)?.then !== "function") return;
    } catch (error) {
      this.#effects.failed(this, error);
      return;
    }
    this.#isBusy = true;
    Promise.resolve(result).then(
      () => this.#next(handler),
      (error: unknown) => {
        this.#effects.failed(this, error);
        this.#next(handler);
      },
    );
  }

  #callObserved(handler: MessageHandler, message: ReceivedMessage): unknown {
    if (!isMessageProcessObserved() && !isMessageTraced()) return handler(message);
    return observeMessageProcess("subscription", this.#observed(message), () => handler(message));
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

  /** The handler's promise has settled. */
  #next(handler: MessageHandler): void {
    this.#isBusy = false;
    while (!this.#isBusy && !this.#closed) {
      const message = this.#take();
      if (message === undefined) return;
      this.#call(handler, message);
    }
  }
}

function isReceiveObserved({ context }: ReceivedMessage): boolean {
  return isMessageReceiveObserved() || (context !== undefined && isMessageTraced());
}
