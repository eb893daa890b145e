/** A SUB, and a ROUTER for replays, around subscriber-rules.ts. */

import { invalidArgument } from "../../core/arguments.js";
import { TimeoutError } from "../../core/errors.js";
import { DriverTimer } from "../../core/timers.js";
import type { WaitOptions } from "../../core/waiter.js";
import { type BodyOf, BodyShape } from "../../kit/body.js";
import { CALL_OPTIONS, type CallOptions, PendingCalls } from "../../kit/calls.js";
import { Driver, type PatternWaitOptions } from "../../kit/driver.js";
import { relaySourceEvents } from "../../kit/endpoint-list.js";
import {
  checkEndpoint,
  checkOptions,
  codec,
  type GivenWithCodec,
  integer,
  object,
  type Settings,
} from "../../kit/options.js";
import { untilClosed } from "../../kit/sockets.js";
import { type EndpointSource, isEndpointSource } from "../../sockets/endpoint-source.js";
import { deliverNow, type Received, receiveAs } from "../../sockets/internal.js";
import type { Raw } from "../../sockets/message.js";
import { Subscriber, type SubscriberOptions } from "../../sockets/pub-sub.js";
import type { ReceiveManyOptions } from "../../sockets/readable.js";
import { Router, type RouterOptions } from "../../sockets/request-reply.js";
import type { SEQUENCED_SUBSCRIBER } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import {
  type ReplayCall,
  ReplayRules,
  type SequencedPlace,
  type SequencedRange,
  type SequencedReplayOutcome,
  type SequencedSubscriberEvent,
  STREAM_EVENTS,
  StreamTable,
} from "./subscriber-rules.js";

const OPTIONS = {
  /** Followed pairs of publisher and topic; above, the least recently heard is forgotten. Default 100,000. */
  maxStreams: integer({ default: 100_000 }),
  /** Messages per replay; of a longer range the newest. Default 10,000. */
  maxReplay: integer({ default: 10_000 }),
  /** Concurrent replays. Default 1,000. */
  maxPending: integer({ default: 1_000 }),
  /** ms of a replay. Default 5,000. */
  timeout: integer({ default: 5_000 }),
  /** ms of silence before a publisher is asked again, doubled each time. Default 500. */
  attemptTimeout: integer({ default: 500 }),
  codec: codec(),
  /** Options of the SUB, such as security. */
  socketOptions: object<SubscriberOptions>(["conflate", "codec"]), // The sockets check theirs.
  /** Options of the ROUTER for replays. */
  replayOptions: object<RouterOptions>(["codec"]),
};

export type SequencedSubscriberOptions<T = Raw> = GivenWithCodec<typeof OPTIONS, T>;

export interface SequencedMessage<T = Raw> extends SequencedPlace {
  /** Frames, or with a codec the value. */
  readonly body: BodyOf<T>;
}

/** Result of a replay. */
export interface SequencedReplay<T = Raw> {
  /** In order; the publisher has lost missing ones. */
  readonly messages: readonly SequencedMessage<T>[];
  /** Messages of the range that did not come. */
  readonly missing: number;
  /** `done`, or why messages are missing. */
  readonly outcome: SequencedReplayOutcome;
}

export type SequencedSubscriberStats = StatisticsOf<typeof SEQUENCED_SUBSCRIBER>;

/**
 * Receives sequenced publishers' messages and detects losses per publisher and topic. Two publishers of one topic, or
 * a restarted one, are separate streams. A gap is reported before `receive` returns the message after it.
 * {@link SequencedPublisher} has an example.
 */
export class SequencedSubscriber<T = Raw> extends Driver<SequencedSubscriberEvent, SequencedSubscriberStats> {
  readonly #calls: PendingCalls;
  readonly #settings: Settings<typeof OPTIONS>;
  readonly #shape: BodyShape<T>;
  readonly #subscriber: Subscriber;
  /** Opened by the first `connectReplay`. */
  #router: Router | undefined;
  readonly #table: StreamTable;
  readonly #replays: ReplayRules;
  readonly #timer = new DriverTimer(Number.POSITIVE_INFINITY);
  readonly #received: Received<SequencedMessage<T>>;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: SequencedSubscriberOptions<T> = {}) {
    super("SequencedSubscriber", STREAM_EVENTS);
    this.#settings = checkOptions("SequencedSubscriber", OPTIONS, options);
    const { socketOptions } = this.#settings;
    this.#calls = new PendingCalls({
      maxPending: this.#settings.maxPending,
      maxPendingBytes: Number.POSITIVE_INFINITY, // A request is small.
    });
    this.#shape = new BodyShape(options.codec);
    this.#subscriber = new Subscriber({ linger: 0, ...socketOptions });
    relaySourceEvents(this.#subscriber, (event) => this.events.emit(event));
    this.#table = new StreamTable(this.#settings.maxStreams, (event) => this.events.emit(event));
    this.#replays = new ReplayRules(
      this.#settings.attemptTimeout,
      (publisher, frames) =>
        this.#router !== undefined && deliverNow(this.#router, [publisher, ...frames]) === "sent",
    );
    this.#received = receiveAs(this.#subscriber, (frames) => {
      const place = this.#table.receive(frames);
      return place && this.#decode(place, frames.slice(2));
    });
    this.#timer.start(this.#replays);
  }

  /**
   * Settles when a publisher is connected.
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EAGAIN`
   */
  ready(options: PatternWaitOptions = {}): Promise<void> {
    return this.whenConnected(this.#subscriber, options);
  }

  /**
   * Connects to a publisher, directly or through a proxy.
   * @param endpoint of one publisher, or a source
   * @param replay endpoint for replays, if any; a source if `endpoint` is one
   * @throws InvalidArgumentError `EINVAL` for a bad endpoint
   */
  connect(endpoint: string | EndpointSource, replay?: string | EndpointSource): void {
    this.assertOpen();
    if (replay !== undefined && !isEndpointSource(replay)) checkEndpoint("replay", replay);
    if (replay !== undefined) this.#router ??= this.#openRouter();
    this.#subscriber.connect(endpoint);
    if (replay !== undefined) this.connectReplay(replay);
  }

  /**
   * Connects to a publisher's replay endpoint.
   * @param endpoint or a source; events `source:changed`, `source:failed` and `endpoint:refused`
   * @throws InvalidArgumentError `EINVAL` for a bad endpoint
   */
  connectReplay(endpoint: string | EndpointSource): void {
    this.assertOpen();
    this.#router ??= this.#openRouter();
    this.#router.connect(endpoint);
  }

  /** Subscribes to topic prefixes; without arguments to all messages. */
  subscribe(...prefixes: (Uint8Array | string)[]): void {
    this.#subscriber.subscribe(...prefixes);
  }

  /** A later subscription to the same topic shows a gap. */
  unsubscribe(...prefixes: (Uint8Array | string)[]): void {
    this.#subscriber.unsubscribe(...prefixes);
  }

  /**
   * Waits for the next message, as a Subscriber does.
   * @throws TimeoutError `EAGAIN`; AbortedError `ABORT_ERR`; ClosedError `EAGAIN` when the subscriber closes, `EBADF`
   * once closed; InvalidStateError `ERR_TOO_MANY_PENDING`
   */
  receive(options?: WaitOptions): Promise<SequencedMessage<T>> {
    return this.#received.receive(options);
  }

  /** Returns 1 to `max` messages (default 1,000), like {@link receive}. */
  receiveMany(options?: ReceiveManyOptions): Promise<SequencedMessage<T>[]> {
    return this.#received.receiveMany(options);
  }

  /** Yields messages until the subscriber is closed. */
  [Symbol.asyncIterator](): AsyncGenerator<SequencedMessage<T>, undefined> {
    return untilClosed(() => this.receive());
  }

  /**
   * Requests a range again, such as that of `gap:detected` or `stream:joined-late`. Replayed messages are returned
   * here only, and are not counted.
   * @returns those of the range's newest `maxReplay` messages that the publisher still has
   * @throws TimeoutError `ETIMEDOUT`, also when the publisher is gone; AbortedError `ABORT_ERR`; ClosedError `EAGAIN` when the subscriber closes,
   *   `EBADF` once closed; InvalidArgumentError `EINVAL` for an invalid range; InvalidStateError
   *   `ERR_TOO_MANY_PENDING`
   */
  replay(range: SequencedRange, options: CallOptions = {}): Promise<SequencedReplay<T>> {
    try {
      this.assertOpen();
      const given = checkOptions("SequencedSubscriber.replay", CALL_OPTIONS, options);
      const { timeout = this.#settings.timeout, signal } = given;
      if (!isRange(range))
        throw invalidArgument(
          "A replay takes publisher, topic, stream, from and to, as an event gap:detected has them",
          range,
        );
      const newest = { ...range, from: Math.max(range.from, range.to - this.#settings.maxReplay + 1) };
      let replay: ReplayCall | undefined;
      const onGivenUp = (): void => {
        if (replay !== undefined) this.#replays.cancel(replay);
      };
      const call = this.#calls.add<SequencedReplay<T>>(0, { timeout, signal, onGivenUp }, () => {
        const why = replay?.reached
          ? "did not send the messages again in time"
          : "is not connected for replays";
        return new TimeoutError("ETIMEDOUT", `Publisher ${range.publisher} ${why}`);
      });
      replay = this.#replays.request(newest, this.#timer.now(), (outcome, replayed) => {
        const messages = replayed.flatMap(({ body, ...place }) => this.#decode(place, body) ?? []);
        call.resolve({ messages, missing: range.to - range.from + 1 - messages.length, outcome });
      });
      // A listener may have aborted it within the send.
      if (signal?.aborted === true) onGivenUp();
      this.#timer.update();
      return call.promise;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  stats(): SequencedSubscriberStats {
    return { ...this.#table.stats(), replays: this.#replays.stats() };
  }

  protected override onDrain(): Promise<void> {
    return this.#calls.idle();
  }

  protected async onClose(): Promise<void> {
    this.#timer.stop();
    this.#calls.close();
    await Promise.all([this.#subscriber.close({ linger: 0 }), this.#router?.close({ linger: 0 })]);
  }

  #openRouter(): Router {
    const router = new Router({
      linger: 0,
      ...this.#settings.replayOptions,
      immediate: true, // A publisher that comes back has another routing id.
      mandatory: true,
      receiveTimeout: -1,
    });
    relaySourceEvents(router, (event) => this.events.emit(event));
    router.events.on("peer:join", () => this.#timer.run((now) => this.#replays.joined(now)));
    void this.#hear(router);
    return router;
  }

  async #hear(router: Router): Promise<void> {
    for await (const [publisher, ...frames] of router) {
      this.#replays.receive(String(publisher), frames, this.#timer.now());
      this.#timer.update();
    }
  }

  #decode(place: SequencedPlace, body: Buffer[]): SequencedMessage<T> | undefined {
    try {
      return { ...place, body: this.#shape.decode(body) };
    } catch {
      this.#table.invalid("codec", body.length + 2);
      return undefined;
    }
  }
}

function isRange(range: SequencedRange): boolean {
  return (
    typeof range === "object" &&
    range !== null &&
    /^[0-9a-f]{32}$/.test(range.publisher) &&
    Buffer.isBuffer(range.topic) &&
    [range.stream, range.from, range.to].every((value) => Number.isSafeInteger(value) && value >= 1) &&
    range.from <= range.to &&
    range.stream <= 0xffff_ffff
  );
}
