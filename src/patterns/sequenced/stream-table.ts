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
import { Link, LinkedList } from "../../core/collections/linked-list.js";
import { Kind, type Meta, parseMeta } from "./protocol.js";

/** Where a message belongs. */
export interface StreamName {
  /** 32 hexadecimal digits: a publisher from its start to its end. */
  readonly publisher: string;
  readonly topic: Buffer;
  /** Which life of the topic at this publisher; from 1. */
  readonly stream: number;
}

/** Messages from one sequence to another, both included. */
export interface SequenceRange extends StreamName {
  readonly from: number;
  readonly to: number;
}

/** What is noticed about streams. */
export type StreamEvent =
  /** The first of a stream that is heard is not its first: `missed` came before. */
  | ({ readonly type: "late-join"; readonly missed: number } & SequenceRange)
  /** `lost` messages did not come. */
  | ({ readonly type: "gap"; readonly lost: number } & SequenceRange)
  /** The publisher had forgotten the topic, and begins it anew. What came between is not known. */
  | ({ readonly type: "stream:new" } & StreamName)
  /** A message that came before, or out of order. It was dropped. */
  | ({ readonly type: "repeat"; readonly sequence: number } & StreamName)
  /** Not heard of for the longest time, and others needed its place. */
  | ({ readonly type: "stream:forgotten"; readonly sequence: number } & StreamName)
  /** A message that is none of the protocol's. It was dropped. */
  | { readonly type: "invalid"; readonly reason: InvalidSequenced; readonly frames: number };

/** Why a message is none. */
export type InvalidSequenced =
  /** Too few frames, or a mark with a body. */
  | "frames"
  /** The second frame is no meta. */
  | "meta"
  /** The codec or its schema refused the body. The sequence counts as received. */
  | "codec";

/** Accounts of what was heard. */
export interface StreamStats {
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
export interface Sequenced extends StreamName {
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
  readonly #event: (event: StreamEvent) => void;
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

  constructor(maxStreams: number, event: (event: StreamEvent) => void) {
    this.#max = maxStreams;
    this.#event = event;
  }

  /** @returns the place of a message that is to be handed over */
  receive(frames: readonly Buffer[]): Sequenced | undefined {
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

  /** Counts a message that is none. */
  invalid(reason: InvalidSequenced, frames: number): void {
    this.#invalid += 1;
    this.#event({ type: "invalid", reason, frames });
  }

  stats(): StreamStats {
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

  #open(key: string, topic: Buffer, meta: Meta): Sequenced | undefined {
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
      this.#event({ type: "late-join", ...nameOf(stream), from: 1, to, missed: to });
    }
    return this.#handOver(stream, meta);
  }

  #follow(stream: Stream, meta: Meta): Sequenced | undefined {
    const { sequence } = meta;
    if (meta.stream > stream.stream) {
      stream.stream = meta.stream;
      stream.last = 0;
      this.#event({ type: "stream:new", ...nameOf(stream) });
    }
    const isMark = meta.kind === Kind.MARK;
    if (meta.stream < stream.stream || (!isMark && sequence <= stream.last)) {
      this.#repeats += 1;
      this.#event({ type: "repeat", ...nameOf(stream), stream: meta.stream, sequence });
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
      this.#event({ type: "gap", ...nameOf(stream), from, to, lost });
    } else if (!isMark) stream.last = sequence;
    return this.#handOver(stream, meta);
  }

  #handOver(stream: Stream, meta: Meta): Sequenced | undefined {
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

function nameOf({ publisher, topic, stream }: Stream): StreamName {
  return { publisher, topic, stream };
}
