/** A PUB, and a ROUTER for replays, around publisher-rules.ts. */

import crypto from "node:crypto";
import { isBytes } from "../../core/bytes.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { type BodyFor, BodyShape } from "../../kit/body.js";
import { Driver, type PatternWaitOptions } from "../../kit/driver.js";
import { relaySourceEvents } from "../../kit/endpoint-list.js";
import { CLOSE_LINGER, checkOptions, type GivenWithCodec, type PublisherGate } from "../../kit/options.js";
import { OpenedSockets } from "../../kit/sockets.js";
import type { EndpointSource } from "../../sockets/endpoint-source.js";
import { forwards } from "../../sockets/internal.js";
import type { Raw } from "../../sockets/message.js";
import { Publisher, type WaitForSubscribersOptions } from "../../sockets/pub-sub.js";
import { Router } from "../../sockets/request-reply.js";
import { CORE } from "../../sockets/socket.js";
import { ID_BYTES, META_BYTES } from "./protocol.js";
import {
  EVENTS,
  OPTIONS,
  PublisherRules,
  type SequencedPublisherEvent,
  type SequencedPublisherStats,
} from "./publisher-rules.js";

/** As large as that of a message. */
const META = Buffer.alloc(META_BYTES);

export type SequencedPublisherOptions<T = Raw> = GivenWithCodec<typeof OPTIONS, T>;

/**
 * Publishes messages numbered per topic, and replays the newest on request.
 *
 * Format: `topic | meta | body…` (docs/patterns/sequenced.md); a plain SUB can read it.
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
  readonly #gate: PublisherGate | undefined;
  #notServing = 0;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: SequencedPublisherOptions<T> = {}) {
    super("SequencedPublisher", EVENTS);
    const settings = checkOptions("SequencedPublisher", OPTIONS, options);
    const { gate, socketOptions, replayOptions } = settings;
    this.#gate = gate;
    this.#shape = new BodyShape(options.codec);
    const sockets = new OpenedSockets();
    this.#publisher = sockets.open(() => new Publisher(socketOptions));
    relaySourceEvents(this.#publisher, (event) => this.events.emit(event));
    const replays = {
      linger: CLOSE_LINGER,
      ...replayOptions,
      mandatory: true,
      receiveTimeout: -1,
      routingId: this.id,
    };
    this.#router = sockets.open(() => new Router(replays));
    forwards(this.#router);
    this.#rules = new PublisherRules(
      settings,
      {
        publish: (frames) => this.#send(frames),
        answer: (to, frames) => this.#router.tryDeliver([to, ...frames]) === "sent",
        event: (event) => this.events.emit(event),
      },
      this.#id,
    );
    void this.#answerRequests();
  }

  /** 32 hexadecimal digits, new with each publisher. */
  get id(): string {
    return this.#id.toString("hex");
  }

  /**
   * Binds the endpoint for subscribers.
   * @returns the endpoint, wildcards filled in
   */
  async bind(endpoint: string): Promise<string> {
    this.assertOpen();
    return this.#publisher.bind(endpoint);
  }

  /**
   * Connects to a proxy or cache, or a source of them.
   * @throws InvalidArgumentError `EINVAL` for a bad endpoint
   */
  connect(endpoint: string | EndpointSource): void {
    this.assertOpen();
    this.#publisher.connect(endpoint);
  }

  /**
   * Binds the endpoint for replay requests.
   * @returns the endpoint, wildcards filled in
   */
  async bindReplay(endpoint: string): Promise<string> {
    this.assertOpen();
    return this.#router.bind(endpoint);
  }

  /**
   * Settles when a peer is connected.
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EAGAIN`
   */
  ready(options: PatternWaitOptions = {}): Promise<void> {
    return this.whenConnected(this.#publisher, options);
  }

  /** Settles when subscriptions have arrived, like `waitForSubscribers` of a Publisher. */
  async waitForSubscribers(options?: WaitForSubscribersOptions): Promise<void> {
    await this.#publisher.waitForSubscribers(options);
  }

  /**
   * Publishes a message. A subscriber with a full queue misses it and detects the loss. Bytes are kept for replays
   * without a copy, so they must not change.
   * @param body one or more frames; with a codec the value
   * @returns the message's sequence in its topic, from 1
   * @throws InvalidArgumentError `EINVAL`, InvalidMessageError for an invalid message; ClosedError `EBADF`, `EAGAIN`
   *   while draining; InvalidStateError `EFSM` for a new topic once 4,294,967,295 were started
   */
  publish(topic: string | Uint8Array, body: BodyFor<T>): number {
    if (typeof topic !== "string" && !isBytes(topic))
      throw new InvalidArgumentError(`topic must be a string or bytes; got ${typeof topic}`);
    const name =
      typeof topic === "string"
        ? Buffer.from(topic)
        : Buffer.from(topic.buffer, topic.byteOffset, topic.length);
    const frames = this.#shape.encode(body);
    this.assertOpen();
    this.#publisher[CORE].encode([name, META, ...frames]);
    return this.#rules.publish(name, frames, microseconds());
  }

  stats(): SequencedPublisherStats {
    return { ...this.#rules.stats(), notServing: this.#notServing };
  }

  protected async onClose(linger: number): Promise<void> {
    await Promise.all([this.#publisher.close({ linger }), this.#router.close({ linger })]);
  }

  async #answerRequests(): Promise<void> {
    for await (const [from, ...frames] of this.#router) {
      // Unanswered requests are repeated.
      if (this.#gate === undefined || this.#gate.vote()) this.#rules.receive(from as Buffer, frames);
    }
  }

  #send(frames: Buffer[]): void {
    const gate = this.#gate;
    if (
      gate === undefined ||
      gate.isServing() ||
      (this.#publisher[CORE].engine.stats().peers !== 0 && gate.vote())
    )
      this.#publisher.trySend(frames);
    else this.#notServing += 1;
  }
}

/** µs since 1970, by a monotonic clock. */
function microseconds(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1_000);
}
