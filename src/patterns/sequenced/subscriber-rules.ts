/**
 * Requests replays from publishers, a page at a time. Pure.
 *
 *   request ──ask──> asked ──END more──> asked for the next page
 *                      │ ├──END done, or the stream is gone──> settled
 *                      │ ├──END another publisher──> the next link, or settled without a message
 *                      │ └──silent for `attemptTimeout`──> asked again from where it is
 *                      └──cancelled, as by its timeout──> forgotten
 *
 * Answers show which link leads to which publisher; an unknown one is requested on all links in turn.
 */
import { Link, LinkedList } from "../../core/collections/linked-list.js";
import { Deadlines, type Due } from "../../core/deadlines.js";
import { Kind, type Meta, parseMeta } from "../kit/sequence-meta.js";
import { EndStatus, encodeRequest, parseAnswer, parseEnd } from "./protocol.js";

export interface ReplayRulesOptions {
  /** ms of silence before a page is requested again. */
  readonly attemptTimeout: number;
}

export interface ReplayedFrames {
  readonly sequence: number;
  /** ms since 1970 by the publisher's clock. */
  readonly time: number;
  readonly body: Buffer[];
}

export type SequencedReplayOutcome =
  /** All that the publisher still has. */
  | "done"
  /** The publisher has forgotten the topic. */
  | "gone"
  /** No link leads to this publisher. */
  | "unknown-publisher";

/** `C` is the caller's handle. */
export interface ReplayOutbox<C> {
  send(link: number, frames: Buffer[]): void;
  settled(caller: C, outcome: SequencedReplayOutcome, messages: ReplayedFrames[]): void;
}

export interface SequencedReplayStats {
  readonly requests: number;
  readonly replayed: number;
  readonly retries: number;
  readonly pending: number;
  readonly late: number;
  readonly invalid: number;
}

interface Call<C> extends Due {
  readonly caller: C;
  readonly range: SequencedRange;
  readonly publisher: string;
  readonly topic: Buffer;
  readonly messages: ReplayedFrames[];
  /** Links to other publishers. */
  readonly wrong: Set<number>;
  next: number;
  link: number;
  /** Answers to earlier request numbers are late. */
  number: number;
  /** A new link may come. */
  isParked: boolean;
}

export class ReplayRules<C> {
  readonly #options: ReplayRulesOptions;
  readonly #outbox: ReplayOutbox<C>;
  readonly #calls = new Map<C, Link<Call<C>>>();
  readonly #byNumber = new Map<number, Link<Call<C>>>();
  readonly #deadlines = new Deadlines<Call<C>>();
  /** Last publisher per link; link numbers are not reused. */
  readonly #publishers = new Map<number, string | undefined>();
  #links = 0;
  /** Links come from a source. */
  grows = false;
  #numbers = 0;
  readonly #counts = { requests: 0, replayed: 0, retries: 0, late: 0, invalid: 0 };

  constructor(options: ReplayRulesOptions, outbox: ReplayOutbox<C>) {
    this.#options = options;
    this.#outbox = outbox;
  }

  get nextLink(): number {
    return this.#links;
  }

  addLink(now: number): void {
    this.#publishers.set(this.#links++, undefined);
    for (const link of [...this.#calls.values()]) if (link.value.isParked) this.#choose(link, now);
  }

  /** Its requests go elsewhere. */
  removeLink(link: number, now: number): void {
    if (!this.#publishers.delete(link)) return;
    for (const call of [...this.#calls.values()]) if (call.value.link === link) this.#choose(call, now);
  }

  /** @param caller unique; `settled` may be called before this returns */
  request(caller: C, range: SequencedRange, now: number): void {
    const call: Call<C> = {
      caller,
      range,
      publisher: Buffer.from(range.publisher, "hex").toString("latin1"),
      topic: range.topic,
      messages: [],
      wrong: new Set(),
      next: range.from,
      link: -1,
      number: 0,
      isParked: false,
      deadline: 0,
    };
    const link = new Link(call);
    this.#calls.set(caller, link);
    this.#counts.requests += 1;
    this.#choose(link, now);
  }

  cancel(caller: C): void {
    const link = this.#calls.get(caller);
    if (link !== undefined) this.#remove(link);
  }

  receive(from: number, frames: readonly Buffer[], now: number): void {
    const head = frames[0] as Buffer;
    const end = frames.length === 1 ? parseEnd(head) : undefined;
    const number = end?.number ?? parseAnswer(head);
    if (number === undefined) {
      this.#counts.invalid += 1;
      return;
    }
    const link = this.#byNumber.get(number);
    if (link === undefined || link.value.link !== from) {
      this.#counts.late += 1;
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
      const link = this.#calls.get(call.caller) as Link<Call<C>>;
      if (call.isParked) {
        this.#settle(link, "unknown-publisher");
        continue;
      }
      this.#counts.retries += 1;
      this.#ask(link, now);
    }
  }

  nextWakeUp(): number | undefined {
    return this.#deadlines.next();
  }

  stats(): SequencedReplayStats {
    return { ...this.#counts, pending: this.#calls.size };
  }

  #message(link: Link<Call<C>>, frames: readonly Buffer[], now: number): void {
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
      this.#counts.invalid += 1;
      return;
    }
    this.#counts.replayed += 1;
    call.messages.push({ sequence: meta.sequence, time: meta.time / 1_000, body });
    call.next = meta.sequence + 1;
    this.#arm(link, now);
  }

  #ended(link: Link<Call<C>>, status: EndStatus, now: number): void {
    const call = link.value;
    if (status === EndStatus.OTHER_PUBLISHER) {
      call.wrong.add(call.link);
      this.#choose(link, now);
    } else if (status === EndStatus.MORE && call.next <= call.range.to) this.#ask(link, now);
    else this.#settle(link, status === EndStatus.GONE ? "gone" : "done");
  }

  /** On the publisher's last link, or the next untried one. */
  #choose(link: Link<Call<C>>, now: number): void {
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

  #ask(link: Link<Call<C>>, now: number): void {
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

  #arm(link: Link<Call<C>>, now: number): void {
    this.#deadlines.set(link, now, this.#options.attemptTimeout);
  }

  #settle(link: Link<Call<C>>, outcome: SequencedReplayOutcome): void {
    this.#remove(link);
    this.#outbox.settled(link.value.caller, outcome, link.value.messages);
  }

  #remove(link: Link<Call<C>>): void {
    link.unlink();
    this.#calls.delete(link.value.caller);
    this.#byNumber.delete(link.value.number);
  }
}

/**
 * Streams that a subscriber follows: one per publisher and topic. Pure.
 *
 *   unknown --message n--> following --message last+1--> following
 *              n > 1: late-join        --message > last+1--> gap, following
 *                                      --message <= last--> repeat: dropped
 *                                      --mark > last--> gap
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

export type SequencedSubscriberEvent =
  /** The first message heard is not the stream's first. */
  | ({ readonly type: "stream:joined-late"; readonly missed: number } & SequencedRange)
  | ({ readonly type: "gap:detected"; readonly lost: number } & SequencedRange)
  /** The publisher forgot the topic. Losses in between are unknown. */
  | ({ readonly type: "stream:restarted" } & SequencedStreamName)
  | ({ readonly type: "message:repeated"; readonly sequence: number } & SequencedStreamName)
  /** The least recently heard stream was evicted. */
  | ({ readonly type: "stream:forgotten"; readonly sequence: number } & SequencedStreamName)
  /** An invalid message was dropped. */
  | { readonly type: "message:invalid"; readonly reason: SequencedInvalidReason; readonly frames: number };

export type SequencedInvalidReason =
  /** Too few frames, or a mark with a body. */
  | "frames"
  /** The second frame is not a meta frame. */
  | "meta"
  /** The codec refused the body. The sequence counts as received. */
  | "codec";

export interface SequencedStreamStats {
  readonly streams: number;
  readonly received: number;
  readonly lost: number;
  readonly gaps: number;
  /** Before late joins. */
  readonly missed: number;
  readonly repeats: number;
  readonly marks: number;
  readonly forgotten: number;
  readonly invalid: number;
}

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
  readonly #order = new LinkedList<Stream>();
  readonly #counts = {
    received: 0,
    lost: 0,
    gaps: 0,
    missed: 0,
    repeats: 0,
    marks: 0,
    forgotten: 0,
    invalid: 0,
  };

  constructor(maxStreams: number, event: (event: SequencedSubscriberEvent) => void) {
    this.#max = maxStreams;
    this.#event = event;
  }

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
    if (isMark) this.#counts.marks += 1;
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
    const isMark = meta.kind === Kind.MARK;
    if (meta.stream < stream.stream || (!isMark && sequence <= stream.last)) {
      this.#counts.repeats += 1;
      this.#event({ type: "message:repeated", ...nameOf(stream), stream: meta.stream, sequence });
      return undefined;
    }
    const from = stream.last + 1;
    const to = isMark ? sequence : sequence - 1;
    if (to >= from) {
      const lost = to - from + 1;
      this.#counts.lost += lost;
      this.#counts.gaps += 1;
      // Listeners see the final state.
      stream.last = sequence;
      this.#event({ type: "gap:detected", ...nameOf(stream), from, to, lost });
    } else if (!isMark) stream.last = sequence;
    return this.#handOver(stream, meta);
  }

  #handOver(stream: Stream, meta: Meta): SequencedPlace | undefined {
    if (meta.kind === Kind.MARK) return undefined;
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

  #forget(): void {
    const stream = this.#order.shift() as Stream;
    this.#streams.delete(stream.key);
    this.#counts.forgotten += 1;
    this.#event({ type: "stream:forgotten", ...nameOf(stream), sequence: stream.last });
  }
}

function nameOf({ publisher, topic, stream }: Stream): SequencedStreamName {
  return { publisher, topic, stream };
}
