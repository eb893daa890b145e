/**
 * What waits to go out on one pipe of a page, as bytes on the wire in the order they go. The build puts it in the place of
 * engine/zmtp/codec/out-queue.ts (rolldown.config.js), whose segments may be parts of messages, in memory that is used again
 * or that the program may transfer to a thread.
 *
 *   add() --> segments --take()--> in flight --confirm()--> the browser has them
 *                                     |  lose()     `- until it has sent them: lost with the connection, too
 *                                     +--> gone with the connection
 *
 * Neighbouring messages of one slab are one segment. A message counts until the browser has its last byte.
 */
import { RingBuffer } from "../core/collections/ring-buffer.js";
import { FRAME_COST } from "../core/frame-cost.js";
import type { Encoder } from "./encoder.js";

/** Whole messages and commands, one after the other. */
export interface Segment {
  readonly bytes: Uint8Array;
  readonly start: number;
  end: number;
  /** Commands are not counted. */
  messages: number;
  /** Of the messages. */
  frames: number;
}

/** The connection's WebSocket, whose buffer is lost with it (web-socket-stream.ts). */
export interface SendBuffer {
  /** Bytes that the browser was given. */
  readonly given: number;
  /** Of those, what it has not sent. */
  readonly unsent: number;
  /** Of those, what it will never send. */
  readonly lost: number;
}

export class OutQueue {
  /** Messages that the browser does not have yet, those in flight included. */
  messages = 0;
  /** Bytes that wait, and frames of messages, without those in flight. */
  bytes = 0;
  frames = 0;
  /** Nothing that waits is the program's memory. */
  detached = 0;
  readonly #segments = new RingBuffer<Segment>(4);
  readonly #inFlight: Segment[] = [];
  #last: Segment | undefined = undefined;
  /** Messages in the browser's buffer, by the bytes that it was given up to their end. */
  readonly #buffered = new RingBuffer<{ readonly end: number; readonly messages: number }>(4);
  #buffer: SendBuffer | undefined = undefined;

  /** Segments that wait. */
  get length(): number {
    return this.#segments.length;
  }

  get inFlight(): readonly Segment[] {
    return this.#inFlight;
  }

  /** What waits costs (core/frame-cost.ts), without what is in flight. */
  get cost(): number {
    return this.bytes + FRAME_COST * this.frames;
  }

  /** Appends what `encoder` has just encoded. @param messages 1, 0 for a command, more for those encoded before */
  add(encoder: Encoder, messages: number): void {
    const { slab, start, end, frames } = encoder;
    const last = this.#last;
    if (last !== undefined && last.bytes === slab && last.end === start) {
      last.end = end;
      last.messages += messages;
      last.frames += frames;
    } else this.#last = this.#push({ bytes: slab, start, end, messages, frames });
    this.messages += messages;
    this.bytes += end - start;
    this.frames += frames;
  }

  /** Appends what `encoder` has just encoded in place of what waits, but not of what is in flight. @returns how many messages that were */
  replace(encoder: Encoder, messages: number): number {
    const replaced = this.clearWaiting();
    this.add(encoder, messages);
    return replaced;
  }

  /** What `add` does, before everything that waits: for what a new connection has to get first. */
  addFirst(encoder: Encoder, messages: 0 | 1): void {
    const waiting = this.#takeAll();
    this.#last = undefined;
    this.add(encoder, messages);
    this.#last = waiting.map((segment) => this.#push(segment)).at(-1) ?? this.#last;
  }

  /** Puts segments in flight, until they have `maxBytes` or more. @returns those in flight now */
  take(maxBytes: number): readonly Segment[] {
    for (let bytes = 0; bytes < maxBytes; ) {
      const segment = this.#segments.shift();
      if (segment === undefined) break;
      const size = segment.end - segment.start;
      bytes += size;
      this.bytes -= size;
      this.frames -= segment.frames;
      this.#inFlight.push(segment);
    }
    if (this.length === 0) this.#last = undefined;
    return this.#inFlight;
  }

  /** The browser has what was in flight. */
  confirm(buffer?: SendBuffer): void {
    const messages = this.#end();
    if (buffer === undefined) return;
    this.#buffer = buffer;
    const sent = buffer.given - buffer.unsent;
    for (let first = this.#buffered.peek(); first !== undefined && first.end <= sent; ) {
      this.#buffered.shift();
      first = this.#buffered.peek();
    }
    if (messages > 0 && buffer.unsent > 0) this.#buffered.push({ end: buffer.given, messages });
  }

  /** What was in flight belongs to somebody else now, memory and all. */
  handOver(): void {
    this.#end();
  }

  /** What was in flight is lost, and what the browser has not sent. @returns how many messages */
  lose(): number {
    let messages = this.#end();
    const { given = 0, lost = 0 } = this.#buffer ?? {};
    for (let each = this.#buffered.shift(); each !== undefined; each = this.#buffered.shift())
      if (each.end > given - lost) messages += each.messages;
    this.#buffer = undefined;
    return messages;
  }

  #end(): number {
    const messages = messagesOf(this.#inFlight);
    this.#inFlight.length = 0;
    this.messages -= messages;
    return messages;
  }

  /** Moves what waits, but not what is in flight, to the end of other queues, a segment to each in turn. */
  moveTo(queues: readonly OutQueue[]): void {
    for (const [i, segment] of this.#takeAll().entries()) {
      const queue = queues[i % queues.length] as OutQueue;
      const size = segment.end - segment.start;
      this.messages -= segment.messages;
      this.bytes -= size;
      this.frames -= segment.frames;
      queue.#push(segment);
      queue.messages += segment.messages;
      queue.bytes += size;
      queue.frames += segment.frames;
      // Its slab is another encoder's: what is encoded next cannot follow in it.
      queue.#last = undefined;
    }
    this.#last = undefined;
  }

  /** Throws away what waits, but not what is in flight. @returns how many messages */
  clearWaiting(): number {
    const messages = messagesOf(this.#takeAll());
    this.#last = undefined;
    this.messages -= messages;
    this.bytes = 0;
    this.frames = 0;
    return messages;
  }

  /** Throws away what waits and what is in flight. @returns how many messages */
  clear(): number {
    return this.lose() + this.clearWaiting();
  }

  #push(segment: Segment): Segment {
    this.#segments.push(segment);
    return segment;
  }

  #takeAll(): Segment[] {
    const segments: Segment[] = [];
    for (let next = this.#segments.shift(); next !== undefined; next = this.#segments.shift())
      segments.push(next);
    return segments;
  }
}

function messagesOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, { messages }) => sum + messages, 0);
}
