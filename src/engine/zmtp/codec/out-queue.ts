/**
 * What waits to go out on one pipe, as bytes on the wire in the order they go.
 *
 *   add() --> segments --take()--> in flight --confirm()--> the kernel has them
 *                                     |  lose()
 *                                     +--> gone with the connection
 *
 * Neighbouring messages of one slab are one segment, so a thousand small
 * messages cost one object and one write. A message counts until the kernel
 * has its last byte: that is what the high-water mark bounds.
 */
import { RingBuffer } from "../../../core/collections/ring-buffer.js";
import { FRAME_COST } from "../../../core/frame-cost.js";
import { type Encoder, letGo } from "./encoder.js";
import type { RefCounted } from "./pooled-buffer.js";

export class Segment {
  /** Where the bytes are, if that memory is used again. */
  readonly memory: RefCounted | undefined;
  readonly bytes: Uint8Array;
  start: number;
  end: number;
  /** Messages whose last byte is in it. */
  messages: number;
  /** Frames of those. */
  frames: number;
  /** It ends where a message or a command does, and not in the middle of one. */
  readonly whole: boolean;

  constructor(
    memory: RefCounted | undefined,
    bytes: Uint8Array,
    start: number,
    end: number,
    messages: number,
    frames: number,
    whole: boolean,
  ) {
    this.memory = memory;
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.messages = messages;
    this.frames = frames;
    this.whole = whole;
    if (memory !== undefined) memory.refs += 1;
  }
}

export class OutQueue {
  /** Messages that the kernel does not have yet, those in flight included. */
  messages = 0;
  /** Bytes that wait, and frames of messages, without those in flight. */
  bytes = 0;
  frames = 0;
  /** Messages whose memory was gone when they were to go out, since somebody last looked and set it to 0. */
  detached = 0;
  /** Messages that were handed over, and went nowhere: they are lost with the link. */
  #refused = 0;
  /** A message is a piece of a stream: one whose memory is gone leaves no whole stream behind. */
  inPieces = false;
  readonly #segments = new RingBuffer<Segment>(4);
  readonly #inFlight: Segment[] = [];
  #last: Segment | undefined = undefined;

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

  /** What the kernel does not have yet costs, what is in flight included. */
  get heldCost(): number {
    let { cost } = this;
    for (const { start, end, frames } of this.#inFlight) cost += end - start + FRAME_COST * frames;
    return cost;
  }

  /** Appends what `encoder` has just encoded. @param messages 1, 0 for a command, more for those encoded before */
  add(encoder: Encoder, messages: number): void {
    const { parts, slab, start, frames } = encoder;
    if (parts === undefined) {
      const last = this.#last;
      if (last !== undefined && last.memory === slab && last.end === start) {
        last.end = encoder.end;
        last.messages += messages;
        last.frames += frames;
      } else this.#push(slab, slab.bytes, start, encoder.end, messages, frames, true);
    } else {
      const end = parts.length - 1;
      for (let i = 0; i <= end; i++) {
        const part = parts[i] as (typeof parts)[number];
        const isLast = i === end;
        const { memory, bytes } = part;
        this.#push(memory, bytes, part.start, part.end, isLast ? messages : 0, isLast ? frames : 0, isLast);
      }
      // The next begins a segment of its own, so that this one can be dropped alone.
      this.#last = undefined;
    }
    this.messages += messages;
    this.bytes += encoder.length;
    this.frames += frames;
  }

  /** Appends what `encoder` has just encoded in place of what waits, but not of what is in flight. @returns how many messages that were */
  replace(encoder: Encoder, messages: number): number {
    const { slab } = encoder;
    // A slab that nobody refers to is used again: what was just encoded is in one that what waits may be the last to refer to.
    slab.refs += 1;
    const parts = encoder.hold();
    const replaced = this.clearWaiting();
    this.add(encoder, messages);
    slab.release();
    letGo(parts);
    return replaced;
  }

  /** Appends whole messages that are encoded already, by reference. */
  addRange(
    bytes: Uint8Array,
    start: number,
    end: number,
    messages: number,
    frames: number,
    memory: RefCounted | undefined,
  ): void {
    this.#push(memory, bytes, start, end, messages, frames, true);
    this.messages += messages;
    this.bytes += end - start;
    this.frames += frames;
  }

  /** What `add` does, before everything that waits: for what a new connection has to get first. */
  addFirst(encoder: Encoder, messages: 0 | 1): void {
    const waiting: Segment[] = [];
    for (let segment = this.#segments.shift(); segment !== undefined; segment = this.#segments.shift())
      waiting.push(segment);
    this.#last = undefined;
    this.add(encoder, messages);
    for (const segment of waiting) this.#segments.push(segment);
    this.#last = waiting.at(-1) ?? this.#last;
  }

  /**
   * Puts segments in flight, until they have `maxBytes` or more. Whole messages only: what a lost connection takes
   * with it must not leave a rest, which the next connection, or conflation, would have for a message of its own.
   *
   * A message in the program's own memory is dropped, and counted in `detached`, when the program has transferred that.
   *
   * @returns those in flight now
   * @throws TypeError when a piece of a stream has no memory any more
   */
  take(maxBytes: number): readonly Segment[] {
    let bytes = 0;
    let whole = true;
    /** Where the message begins that is not whole yet. */
    let begin = this.#inFlight.length;
    let isDetached = false;
    while (bytes < maxBytes || !whole) {
      const segment = this.#segments.shift();
      if (segment === undefined) break;
      const size = segment.end - segment.start;
      bytes += size;
      whole = segment.whole;
      this.bytes -= size;
      this.frames -= segment.frames;
      this.#inFlight.push(segment);
      // What is detached has no length any more.
      if (segment.bytes.length < segment.end) isDetached = true;
      if (!whole) continue;
      if (isDetached) {
        if (this.inPieces) throw new TypeError("A message was transferred to a thread before it went out");
        this.#drop(begin);
        isDetached = false;
      }
      begin = this.#inFlight.length;
    }
    if (this.#segments.length === 0) this.#last = undefined;
    return this.#inFlight;
  }

  /** The kernel, or the browser, has what was in flight. */
  confirm(): void {
    this.#end();
  }

  /** Moves what waits, but not what is in flight, to the end of other queues, whole messages to each in turn. */
  moveTo(queues: readonly OutQueue[]): void {
    let at = 0;
    for (let segment = this.#segments.shift(); segment !== undefined; segment = this.#segments.shift()) {
      const queue = queues[at] as OutQueue;
      const size = segment.end - segment.start;
      this.messages -= segment.messages;
      this.bytes -= size;
      this.frames -= segment.frames;
      queue.#segments.push(segment);
      queue.messages += segment.messages;
      queue.bytes += size;
      queue.frames += segment.frames;
      // Its slab is another encoder's: what is encoded next cannot follow in it.
      queue.#last = undefined;
      if (segment.whole) at = (at + 1) % queues.length;
    }
    this.#last = undefined;
  }

  /** What was in flight belongs to somebody else now, memory and all. @param refused messages of it that went nowhere */
  handOver(refused = 0): void {
    for (const { messages } of this.#inFlight) this.messages -= messages;
    this.#inFlight.length = 0;
    this.#refused += refused;
    this.messages += refused;
  }

  /** What was in flight is lost. @returns how many messages */
  lose(): number {
    const refused = this.#refused;
    this.#refused = 0;
    this.messages -= refused;
    return this.#end() + refused;
  }

  /** Throws away what waits, but not what is in flight. @returns how many messages */
  clearWaiting(): number {
    let messages = 0;
    for (let segment = this.#segments.shift(); segment !== undefined; segment = this.#segments.shift()) {
      messages += segment.messages;
      segment.memory?.release();
    }
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

  /** Takes back what is in flight from `begin` on. */
  #drop(begin: number): void {
    for (const { messages, memory } of this.#inFlight.splice(begin)) {
      this.messages -= messages;
      this.detached += messages;
      memory?.release();
    }
  }

  #end(): number {
    let messages = 0;
    if (this.#inFlight.length === 0) return 0;
    for (const segment of this.#inFlight) {
      messages += segment.messages;
      segment.memory?.release();
    }
    this.#inFlight.length = 0;
    this.messages -= messages;
    return messages;
  }

  #push(
    memory: RefCounted | undefined,
    bytes: Uint8Array,
    start: number,
    end: number,
    messages: number,
    frames: number,
    whole: boolean,
  ): void {
    const segment = new Segment(memory, bytes, start, end, messages, frames, whole);
    this.#segments.push(segment);
    this.#last = segment;
  }
}
