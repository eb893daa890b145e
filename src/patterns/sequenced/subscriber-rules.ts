/**
 * Asking publishers for messages again, a page at a time. Pure.
 *
 *   request ──ask──> asked ──END more──> asked for the next page
 *                      │ ├──END done, or the stream is gone──> settled
 *                      │ ├──END another publisher──> the next link, or settled without a message
 *                      │ └──silent for `attemptTimeout`──> asked again from where it is
 *                      └── `timeout`──> failed
 *
 * Which link leads to which publisher is learned from their answers: a new one is
 * asked for on all links in turn.
 */
import { Link, LinkedList } from "../../core/collections/linked-list.js";
import { Deadlines, type Due } from "../../core/deadlines.js";
import { Kind, type Meta, parseMeta } from "../kit/sequence-meta.js";
import { EndStatus, encodeRequest, parseAnswer, parseEnd } from "./protocol.js";

/** What replays are bounded by. */
export interface ReplayRulesOptions {
  /** ms of silence after which the same page is asked for again. */
  readonly attemptTimeout: number;
  /** Replays under way at once. */
  readonly maxPending: number;
}

/** A replayed message: its sequence, time and body. */
export interface ReplayedFrames {
  readonly sequence: number;
  /** ms since 1970 by the publisher's clock. */
  readonly time: number;
  readonly body: Buffer[];
}

/** Why a replay ended. */
export type SequencedReplayOutcome =
  /** All that the publisher still has of the range. */
  | "done"
  /** The publisher has forgotten the topic. */
  | "gone"
  /** No link leads to this publisher: it has ended, or has another replay endpoint. */
  | "unknown-publisher"
  | "timeout";

/** What replays do to the world. */
export interface ReplayOutbox {
  send(link: number, frames: Buffer[]): void;
  settled(call: number, outcome: SequencedReplayOutcome, messages: ReplayedFrames[]): void;
}

/** Statistics of replays. */
export interface SequencedReplayStats {
  readonly requests: number;
  readonly replayed: number;
  readonly retries: number;
  readonly pending: number;
  /** Answers to requests that nobody waits for any more, and malformed answers. */
  readonly late: number;
  readonly invalid: number;
}

interface Call extends Due {
  readonly id: number;
  readonly range: SequencedRange;
  readonly publisher: string;
  readonly topic: Buffer;
  readonly end: number;
  readonly messages: ReplayedFrames[];
  /** Links that lead to other publishers. */
  readonly wrong: Set<number>;
  /** The next sequence that is missing. */
  next: number;
  link: number;
  /** Of the request under way: an answer to an earlier one is late. */
  number: number;
  /** All links lead to other publishers; another one may come yet. */
  isParked: boolean;
}

export class ReplayRules {
  readonly #options: ReplayRulesOptions;
  readonly #outbox: ReplayOutbox;
  readonly #calls = new Map<number, Link<Call>>();
  readonly #byNumber = new Map<number, Link<Call>>();
  readonly #deadlines = new Deadlines<Call>();
  /** The publisher that answered on each link last, one character a byte; a link's number is not used again. */
  readonly #publishers = new Map<number, string | undefined>();
  #links = 0;
  /** Links come and go with a source: where none leads to the publisher, one more is awaited for a while. */
  grows = false;
  #numbers = 0;
  #requests = 0;
  #replayed = 0;
  #retries = 0;
  #late = 0;
  #invalid = 0;

  constructor(options: ReplayRulesOptions, outbox: ReplayOutbox) {
    this.#options = options;
    this.#outbox = outbox;
  }

  /** The number that the next link has. */
  get nextLink(): number {
    return this.#links;
  }

  /** Another replay endpoint. */
  addLink(now: number): void {
    this.#publishers.set(this.#links++, undefined);
    for (const link of [...this.#calls.values()]) if (link.value.isParked) this.#choose(link, now);
  }

  /** Its endpoint has gone: what was asked there is asked elsewhere. */
  removeLink(link: number, now: number): void {
    if (!this.#publishers.delete(link)) return;
    for (const call of [...this.#calls.values()]) if (call.value.link === link) this.#choose(call, now);
  }

  get room(): number {
    return this.#options.maxPending - this.#calls.size;
  }

  /**
   * @param id what `settled` will name; nobody else's. It may do so before this returns
   * @param timeout ms of all pages together
   */
  request(id: number, range: SequencedRange, timeout: number, now: number): void {
    const call: Call = {
      id,
      range,
      publisher: Buffer.from(range.publisher, "hex").toString("latin1"),
      topic: range.topic,
      end: now + timeout,
      messages: [],
      wrong: new Set(),
      next: range.from,
      link: -1,
      number: 0,
      isParked: false,
      deadline: 0,
    };
    const link = new Link(call);
    this.#calls.set(call.id, link);
    this.#requests += 1;
    this.#choose(link, now);
  }

  /** The caller waits no more. */
  cancel(id: number): void {
    const link = this.#calls.get(id);
    if (link !== undefined) this.#remove(link);
  }

  /** Something came over a link. */
  receive(from: number, frames: readonly Buffer[], now: number): void {
    const head = frames[0] as Buffer;
    const end = frames.length === 1 ? parseEnd(head) : undefined;
    const number = end?.number ?? parseAnswer(head);
    if (number === undefined) {
      this.#invalid += 1;
      return;
    }
    const link = this.#byNumber.get(number);
    if (link === undefined || link.value.link !== from) {
      this.#late += 1;
      return;
    }
    if (end === undefined) this.#message(link, frames, now);
    else {
      this.#publishers.set(from, end.publisher);
      this.#ended(link, end.status, now);
    }
  }

  tick(now: number): void {
    for (const call of this.#deadlines.take(now)) {
      const link = this.#calls.get(call.id) as Link<Call>;
      if (call.isParked) {
        this.#settle(link, "unknown-publisher");
        continue;
      }
      if (now >= call.end) {
        this.#settle(link, "timeout");
        continue;
      }
      this.#retries += 1;
      this.#ask(link, now);
    }
  }

  nextWakeUp(): number | undefined {
    return this.#deadlines.next();
  }

  stats(): SequencedReplayStats {
    return {
      requests: this.#requests,
      replayed: this.#replayed,
      retries: this.#retries,
      pending: this.#calls.size,
      late: this.#late,
      invalid: this.#invalid,
    };
  }

  #message(link: Link<Call>, frames: readonly Buffer[], now: number): void {
    const call = link.value;
    const [, topic, second, ...body] = frames;
    const meta = second === undefined ? undefined : parseMeta(second);
    const fits =
      meta?.kind === Kind.MESSAGE &&
      meta.publisher === call.publisher &&
      meta.stream === call.range.stream &&
      topic?.equals(call.topic) === true &&
      body.length > 0 &&
      meta.sequence >= call.next &&
      meta.sequence <= call.range.to;
    if (!fits) {
      this.#invalid += 1;
      return;
    }
    this.#replayed += 1;
    call.messages.push({ sequence: meta.sequence, time: meta.time / 1_000, body });
    call.next = meta.sequence + 1;
    this.#arm(link, now);
  }

  #ended(link: Link<Call>, status: EndStatus, now: number): void {
    const call = link.value;
    if (status === EndStatus.OTHER_PUBLISHER) {
      call.wrong.add(call.link);
      this.#choose(link, now);
    } else if (status === EndStatus.MORE && call.next <= call.range.to) this.#ask(link, now);
    else this.#settle(link, status === EndStatus.GONE ? "gone" : "done");
  }

  /** Asks on the link that led to the publisher last, or on the next that was not asked yet. */
  #choose(link: Link<Call>, now: number): void {
    const call = link.value;
    let known = -1;
    let untried = -1;
    for (const [each, publisher] of this.#publishers) {
      if (call.wrong.has(each)) continue;
      if (known < 0 && publisher === call.publisher) known = each;
      if (untried < 0) untried = each;
    }
    call.link = known >= 0 ? known : untried;
    call.isParked = call.link < 0 && this.grows;
    if (call.link >= 0) this.#ask(link, now);
    else if (call.isParked) {
      this.#byNumber.delete(call.number);
      this.#arm(link, now);
    } else this.#settle(link, "unknown-publisher");
  }

  #ask(link: Link<Call>, now: number): void {
    const call = link.value;
    this.#byNumber.delete(call.number);
    this.#numbers = (this.#numbers + 1) >>> 0;
    call.number = this.#numbers;
    this.#byNumber.set(call.number, link);
    this.#arm(link, now);
    const { publisher, next, number } = call;
    const { stream, to } = call.range;
    this.#outbox.send(call.link, [encodeRequest({ publisher, stream, from: next, to, number }), call.topic]);
  }

  #arm(link: Link<Call>, now: number): void {
    const left = Math.max(link.value.end - now, 0);
    this.#deadlines.set(link, now, Math.min(this.#options.attemptTimeout, left));
  }

  #settle(link: Link<Call>, outcome: SequencedReplayOutcome): void {
    this.#remove(link);
    this.#outbox.settled(link.value.id, outcome, link.value.messages);
  }

  #remove(link: Link<Call>): void {
    link.unlink();
    this.#calls.delete(link.value.id);
    this.#byNumber.delete(link.value.number);
  }
}

/**
 * What a subscriber knows of the streams it hears: one for each publisher and
 * topic, with the sequence heard last. Pure.
 *
 *   unknown --message n--> following --message last+1--> following
 *              n > 1: late-join        --message > last+1--> gap, following
 *                                      --message <= last--> repeat: dropped
 *                                      --mark > last--> gap
 *                                      --a higher stream--> stream:new, following
 *
 * Past `maxStreams` the one heard of the longest ago is forgotten.
 */

/** Where a message belongs. */
export interface SequencedStreamName {
  /** 32 hexadecimal digits: a publisher from its start to its end. */
  readonly publisher: string;
  readonly topic: Buffer;
  /** Which life of the topic at this publisher; from 1. */
  readonly stream: number;
}

/** Messages from one sequence to another, both included. */
export interface SequencedRange extends SequencedStreamName {
  readonly from: number;
  readonly to: number;
}

/** What is noticed about streams. */
export type SequencedSubscriberEvent =
  /** The first of a stream that is heard is not its first: `missed` came before. */
  | ({ readonly type: "stream:joined-late"; readonly missed: number } & SequencedRange)
  /** `lost` messages did not come. */
  | ({ readonly type: "gap:detected"; readonly lost: number } & SequencedRange)
  /** The publisher had forgotten the topic, and begins it again. What came between is not known. */
  | ({ readonly type: "stream:restarted" } & SequencedStreamName)
  /** A message that came before, or out of order. It was dropped. */
  | ({ readonly type: "message:repeated"; readonly sequence: number } & SequencedStreamName)
  /** Not heard of for the longest time, and others needed its place. */
  | ({ readonly type: "stream:forgotten"; readonly sequence: number } & SequencedStreamName)
  /** A message that does not belong to the protocol. It was dropped. */
  | { readonly type: "message:invalid"; readonly reason: SequencedInvalidReason; readonly frames: number };

/** Why a message is invalid. */
export type SequencedInvalidReason =
  /** Too few frames, or a mark with a body. */
  | "frames"
  /** The second frame is no meta. */
  | "meta"
  /** The codec or its schema refused the body. The sequence counts as received. */
  | "codec";

/** Statistics of what was received. */
export interface SequencedStreamStats {
  readonly streams: number;
  readonly received: number;
  /** In gaps: messages that did not come. */
  readonly lost: number;
  readonly gaps: number;
  /** Before late joins. */
  readonly missed: number;
  readonly repeats: number;
  readonly marks: number;
  readonly forgotten: number;
  readonly invalid: number;
}

/** A message in its place. */
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

export class StreamTable {
  readonly #max: number;
  readonly #event: (event: SequencedSubscriberEvent) => void;
  readonly #streams = new Map<string, Link<Stream>>();
  /** Heard of the longest ago first. */
  readonly #order = new LinkedList<Stream>();
  #received = 0;
  #lost = 0;
  #gaps = 0;
  #missed = 0;
  #repeats = 0;
  #marks = 0;
  #forgotten = 0;
  #invalid = 0;

  constructor(maxStreams: number, event: (event: SequencedSubscriberEvent) => void) {
    this.#max = maxStreams;
    this.#event = event;
  }

  /** @returns the place of a message that is to be handed over */
  receive(frames: readonly Buffer[]): SequencedPlace | undefined {
    const [topic, second] = frames;
    if (topic === undefined || second === undefined) {
      this.invalid("frames", frames.length);
      return undefined;
    }
    const meta = parseMeta(second);
    if (meta === undefined) {
      this.invalid("meta", frames.length);
      return undefined;
    }
    const isMark = meta.kind === Kind.MARK;
    if (isMark ? frames.length !== 2 : frames.length < 3) {
      this.invalid("frames", frames.length);
      return undefined;
    }
    if (isMark) this.#marks += 1;
    const key = meta.publisher + topic.toString("latin1");
    const link = this.#streams.get(key);
    if (link === undefined) return this.#open(key, topic, meta);
    this.#order.push(link);
    return this.#follow(link.value, meta);
  }

  /** Counts an invalid message. */
  invalid(reason: SequencedInvalidReason, frames: number): void {
    this.#invalid += 1;
    this.#event({ type: "message:invalid", reason, frames });
  }

  stats(): SequencedStreamStats {
    return {
      streams: this.#streams.size,
      received: this.#received,
      lost: this.#lost,
      gaps: this.#gaps,
      missed: this.#missed,
      repeats: this.#repeats,
      marks: this.#marks,
      forgotten: this.#forgotten,
      invalid: this.#invalid,
    };
  }

  #open(key: string, topic: Buffer, meta: Meta): SequencedPlace | undefined {
    if (this.#streams.size >= this.#max) this.#forget();
    const stream: Stream = {
      key,
      publisher: Buffer.from(meta.publisher, "latin1").toString("hex"),
      topic: Buffer.from(topic),
      stream: meta.stream,
      last: meta.sequence,
    };
    const link = new Link(stream);
    this.#streams.set(key, link);
    this.#order.push(link);
    const to = meta.kind === Kind.MARK ? meta.sequence : meta.sequence - 1;
    if (to > 0) {
      this.#missed += to;
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
    const isMark = meta.kind === Kind.MARK;
    if (meta.stream < stream.stream || (!isMark && sequence <= stream.last)) {
      this.#repeats += 1;
      this.#event({ type: "message:repeated", ...nameOf(stream), stream: meta.stream, sequence });
      return undefined;
    }
    const from = stream.last + 1;
    const to = isMark ? sequence : sequence - 1;
    if (to >= from) {
      const lost = to - from + 1;
      this.#lost += lost;
      this.#gaps += 1;
      // First, so that who hears of it finds the table as it will be.
      stream.last = sequence;
      this.#event({ type: "gap:detected", ...nameOf(stream), from, to, lost });
    } else if (!isMark) stream.last = sequence;
    return this.#handOver(stream, meta);
  }

  #handOver(stream: Stream, meta: Meta): SequencedPlace | undefined {
    if (meta.kind === Kind.MARK) return undefined;
    this.#received += 1;
    const { publisher, topic } = stream;
    return {
      publisher,
      topic,
      stream: meta.stream,
      sequence: meta.sequence,
      time: meta.time / 1_000,
    };
  }

  #forget(): void {
    const stream = this.#order.shift() as Stream;
    this.#streams.delete(stream.key);
    this.#forgotten += 1;
    this.#event({ type: "stream:forgotten", ...nameOf(stream), sequence: stream.last });
  }
}

function nameOf({ publisher, topic, stream }: Stream): SequencedStreamName {
  return { publisher, topic, stream };
}
