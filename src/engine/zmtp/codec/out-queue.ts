/**
 * The bytes of one pipe that have yet to go out, in wire order.
 *
 *   add() --> segments --take()--> in flight --confirm()--> the kernel has them, or they are gone with the connection
 *
 * Adjacent messages of one slab share a segment. A message counts against the high-water mark until the
 * kernel has its last byte.
 */
import { RingBuffer } from "../../../core/collections/queues.js";
import { FRAME_COST } from "../../../core/memory.js";
import { type Encoder, letGo } from "./encoder.js";
import type { RefCounted } from "./pooled-buffer.js";

export class Segment {
  readonly memory: RefCounted | undefined;
  readonly bytes: Uint8Array;
  start: number;
  end: number;
  messages: number;
  frames: number;
  /** Ends with a message or command. */
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
  /** Includes those in flight. */
  messages = 0;
  /** Without those in flight. */
  bytes = 0;
  frames = 0;
  /** The program had transferred their memory to a thread. */
  detached = 0;
  /** Messages are pieces of a stream, so a detached one is fatal. */
  inPieces = false;
  readonly #segments = new RingBuffer<Segment>(4);
  readonly #inFlight: Segment[] = [];
  #last: Segment | undefined = undefined;

  get length(): number {
    return this.#segments.length;
  }

  get inFlight(): readonly Segment[] {
    return this.#inFlight;
  }

  /** As core/memory.ts counts, without those in flight. */
  get cost(): number {
    return this.bytes + FRAME_COST * this.frames;
  }

  /** Cost, including those in flight. */
  get heldCost(): number {
    let { cost } = this;
    for (const { start, end, frames } of this.#inFlight) cost += end - start + FRAME_COST * frames;
    return cost;
  }

  /** @param messages 0 for a command, more than 1 for a range */
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
      this.#last = undefined;
    }
    this.messages += messages;
    this.bytes += encoder.length;
    this.frames += frames;
  }

  /** Replaces queued messages, except those in flight. @returns the number replaced */
  replace(encoder: Encoder, messages: number): number {
    const { slab } = encoder;
    // The queue may hold the slab's last reference.
    slab.refs += 1;
    const parts = encoder.hold();
    const replaced = this.clearWaiting();
    this.add(encoder, messages);
    slab.release();
    letGo(parts);
    return replaced;
  }

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

  /**
   * Puts whole messages in flight until they reach `maxBytes`: the next connection would get the rest of a
   * cut one as a message. Messages in transferred memory are dropped (`detached`).
   *
   * @throws TypeError when a piece of a stream is detached
   */
  take(maxBytes: number): readonly Segment[] {
    let bytes = 0;
    let whole = true;
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
      // A detached buffer has length 0.
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

  /** Ends the messages in flight, sent or lost. @returns their number */
  confirm(): number {
    if (this.#inFlight.length === 0) return 0;
    let messages = 0;
    for (const segment of this.#inFlight) {
      messages += segment.messages;
      segment.memory?.release();
    }
    this.#inFlight.length = 0;
    this.messages -= messages;
    return messages;
  }

  /** Gives the segments in flight to a new owner. */
  handOver(): void {
    for (const { messages } of this.#inFlight) this.messages -= messages;
    this.#inFlight.length = 0;
  }

  /** Drops queued messages, except those in flight. @returns their number */
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

  clear(): number {
    return this.confirm() + this.clearWaiting();
  }

  #drop(begin: number): void {
    for (const { messages, memory } of this.#inFlight.splice(begin)) {
      this.messages -= messages;
      this.detached += messages;
      memory?.release();
    }
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
