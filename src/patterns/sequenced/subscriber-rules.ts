/**
 * Requests replays from publishers, a page at a time. Pure.
 *
 *   request ──ask──> asked ──END more──> asked for the next page
 *                      │ ├──END done, or the stream is gone──> settled
 *                      │ └──silent for `attemptTimeout`──> asked again from where it is, with the same number
 *                      └──cancelled, as by its timeout──> forgotten
 *
 * A request whose publisher is not connected is asked again, too, and when a peer joins. Answers may take longer than
 * `attemptTimeout`: those to a page's first request count as those to a repetition, which would be as slow.
 */

import { Link, LinkedList } from "../../core/collections/queues.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { costOf } from "../../core/memory.js";
import { Deadlines, type Due } from "../../core/timers.js";
import { ENDPOINT_SOURCE_EVENTS } from "../../kit/endpoint-list.js";
import type { SEQUENCED_SUBSCRIBER } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import { EndStatus, encodeRequest, type Meta, parseAnswer, parseEnd, parseMeta } from "./protocol.js";

export interface ReplayedFrames extends SequencedPlace {
  readonly body: Buffer[];
}

export type SequencedReplayOutcome =
  /** All that the publisher still has. */
  | "done"
  /** The publisher has forgotten the topic. */
  | "gone"
  /** Replays in progress have 256 MiB: what follows can be asked for again. */
  | "full";

/** Bytes of replays in progress. */
const MAX_BYTES = 268_435_456;

/** @returns whether the publisher is connected and has room */
export type ReplaySend = (publisher: string, frames: Buffer[]) => boolean;

export type SequencedReplayStats = StatisticsOf<typeof SEQUENCED_SUBSCRIBER>["replays"];

type Settled = (outcome: SequencedReplayOutcome, messages: readonly ReplayedFrames[]) => void;

export class ReplayCall implements Due {
  readonly range: SequencedRange;
  readonly settled: Settled;
  readonly link: Link<ReplayCall> = new Link<ReplayCall>(this);
  readonly messages: ReplayedFrames[] = [];
  bytes = 0;
  /** Whether the publisher was connected. */
  reached = false;
  next: number;
  /** First sequence of the last request. */
  asked = 0;
  /** ms of silence before the page is requested again; doubled, so that a slow link is not filled with repetitions. */
  patience: number;
  /** Of the page. Answers to earlier pages are late. */
  number = 0;
  deadline = 0;

  constructor(range: SequencedRange, patience: number, settled: Settled) {
    this.range = range;
    this.patience = patience;
    this.settled = settled;
    this.next = range.from;
  }
}

export class ReplayRules {
  readonly #attemptTimeout: number;
  readonly #send: ReplaySend;
  readonly #calls = new Map<number, ReplayCall>();
  readonly #deadlines = new Deadlines<ReplayCall>();
  #numbers = 0;
  #bytes = 0;
  readonly #counts = { requests: 0, replayed: 0, retries: 0, late: 0, invalid: 0 };

  /** @param attemptTimeout ms of silence before a page is requested again, at first */
  constructor(attemptTimeout: number, send: ReplaySend) {
    this.#attemptTimeout = attemptTimeout;
    this.#send = send;
  }

  request(range: SequencedRange, now: number, settled: Settled): ReplayCall {
    const call = new ReplayCall(range, this.#attemptTimeout, settled);
    this.#counts.requests += 1;
    this.#askForPage(call, now);
    return call;
  }

  cancel(call: ReplayCall): void {
    call.link.unlink();
    this.#calls.delete(call.number);
    this.#bytes -= call.bytes;
    call.bytes = 0;
  }

  /** A peer is connected. */
  joined(now: number): void {
    for (const call of [...this.#calls.values()]) if (!call.reached) this.#ask(call, now);
  }

  /** @param publisher 32 hexadecimal digits */
  receive(publisher: string, frames: readonly Buffer[], now: number): void {
    const head = frames[0] as Buffer;
    const end = frames.length === 1 ? parseEnd(head) : undefined;
    const number = end?.number ?? parseAnswer(head);
    if (number === undefined) {
      this.#counts.invalid += 1;
      return;
    }
    const call = this.#calls.get(number);
    if (call?.range.publisher !== publisher) this.#counts.late += 1;
    else if (end === undefined) this.#message(call, frames, now);
    else if (end.status === EndStatus.MORE && call.next <= call.range.to) {
      // Without a message the two would ask and answer without a pause.
      if (call.next > call.asked) this.#askForPage(call, now);
    } else this.#settle(call, end.status === EndStatus.GONE ? "gone" : "done");
  }

  tick(now: number): void {
    for (const call of this.#deadlines.take(now)) {
      this.#counts.retries += 1;
      if (call.reached && call.next === call.asked) call.patience *= 2;
      this.#ask(call, now);
    }
  }

  nextWakeUp(): number | undefined {
    return this.#deadlines.next();
  }

  stats(): SequencedReplayStats {
    return { ...this.#counts, pending: this.#calls.size };
  }

  #message(call: ReplayCall, frames: readonly Buffer[], now: number): void {
    const { publisher, topic, stream, to } = call.range;
    const [, name, second, ...body] = frames;
    const meta = second === undefined ? undefined : parseMeta(second);
    const fits =
      meta !== undefined &&
      hex(meta.publisher) === publisher &&
      meta.stream === stream &&
      name?.equals(topic) === true &&
      body.length > 0 &&
      meta.sequence >= call.next &&
      meta.sequence <= to;
    if (!fits) {
      this.#counts.invalid += 1;
      return;
    }
    this.#counts.replayed += 1;
    const { sequence, time } = meta;
    call.messages.push({ publisher, topic, stream, sequence, time: time / 1_000, body });
    call.next = sequence + 1;
    const cost = costOf(body);
    call.bytes += cost;
    this.#bytes += cost;
    if (this.#bytes > MAX_BYTES) this.#settle(call, "full");
    else this.#deadlines.set(call.link, now, call.patience);
  }

  #settle(call: ReplayCall, outcome: SequencedReplayOutcome): void {
    this.cancel(call);
    call.settled(outcome, call.messages);
  }

  #askForPage(call: ReplayCall, now: number): void {
    this.#calls.delete(call.number);
    this.#numbers = (this.#numbers + 1) >>> 0;
    call.number = this.#numbers;
    this.#calls.set(call.number, call);
    this.#ask(call, now);
  }

  #ask(call: ReplayCall, now: number): void {
    call.asked = call.next;
    this.#deadlines.set(call.link, now, call.patience);
    const { publisher, stream, topic, to } = call.range;
    const request = encodeRequest({ publisher, stream, from: call.next, to, number: call.number });
    call.reached = this.#send(publisher, [request, topic]);
  }
}

function hex(publisher: string): string {
  return Buffer.from(publisher, "latin1").toString("hex");
}

/**
 * Streams that a subscriber follows: one per publisher and topic. Pure.
 *
 *   unknown --message n--> following --message last+1--> following
 *              n > 1: late-join        --message > last+1--> gap, following
 *                                      --message <= last--> repeat: dropped
 *                                      --a higher stream--> stream:new, following
 */

export interface SequencedStreamName {
  /** 32 hexadecimal digits. */
  readonly publisher: string;
  readonly topic: Buffer;
  /** The topic's life at this publisher, from 1. */
  readonly stream: number;
}

/** Both ends included. */
export interface SequencedRange extends SequencedStreamName {
  readonly from: number;
  readonly to: number;
}

export const STREAM_EVENTS = {
  /** The first message heard is not the stream's first. */
  "stream:joined-late": event<{ readonly missed: number } & SequencedRange>(),
  "gap:detected": event<{ readonly lost: number } & SequencedRange>(),
  /** The publisher forgot the topic. Losses in between are unknown. */
  "stream:restarted": event<SequencedStreamName>(),
  "message:repeated": event<{ readonly sequence: number } & SequencedStreamName>(),
  /** The least recently heard stream was evicted. */
  "stream:forgotten": event<{ readonly sequence: number } & SequencedStreamName>(),
  /** An invalid message was dropped. */
  "message:invalid": event<{ readonly reason: SequencedInvalidReason; readonly frames: number }>(),
  ...ENDPOINT_SOURCE_EVENTS,
};

export type SequencedSubscriberEvent = EventsOf<typeof STREAM_EVENTS>;

export type SequencedInvalidReason =
  /** Too few frames. */
  | "frames"
  /** The second frame is not a meta frame. */
  | "meta"
  /** The codec refused the body. The sequence counts as received. */
  | "codec";

export type SequencedStreamStats = Omit<StatisticsOf<typeof SEQUENCED_SUBSCRIBER>, "replays">;

export interface SequencedPlace extends SequencedStreamName {
  readonly sequence: number;
  /** ms since 1970 by the publisher's clock. */
  readonly time: number;
}

interface Stream {
  readonly key: string;
  readonly publisher: string;
  readonly topic: Buffer;
  stream: number;
  last: number;
}

/** Bytes of all followed topics, each of which is kept twice: at least so many, and for each of `maxStreams`. */
const LEAST_TOPIC_BYTES = 33_554_432;
const TOPIC_BYTES = 256;

export class StreamTable {
  readonly #max: number;
  readonly #event: (event: SequencedSubscriberEvent) => void;
  readonly #streams = new Map<string, Link<Stream>>();
  readonly #order = new LinkedList<Stream>();
  #topicBytes = 0;
  readonly #counts = {
    received: 0,
    lost: 0,
    gaps: 0,
    missed: 0,
    repeats: 0,
    forgotten: 0,
    invalid: 0,
  };

  constructor(maxStreams: number, event: (event: SequencedSubscriberEvent) => void) {
    this.#max = maxStreams;
    this.#event = event;
  }

  receive(frames: readonly Buffer[]): SequencedPlace | undefined {
    const [topic, second] = frames;
    if (topic === undefined || second === undefined || frames.length < 3) {
      this.invalid("frames", frames.length);
      return undefined;
    }
    const meta = parseMeta(second);
    if (meta === undefined) {
      this.invalid("meta", frames.length);
      return undefined;
    }
    const key = meta.publisher + topic.toString("latin1");
    const link = this.#streams.get(key);
    if (link === undefined) return this.#open(key, topic, meta);
    this.#order.push(link);
    return this.#follow(link.value, meta);
  }

  invalid(reason: SequencedInvalidReason, frames: number): void {
    this.#counts.invalid += 1;
    this.#event({ type: "message:invalid", reason, frames });
  }

  stats(): SequencedStreamStats {
    return { ...this.#counts, streams: this.#streams.size };
  }

  #open(key: string, topic: Buffer, meta: Meta): SequencedPlace {
    while (this.#order.length > 0 && !this.#hasRoomFor(topic)) this.#forget();
    const stream: Stream = {
      key,
      publisher: hex(meta.publisher),
      topic: Buffer.from(topic),
      stream: meta.stream,
      last: meta.sequence,
    };
    const link = new Link(stream);
    this.#streams.set(key, link);
    this.#order.push(link);
    this.#topicBytes += topic.length;
    const to = meta.sequence - 1;
    if (to > 0) {
      this.#counts.missed += to;
      this.#event({ type: "stream:joined-late", ...nameOf(stream), from: 1, to, missed: to });
    }
    return this.#handOver(stream, meta);
  }

  #follow(stream: Stream, meta: Meta): SequencedPlace | undefined {
    const { sequence } = meta;
    if (meta.stream > stream.stream) {
      stream.stream = meta.stream;
      stream.last = 0;
      this.#event({ type: "stream:restarted", ...nameOf(stream) });
    }
    if (meta.stream < stream.stream || sequence <= stream.last) {
      this.#counts.repeats += 1;
      this.#event({ type: "message:repeated", ...nameOf(stream), stream: meta.stream, sequence });
      return undefined;
    }
    const from = stream.last + 1;
    const to = sequence - 1;
    // Listeners see the final state.
    stream.last = sequence;
    if (to >= from) {
      const lost = to - from + 1;
      this.#counts.lost += lost;
      this.#counts.gaps += 1;
      this.#event({ type: "gap:detected", ...nameOf(stream), from, to, lost });
    }
    return this.#handOver(stream, meta);
  }

  #handOver(stream: Stream, meta: Meta): SequencedPlace {
    this.#counts.received += 1;
    const { publisher, topic } = stream;
    return {
      publisher,
      topic,
      stream: meta.stream,
      sequence: meta.sequence,
      time: meta.time / 1_000,
    };
  }

  #hasRoomFor(topic: Buffer): boolean {
    const most = Math.max(LEAST_TOPIC_BYTES, TOPIC_BYTES * this.#max);
    return this.#order.length < this.#max && this.#topicBytes + topic.length <= most;
  }

  #forget(): void {
    const stream = this.#order.shift() as Stream;
    this.#streams.delete(stream.key);
    this.#topicBytes -= stream.topic.length;
    this.#counts.forgotten += 1;
    this.#event({ type: "stream:forgotten", ...nameOf(stream), sequence: stream.last });
  }
}

function nameOf({ publisher, topic, stream }: Stream): SequencedStreamName {
  return { publisher, topic, stream };
}
