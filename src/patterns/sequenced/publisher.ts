/** A sequenced publisher: a PUB, a ROUTER for replays, and a timer around publisher-rules.ts. */
import { randomBytes } from "node:crypto";
import { DriverTimer } from "../../core/driver-timer.js";
import { ClosedError, InvalidArgumentError, ShoalError } from "../../core/errors.js";
import { EventStream } from "../../core/event-stream.js";
import type { Codec } from "../../sockets/codec.js";
import { Publisher, type PublisherOptions, type WaitForSubscribersOptions } from "../../sockets/pub-sub.js";
import { Router, type RouterOptions } from "../../sockets/request-reply.js";
import type { Raw } from "../../sockets/shape.js";
import { type BodyFor, BodyShape } from "../kit/body.js";
import { numbers } from "../kit/options.js";
import { ID_BYTES } from "./protocol.js";
import {
  PublisherRules,
  type SequencedPublisherEvent,
  type SequencedPublisherStats,
} from "./publisher-rules.js";

/** ms that `close` gives to what is on its way, unless it is told otherwise. */
const CLOSE_LINGER = 1_000;

const DEFAULTS = Object.freeze({
  maxTopics: 10_000,
  ringMessages: 1_000,
  maxBytes: 67_108_864,
  markInterval: 1_000,
});

/** Options of {@link SequencedPublisher}. */
export interface SequencedPublisherOptions<T = Raw> {
  /** Topics numbered at once; past it the one published the longest ago is forgotten. Default 10,000. */
  readonly maxTopics?: number;
  /** Messages of one topic kept for replays. Default 1,000. */
  readonly ringMessages?: number;
  /** Bytes of all bodies kept for replays. Default 67,108,864. */
  readonly maxBytes?: number;
  /** ms of a topic's silence after which its last sequence is told in a mark; 0: no marks. Default 1,000. */
  readonly markInterval?: number;
  /** Encodes a body, as one frame. Default: frames as they are. */
  readonly codec?: Codec<T>;
  /** Of the PUB, such as security. */
  readonly socketOptions?: PublisherOptions;
  /** Of the ROUTER for replays. */
  readonly replayOptions?: RouterOptions;
}

/**
 * Publishes messages that are numbered per topic, and sends the newest of them again
 * to subscribers that ask.
 *
 * On the wire a message is `topic | meta | body…` (sequenced/protocol.ts has the bytes):
 * a plain SUB reads it as well.
 */
export class SequencedPublisher<T = Raw> {
  readonly events: EventStream<SequencedPublisherEvent> = new EventStream<SequencedPublisherEvent>();
  readonly #id = randomBytes(ID_BYTES);
  readonly #shape: BodyShape<T>;
  readonly #publisher: Publisher;
  readonly #router: Router;
  readonly #rules: PublisherRules;
  readonly #timer: DriverTimer;
  #closing: Promise<void> | undefined;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: SequencedPublisherOptions<T> = {}) {
    const { codec, socketOptions = {}, replayOptions, ...given } = options;
    const settings = numbers("SequencedPublisher", DEFAULTS, given, { markInterval: 0 });
    for (const name of ["noDrop", "conflate", "codec"]) {
      if (name in socketOptions)
        throw new InvalidArgumentError(`Option ${name} does not fit the PUB of a SequencedPublisher`);
    }
    this.#shape = new BodyShape(codec);
    this.#publisher = new Publisher(socketOptions);
    this.#router = new Router({ linger: CLOSE_LINGER, ...replayOptions, mandatory: true });
    // A stall delays marks, no more: it may count in full.
    this.#timer = new DriverTimer(Number.POSITIVE_INFINITY);
    this.#rules = new PublisherRules(
      settings,
      {
        publish: (frames) => void this.#publisher.trySend(frames),
        answer: (to, frames) => this.#answer(to, frames),
        event: (event) => this.events.emit(event),
      },
      this.#id,
    );
    this.#timer.hold(false);
    this.#timer.start({
      nextWakeUp: () => this.#rules.nextWakeUp(),
      tick: (now) => this.#rules.tick(now, microseconds()),
    });
    void this.#answerRequests();
  }

  /** 32 hexadecimal digits, new with each publisher: by it subscribers tell publishers and their lives apart. */
  get id(): string {
    return this.#id.toString("hex");
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** Listens for subscribers. @returns the endpoint, wildcards filled in. @throws as `bind` of a socket does */
  async bind(endpoint: string): Promise<string> {
    this.#assertOpen();
    await this.#publisher.bind(endpoint);
    return this.#publisher.lastEndpoint as string;
  }

  /** Connects to a proxy or a cache. @throws InvalidArgumentError `EINVAL` for a bad endpoint */
  connect(endpoint: string): void {
    this.#assertOpen();
    this.#publisher.connect(endpoint);
  }

  /** Listens for requests for replays. @returns the endpoint, wildcards filled in */
  async bindReplay(endpoint: string): Promise<string> {
    this.#assertOpen();
    await this.#router.bind(endpoint);
    return this.#router.lastEndpoint as string;
  }

  /** Waits until subscriptions have arrived, as `waitForSubscribers` of a Publisher does. */
  async waitForSubscribers(options?: WaitForSubscribersOptions): Promise<void> {
    await this.#publisher.waitForSubscribers(options);
  }

  /**
   * Publishes a message. A subscriber whose queue is full misses it, and will know.
   * Bytes are not copied, and are kept for replays: they must not change after the call.
   *
   * @param body one frame or more; with a codec the value
   * @returns the message's sequence in its topic, from 1
   * @throws InvalidArgumentError `EINVAL`, InvalidMessageError for what is no such message; ClosedError `EBADF`
   */
  publish(topic: string | Uint8Array, body: BodyFor<T>): number {
    this.#assertOpen();
    if (typeof topic !== "string" && !(topic instanceof Uint8Array))
      throw new InvalidArgumentError(`topic is a string or bytes; got ${typeof topic}`);
    const name =
      typeof topic === "string"
        ? Buffer.from(topic)
        : Buffer.from(topic.buffer, topic.byteOffset, topic.length);
    const sequence = this.#rules.publish(name, this.#shape.encode(body), microseconds(), this.#timer.now());
    this.#timer.update();
    return sequence;
  }

  /** The accounts at this moment. */
  stats(): SequencedPublisherStats {
    return this.#rules.stats();
  }

  /** Closes; what was published may leave for `linger` ms (default 1,000; -1: without limit). */
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
    this.#timer.stop();
    await Promise.all([this.#publisher.close({ linger }), this.#router.close({ linger })]);
    this.events.close();
  }

  async #answerRequests(): Promise<void> {
    for await (const [from, ...frames] of this.#router) this.#rules.receive(from as Buffer, frames);
  }

  #answer(to: Buffer, frames: Buffer[]): boolean {
    try {
      return this.#router.trySend([to, ...frames]);
    } catch (error) {
      if (error instanceof ShoalError) return false; // It left, or its queue is full.
      throw error;
    }
  }

  #assertOpen(): void {
    if (this.closed) throw new ClosedError("EBADF", "The publisher is closed");
  }
}

/** µs since 1970, by a clock that is never set back while the process lives. */
function microseconds(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1_000);
}
