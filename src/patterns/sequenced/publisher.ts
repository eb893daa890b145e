/** A sequenced publisher: a PUB, a ROUTER for replays, and a timer around publisher-rules.ts. */

import crypto from "node:crypto";
import { refuseExtra } from "../../core/arguments.js";
import { isBytes } from "../../core/bytes.js";
import { DriverTimer } from "../../core/driver-timer.js";
import { InvalidArgumentError } from "../../core/errors.js";
import type { Codec } from "../../sockets/codec.js";
import type { EndpointSource } from "../../sockets/endpoint-source.js";
import { engineStats, forwards } from "../../sockets/internal.js";
import { Publisher, type PublisherOptions, type WaitForSubscribersOptions } from "../../sockets/pub-sub.js";
import { Router, type RouterOptions } from "../../sockets/request-reply.js";
import type { Raw } from "../../sockets/shape.js";
import { type BodyFor, BodyShape } from "../kit/body.js";
import { Driver, type PatternWaitOptions } from "../kit/driver.js";
import { anything, bytes as byteCount, CLOSE_LINGER, checkOptions, integer, object } from "../kit/options.js";
import { ID_BYTES } from "../kit/sequence-meta.js";
import { type PublisherGate, publisherGate } from "../kit/server-gate.js";
import {
  PublisherRules,
  type SequencedPublisherEvent,
  type SequencedPublisherStats,
} from "./publisher-rules.js";

const OPTIONS = {
  maxTopics: integer({ default: 10_000 }),
  maxQueue: integer({ default: 1_000 }),
  maxQueueBytes: byteCount({ default: 67_108_864 }),
  markInterval: integer({ default: 1_000, min: 0 }),
  gate: publisherGate(),
  codec: anything<Codec<unknown>>(), // BodyShape checks it.
  socketOptions: object<PublisherOptions>(), // The sockets check theirs.
  replayOptions: object<RouterOptions>(),
};

/** Options of {@link SequencedPublisher}. */
export interface SequencedPublisherOptions<T = Raw> {
  /** Topics numbered at once; past it the one published the longest ago is forgotten. Default 10,000. */
  readonly maxTopics?: number;
  /** Messages of one topic kept for replays. Default 1,000. */
  readonly maxQueue?: number;
  /** Bytes of all bodies kept for replays. Default 67,108,864. */
  readonly maxQueueBytes?: number;
  /** ms of a topic's silence after which its last sequence is published in a mark; 0: no marks. Default 1,000. */
  readonly markInterval?: number;
  /**
   * Makes the publisher one of a pair: a `BinaryStarGate`. A message is numbered and kept for replays in any case, but sent
   * only while it serves; requests for replays are answered only then. Both of a pair have to publish the same: a subscriber
   * of both that the other one served before joins late, and can have what it missed replayed. Default: it always serves.
   */
  readonly gate?: PublisherGate | undefined;
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
 * On the wire a message is `topic | meta | body…` (docs/patterns/sequenced.md has the bytes):
 * a plain SUB reads it as well.
 *
 * @example
 * ```ts
 * import { SequencedPublisher, SequencedSubscriber } from "shoal/sequenced";
 *
 * const publisher = new SequencedPublisher();
 * const subscriber = new SequencedSubscriber();
 * subscriber.subscribe("tide");
 * subscriber.connect(await publisher.bind("tcp://127.0.0.1:*"));
 * await publisher.waitForSubscribers();
 * publisher.publish("tide", "high");
 * console.log(String((await subscriber.receive()).body)); // high
 * await subscriber.close();
 * await publisher.close();
 * ```
 */
export class SequencedPublisher<T = Raw> extends Driver<SequencedPublisherEvent, SequencedPublisherStats> {
  readonly #id = crypto.randomBytes(ID_BYTES);
  readonly #shape: BodyShape<T>;
  readonly #publisher: Publisher;
  readonly #router: Router;
  readonly #rules: PublisherRules;
  readonly #timer: DriverTimer;
  readonly #gate: PublisherGate | undefined;
  #notServing = 0;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: SequencedPublisherOptions<T> = {}) {
    super("SequencedPublisher", { "topic:evicted": true, "replay:answered": true, "message:invalid": true });
    const settings = checkOptions("SequencedPublisher", OPTIONS, options);
    const { codec, socketOptions = {}, replayOptions } = options;
    for (const name of ["noDrop", "conflate", "codec"]) {
      if (name in socketOptions)
        throw new InvalidArgumentError(`Option ${name} is not an option of the PUB of a SequencedPublisher`);
    }
    this.#gate = settings.gate;
    this.#shape = new BodyShape(codec);
    this.#publisher = new Publisher(socketOptions);
    this.#router = new Router({ linger: CLOSE_LINGER, ...replayOptions, mandatory: true });
    forwards(this.#router);
    // A stall delays marks, no more: it may count in full.
    this.#timer = new DriverTimer(Number.POSITIVE_INFINITY);
    this.#rules = new PublisherRules(
      settings,
      {
        publish: (frames) => this.#send(frames),
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

  /** 32 hexadecimal digits, new with each publisher: by it subscribers distinguish publishers and their lives. */
  get id(): string {
    return this.#id.toString("hex");
  }

  /** Listens for subscribers. @returns the endpoint, wildcards filled in. @throws as `bind` of a socket does */
  bind(endpoint: string): Promise<string>;
  async bind(endpoint: string, ...extra: unknown[]): Promise<string> {
    this.assertOpen();
    refuseExtra("bind", "an endpoint", extra);
    await this.#publisher.bind(endpoint);
    return this.#publisher.lastEndpoint as string;
  }

  /** Connects to a proxy or a cache, or to those that a source has. @throws InvalidArgumentError `EINVAL` for a bad endpoint */
  connect(endpoint: string | EndpointSource): void;
  connect(endpoint: string | EndpointSource, ...extra: unknown[]): void {
    this.assertOpen();
    refuseExtra("connect", "an endpoint", extra);
    this.#publisher.connect(endpoint);
  }

  /** Listens for requests for replays. @returns the endpoint, wildcards filled in */
  async bindReplay(endpoint: string): Promise<string> {
    this.assertOpen();
    await this.#router.bind(endpoint);
    return this.#router.lastEndpoint as string;
  }

  /** Settles when a peer is connected. @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EAGAIN` */
  ready(options: PatternWaitOptions = {}): Promise<void> {
    return this.whenReady(() => [this.#publisher], options);
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
   * @throws InvalidArgumentError `EINVAL`, InvalidMessageError for an invalid message; ClosedError `EBADF`, `EAGAIN` while it
   *   drains
   */
  publish(topic: string | Uint8Array, body: BodyFor<T>): number {
    this.assertOpen();
    if (typeof topic !== "string" && !isBytes(topic))
      throw new InvalidArgumentError(`topic is a string or bytes; got ${typeof topic}`);
    const name =
      typeof topic === "string"
        ? Buffer.from(topic)
        : Buffer.from(topic.buffer, topic.byteOffset, topic.length);
    const sequence = this.#rules.publish(name, this.#shape.encode(body), microseconds(), this.#timer.now());
    this.#timer.update();
    return sequence;
  }

  /** The statistics at this moment. */
  stats(): SequencedPublisherStats {
    return { ...this.#rules.stats(), notServing: this.#notServing };
  }

  protected async onClose(linger: number): Promise<void> {
    this.#timer.stop();
    await Promise.all([this.#publisher.close({ linger }), this.#router.close({ linger })]);
  }

  async #answerRequests(): Promise<void> {
    for await (const [from, ...frames] of this.#router) {
      // A request is a sign that subscribers look for a publisher; one that is not answered is asked again.
      if (this.#gate === undefined || this.#gate.vote()) this.#rules.receive(from as Buffer, frames);
    }
  }

  /** Messages and marks. */
  #send(frames: Buffer[]): void {
    const gate = this.#gate;
    if (gate === undefined || gate.isServing() || (engineStats(this.#publisher).peers !== 0 && gate.vote()))
      this.#publisher.trySend(frames);
    else this.#notServing += 1;
  }

  #answer(to: Buffer, frames: Buffer[]): boolean {
    return this.#router.tryDeliver([to, ...frames]) === "sent";
  }
}

/** µs since 1970, by a clock that is never set back while the process lives. */
function microseconds(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1_000);
}
