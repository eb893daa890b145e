/**
 * Numbers each topic's messages, and keeps the newest for replays. Pure.
 *
 *   maxQueue       of one topic: its oldest message is evicted
 *   maxQueueBytes  of all bodies kept: the oldest message of all
 *   maxTopics      of all topics: the one unused the longest, with its messages and sequence. Its next message has a
 *                  higher stream number.
 */

import { Link, LinkedList, RingBuffer } from "../../core/collections/queues.js";
import { InvalidStateError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { costOf } from "../../core/memory.js";
import { ENDPOINT_SOURCE_EVENTS } from "../../kit/endpoint-list.js";
import {
  bytes as byteCount,
  codec,
  integer,
  object,
  publisherGate,
  type Settings,
} from "../../kit/options.js";
import type { PublisherOptions } from "../../sockets/pub-sub.js";
import type { RouterOptions } from "../../sockets/request-reply.js";
import type { SEQUENCED_PUBLISHER } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import {
  EndStatus,
  encodeAnswer,
  encodeEnd,
  encodeMeta,
  parseRequest,
  type ReplayRequest,
} from "./protocol.js";

/** Messages and bytes, about, per answer; the subscriber requests the rest. */
const PAGE_MESSAGES = 256;
const PAGE_BYTES = 1_048_576;
/** It has 32 bits on the wire. A wrapped number would be one of an earlier life of the topic. */
const MAX_STREAM = 0xffff_ffff;

export const OPTIONS = {
  /** Numbered topics; above, the least recently published is forgotten. Default 10,000. */
  maxTopics: integer({ default: 10_000 }),
  /** Messages per topic kept for replays. Default 1,000. */
  maxQueue: integer({ default: 1_000 }),
  /** Body bytes kept for replays. Default 67,108,864. */
  maxQueueBytes: byteCount({ default: 67_108_864 }),
  /**
   * A `BinaryStarGate` makes the publisher half of a pair. Messages are always numbered and kept, but sent, and
   * replays answered, only while it is active. Both halves must publish the same; after a fail-over subscribers join
   * late and can request replays. Default: none.
   */
  gate: publisherGate(),
  codec: codec(),
  /** Options of the PUB, such as security. */
  socketOptions: object<PublisherOptions>(["noDrop", "conflate", "codec"]), // The sockets check theirs.
  replayOptions: object<RouterOptions>(["codec"]),
};

export type PublisherRulesOptions = Pick<
  Settings<typeof OPTIONS>,
  "maxTopics" | "maxQueue" | "maxQueueBytes"
>;

export const EVENTS = {
  /** `sequence` was the last of the evicted topic. A message to it in a listener evicts the next topic. */
  "topic:evicted": event<{ readonly topic: Buffer; readonly sequence: number }>(),
  /** An invalid message to the replay endpoint. */
  "message:invalid": event<{ readonly frames: number }>(),
  ...ENDPOINT_SOURCE_EVENTS,
};

export type SequencedPublisherEvent = EventsOf<typeof EVENTS>;

export interface PublisherOutbox {
  publish(frames: Buffer[]): void;
  answer(to: Buffer, frames: Buffer[]): boolean;
  event(event: SequencedPublisherEvent): void;
}

export type SequencedPublisherStats = StatisticsOf<typeof SEQUENCED_PUBLISHER>;

class Topic {
  readonly key: string;
  readonly name: Buffer;
  readonly stream: number;
  /** The newest messages, with consecutive sequences up to {@link newest}. */
  readonly history: RingBuffer<Link<Kept>> = new RingBuffer<Link<Kept>>(2);
  /** Sequence of the last message; 0: none. */
  newest = 0;
  readonly byUse: Link<Topic> = new Link<Topic>(this);

  constructor(key: string, name: Buffer, stream: number) {
    this.key = key;
    this.name = Buffer.from(name);
    this.stream = stream;
  }

  /** Sequence of the oldest kept message; 0: none. */
  get oldest(): number {
    return this.history.length === 0 ? 0 : this.newest - this.history.length + 1;
  }
}

interface Kept {
  readonly topic: Topic;
  readonly frames: readonly Buffer[];
  readonly bytes: number;
}

export class PublisherRules {
  readonly #options: PublisherRulesOptions;
  readonly #outbox: PublisherOutbox;
  readonly #id: Buffer;
  readonly #hexId: string;
  readonly #topics = new Map<string, Topic>();
  readonly #byUse = new LinkedList<Topic>();
  /** Oldest first. */
  readonly #kept = new LinkedList<Kept>();
  #streams: number;
  #keptBytes = 0;
  readonly #counts = {
    published: 0,
    topicsEvicted: 0,
    replays: 0,
    replayed: 0,
    replaysCut: 0,
    invalid: 0,
  };

  /** @param streams number of the stream before the first */
  constructor(options: PublisherRulesOptions, outbox: PublisherOutbox, id: Buffer, streams = 0) {
    this.#options = options;
    this.#outbox = outbox;
    this.#id = id;
    this.#hexId = id.toString("hex");
    this.#streams = streams;
  }

  /**
   * @param body one or more frames, which must not change
   * @param time µs since 1970
   * @returns the message's sequence in its topic
   * @throws InvalidStateError `EFSM` for a new topic when no stream number is left
   */
  publish(name: Buffer, body: readonly Buffer[], time: number): number {
    const key = name.toString("latin1");
    const topic = this.#topics.get(key) ?? this.#open(key, name);
    this.#byUse.push(topic.byUse);
    const sequence = ++topic.newest;
    const frames = [topic.name, encodeMeta(this.#id, topic.stream, sequence, time), ...body];
    this.#counts.published += 1;
    this.#keep(topic, frames, body);
    this.#outbox.publish(frames);
    // Its listeners may publish.
    if (this.#topics.size > this.#options.maxTopics) this.#evictTopic();
    return sequence;
  }

  /** Without the routing id. */
  receive(from: Buffer, frames: readonly Buffer[]): void {
    const [head, name] = frames;
    const request = frames.length === 2 && head !== undefined ? parseRequest(head) : undefined;
    if (request === undefined) {
      this.#counts.invalid += 1;
      this.#outbox.event({ type: "message:invalid", frames: frames.length });
      return;
    }
    this.#counts.replays += 1;
    this.#replay(from, request, name as Buffer);
  }

  stats(): Omit<SequencedPublisherStats, "notServing"> {
    return {
      ...this.#counts,
      topics: this.#topics.size,
      kept: this.#kept.length,
      keptBytes: this.#keptBytes,
    };
  }

  #open(key: string, name: Buffer): Topic {
    if (this.#streams === MAX_STREAM)
      throw new InvalidStateError(
        "EFSM",
        `This publisher has started ${MAX_STREAM} topics: close it and make another`,
      );
    this.#streams += 1;
    const topic = new Topic(key, name, this.#streams);
    this.#topics.set(key, topic);
    return topic;
  }

  #keep(topic: Topic, frames: readonly Buffer[], body: readonly Buffer[]): void {
    const { maxQueue, maxQueueBytes } = this.#options;
    const bytes = costOf(body);
    const link = new Link<Kept>({ topic, frames, bytes });
    topic.history.push(link);
    this.#kept.push(link);
    this.#keptBytes += bytes;
    if (topic.history.length > maxQueue) this.#forgetOldest(topic);
    // The oldest of all is the oldest of its topic.
    while (this.#keptBytes > maxQueueBytes) this.#forgetOldest((this.#kept.first as Kept).topic);
  }

  #forgetOldest(topic: Topic): void {
    const link = topic.history.shift() as Link<Kept>;
    if (topic.history.length === 0) topic.history.clear();
    link.unlink();
    this.#keptBytes -= link.value.bytes;
  }

  #evictTopic(): void {
    const topic = this.#byUse.shift() as Topic;
    while (topic.history.length > 0) this.#forgetOldest(topic);
    this.#topics.delete(topic.key);
    this.#counts.topicsEvicted += 1;
    this.#outbox.event({ type: "topic:evicted", topic: topic.name, sequence: topic.newest });
  }

  #replay(from: Buffer, request: ReplayRequest, name: Buffer): void {
    const topic = this.#topics.get(name.toString("latin1"));
    const { number } = request;
    let status: EndStatus = EndStatus.DONE;
    if (request.publisher !== this.#hexId || topic === undefined || topic.stream !== request.stream)
      status = EndStatus.GONE;
    else {
      const answer = encodeAnswer(number);
      const { oldest, newest, history } = topic;
      const last = Math.min(request.to, newest);
      let sent = 0;
      let bytes = 0;
      const first = oldest === 0 ? last + 1 : Math.max(request.from, oldest);
      for (let sequence = first; sequence <= last; sequence++) {
        if (sent >= PAGE_MESSAGES || bytes >= PAGE_BYTES) {
          status = EndStatus.MORE;
          break;
        }
        const kept = history.at(sequence - oldest).value;
        if (!this.#answer(from, [answer, ...kept.frames])) return;
        sent += 1;
        bytes += kept.bytes;
      }
      this.#counts.replayed += sent;
    }
    this.#answer(from, [encodeEnd({ number, status })]);
  }

  /** @returns `false`: the subscriber retries from its position */
  #answer(to: Buffer, frames: Buffer[]): boolean {
    const isSent = this.#outbox.answer(to, frames);
    if (!isSent) this.#counts.replaysCut += 1;
    return isSent;
  }
}
