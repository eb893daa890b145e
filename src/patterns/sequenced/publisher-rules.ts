/**
 * What a sequenced publisher does: numbers each topic's messages, keeps the newest
 * of them for replays, and publishes quiet topics' last sequence in marks. Pure.
 *
 * Bounds, and who has to go:
 *   maxQueue       of one topic: its oldest message
 *   maxQueueBytes  of all bodies kept: the oldest message of all
 *   maxTopics     the topic that was published the longest ago, with its messages and its sequence. When it is
 *                 published again its stream number is higher, so that subscribers know that it begins again.
 *
 * A mark follows a topic's last message after one interval, then after 2, 4, 8 and
 * each 16: so the loss of the last message before a silence is found, too.
 */

import { Link, LinkedList } from "../../core/collections/linked-list.js";
import { Deadlines, type Due } from "../../core/deadlines.js";
import { costOf } from "../../core/frame-cost.js";
import { encodeMeta, Kind } from "../kit/sequence-meta.js";
import { EndStatus, encodeAnswer, encodeEnd, parseRequest, type ReplayRequest } from "./protocol.js";

/** Messages, and about how many bytes, that one request is answered with; the asker asks for the rest. */
const PAGE_MESSAGES = 256;
const PAGE_BYTES = 1_048_576;
/** Intervals between two marks of a topic that stays quiet, at most. */
const MAX_QUIET = 16;

/** What a publisher's rules are bounded by. */
export interface PublisherRulesOptions {
  readonly maxTopics: number;
  readonly maxQueue: number;
  readonly maxQueueBytes: number;
  /** ms of silence after which a topic is marked; 0: no marks. */
  readonly markInterval: number;
}

/** What happens in a publisher. */
export type SequencedPublisherEvent =
  /** Another topic took its place: `sequence` was its last. */
  | { readonly type: "topic:evicted"; readonly topic: Buffer; readonly sequence: number }
  /** A subscriber asked for messages; `sent` of them are on their way with this answer. */
  | {
      readonly type: "replay:answered";
      readonly topic: Buffer;
      readonly from: number;
      readonly to: number;
      readonly sent: number;
    }
  /** What came to the replay endpoint is no request. It was dropped. */
  | { readonly type: "message:invalid"; readonly frames: number };

/** What a publisher's rules do to the world. */
export interface PublisherOutbox {
  publish(frames: Buffer[]): void;
  /** @returns whether there was room for it */
  answer(to: Buffer, frames: Buffer[]): boolean;
  event(event: SequencedPublisherEvent): void;
}

/** A publisher's statistics. */
export interface SequencedPublisherStats {
  readonly published: number;
  /** Messages and marks that were not sent, since the publisher, one of a pair, did not serve. */
  readonly notServing: number;
  readonly marks: number;
  readonly topics: number;
  /** Messages kept for replays, and the bytes of their bodies. */
  readonly kept: number;
  readonly keptBytes: number;
  readonly topicsEvicted: number;
  /** Requests answered, messages sent again, answers cut short since the asker's queue was full. */
  readonly replays: number;
  readonly replayed: number;
  readonly replaysCut: number;
  readonly invalid: number;
}

class Topic implements Due {
  readonly key: string;
  readonly name: Buffer;
  readonly stream: number;
  readonly history: History<Kept> = new History<Kept>();
  readonly byUse: Link<Topic> = new Link<Topic>(this);
  readonly due: Link<Topic> = new Link<Topic>(this);
  lastPublished = 0;
  /** ms of the silence that leads to the next mark. */
  quiet = 0;
  deadline = 0;

  constructor(key: string, name: Buffer, stream: number) {
    this.key = key;
    this.name = Buffer.from(name);
    this.stream = stream;
  }
}

/** A message for replays. */
class Kept {
  readonly topic: Topic;
  readonly frames: readonly Buffer[];
  readonly bytes: number;
  readonly link: Link<Kept> = new Link<Kept>(this);

  constructor(topic: Topic, frames: readonly Buffer[], bytes: number) {
    this.topic = topic;
    this.frames = frames;
    this.bytes = bytes;
  }
}

export class PublisherRules {
  readonly #options: PublisherRulesOptions;
  readonly #outbox: PublisherOutbox;
  readonly #id: Buffer;
  readonly #idKey: string;
  readonly #topics = new Map<string, Topic>();
  /** The least recently published first. */
  readonly #byUse = new LinkedList<Topic>();
  /** All messages kept, the oldest first. */
  readonly #kept = new LinkedList<Kept>();
  readonly #marks = new Deadlines<Topic>();
  #streams = 0;
  #keptBytes = 0;
  #published = 0;
  #marked = 0;
  #topicsEvicted = 0;
  #replays = 0;
  #replayed = 0;
  #replaysCut = 0;
  #invalid = 0;

  /** @param id 16 bytes that nobody has had */
  constructor(options: PublisherRulesOptions, outbox: PublisherOutbox, id: Buffer) {
    this.#options = options;
    this.#outbox = outbox;
    this.#id = id;
    this.#idKey = id.toString("latin1");
  }

  /**
   * @param body one frame or more; kept for replays, so not to be changed
   * @param time µs since 1970
   * @returns the message's sequence in its topic
   */
  publish(name: Buffer, body: readonly Buffer[], time: number, now: number): number {
    const key = name.toString("latin1");
    const topic = this.#topics.get(key) ?? this.#open(key, name, now);
    this.#byUse.push(topic.byUse);
    topic.lastPublished = now;
    if (topic.quiet > this.#options.markInterval) this.#arm(topic, now);
    const sequence = topic.history.newest + 1;
    const frames = [topic.name, encodeMeta(Kind.MESSAGE, this.#id, topic.stream, sequence, time), ...body];
    this.#published += 1;
    this.#keep(topic, frames, body);
    this.#outbox.publish(frames);
    return sequence;
  }

  /** Something came to the replay endpoint, without the routing id. */
  receive(from: Buffer, frames: readonly Buffer[]): void {
    const [head, name] = frames;
    const request = frames.length === 2 && head !== undefined ? parseRequest(head) : undefined;
    if (request === undefined) {
      this.#invalid += 1;
      this.#outbox.event({ type: "message:invalid", frames: frames.length });
      return;
    }
    this.#replays += 1;
    this.#replay(from, request, name as Buffer);
  }

  /** @param time µs since 1970 */
  tick(now: number, time: number): void {
    for (const topic of this.#marks.take(now)) {
      const { markInterval } = this.#options;
      const silent = now - topic.lastPublished;
      if (silent < markInterval) {
        this.#marks.set(topic.due, now, markInterval - silent);
        continue;
      }
      const { newest } = topic.history;
      this.#marked += 1;
      this.#outbox.publish([topic.name, encodeMeta(Kind.MARK, this.#id, topic.stream, newest, time)]);
      topic.quiet = Math.min(2 * topic.quiet, MAX_QUIET * markInterval);
      this.#marks.set(topic.due, now, topic.quiet);
    }
  }

  nextWakeUp(): number | undefined {
    return this.#marks.next();
  }

  stats(): Omit<SequencedPublisherStats, "notServing"> {
    return {
      published: this.#published,
      marks: this.#marked,
      topics: this.#topics.size,
      kept: this.#kept.length,
      keptBytes: this.#keptBytes,
      topicsEvicted: this.#topicsEvicted,
      replays: this.#replays,
      replayed: this.#replayed,
      replaysCut: this.#replaysCut,
      invalid: this.#invalid,
    };
  }

  #open(key: string, name: Buffer, now: number): Topic {
    if (this.#topics.size >= this.#options.maxTopics) this.#evictTopic();
    this.#streams += 1;
    const topic = new Topic(key, name, this.#streams);
    this.#topics.set(key, topic);
    this.#arm(topic, now);
    return topic;
  }

  #arm(topic: Topic, now: number): void {
    const { markInterval } = this.#options;
    if (markInterval === 0) return;
    topic.quiet = markInterval;
    this.#marks.set(topic.due, now, markInterval);
  }

  #keep(topic: Topic, frames: readonly Buffer[], body: readonly Buffer[]): void {
    const { maxQueue, maxQueueBytes } = this.#options;
    const bytes = costOf(body);
    const kept = new Kept(topic, frames, bytes);
    topic.history.push(kept);
    this.#kept.push(kept.link);
    this.#keptBytes += bytes;
    if (topic.history.length > maxQueue) this.#forgetOldest(topic);
    // The oldest of all is the oldest of its topic. A message that is too large by itself goes with all before it.
    while (this.#keptBytes > maxQueueBytes) this.#forgetOldest((this.#kept.first as Kept).topic);
  }

  #forgetOldest(topic: Topic): void {
    const kept = topic.history.shift();
    if (kept === undefined) return;
    kept.link.unlink();
    this.#keptBytes -= kept.bytes;
  }

  #evictTopic(): void {
    const topic = this.#byUse.shift() as Topic;
    while (topic.history.length > 0) this.#forgetOldest(topic);
    topic.due.unlink();
    this.#topics.delete(topic.key);
    this.#topicsEvicted += 1;
    this.#outbox.event({ type: "topic:evicted", topic: topic.name, sequence: topic.history.newest });
  }

  #replay(from: Buffer, request: ReplayRequest, name: Buffer): void {
    const topic = this.#topics.get(name.toString("latin1"));
    const history = topic?.history;
    const stream = topic?.stream ?? 0;
    let status: EndStatus = EndStatus.DONE;
    let sent = 0;
    if (request.publisher !== this.#idKey) status = EndStatus.OTHER_PUBLISHER;
    else if (history === undefined || stream !== request.stream) status = EndStatus.GONE;
    else {
      const answer = encodeAnswer(request.number);
      const last = Math.min(request.to, history.newest);
      let bytes = 0;
      for (let sequence = Math.max(request.from, history.oldest); sequence <= last; sequence++) {
        const kept = history.at(sequence);
        if (kept === undefined) break;
        if (sent >= PAGE_MESSAGES || bytes >= PAGE_BYTES) {
          status = EndStatus.MORE;
          break;
        }
        if (!this.#outbox.answer(from, [answer, ...kept.frames])) {
          // Nothing more, no end either: the asker asks again from where it is.
          this.#replaysCut += 1;
          return;
        }
        sent += 1;
        bytes += kept.bytes;
      }
    }
    this.#replayed += sent;
    const { number } = request;
    const oldest = history?.oldest ?? 0;
    const newest = history?.newest ?? 0;
    const end = encodeEnd({ number, publisher: this.#idKey, stream, oldest, newest, status });
    if (!this.#outbox.answer(from, [end])) this.#replaysCut += 1;
    this.#outbox.event({ type: "replay:answered", topic: name, from: request.from, to: request.to, sent });
  }
}

/** The newest messages of one topic, in an unbroken row of sequence numbers. Pure. */

/** Places before the first that are cleared together. */
const SLACK = 64;

export class History<T> {
  #items: T[] = [];
  #start = 0;
  /** The sequence of the next message. */
  #next = 1;

  get length(): number {
    return this.#items.length - this.#start;
  }

  /** The newest sequence; 0: none was pushed. */
  get newest(): number {
    return this.#next - 1;
  }

  /** The oldest sequence that is kept; 0: none is. */
  get oldest(): number {
    return this.length === 0 ? 0 : this.#next - this.length;
  }

  /** @returns the sequence of the message */
  push(item: T): number {
    this.#items.push(item);
    this.#next += 1;
    return this.#next - 1;
  }

  /** Forgets the oldest. */
  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#start];
    (this.#items as (T | undefined)[])[this.#start] = undefined;
    this.#start += 1;
    if (this.#start > SLACK && 2 * this.#start > this.#items.length) {
      this.#items = this.#items.slice(this.#start);
      this.#start = 0;
    }
    return item;
  }

  at(sequence: number): T | undefined {
    const index = sequence - this.oldest;
    return this.length === 0 || index < 0 ? undefined : this.#items[this.#start + index];
  }
}
