/**
 * Whole messages in wire format (37/ZMTP, Framing), without commands, which a proxy relays undecoded.
 *
 *   takeBatch(max)    -> some messages, out of one chunk that was received
 *   offerBatch(batch) -> takes from its front what there is room for; the rest stays in it
 */
import { allocate, slice } from "../core/memory.js";
import {
  bodyAt,
  frameEnd,
  LONG_HEADER,
  MAX_SHORT,
  MORE,
  SHORT_HEADER,
  skipMessages,
  tallyOf,
  writeHeader,
} from "./frame.js";

/** Memory that an engine reuses once its last reference is released. */
export interface Pooled {
  refs: number;
  release(): void;
  /** Excludes the memory from reuse. */
  pin(): void;
}

/** At the batch's creation, without `first`. */
export interface BatchTally {
  readonly bodyBytes: number;
  readonly frames: number;
  /** Frames of the message with the most frames. */
  readonly mostFrames: number;
}

/** Gets a message's first body, its end, and the bytes of all bodies. */
export type MessageVisitor = (
  bytes: Uint8Array,
  body: number,
  bodyEnd: number,
  end: number,
  bodyBytes: number,
) => void;

export class FrameBatch {
  readonly bytes: Uint8Array;
  /** Start of the first message; advances as messages are taken. */
  start: number;
  readonly end: number;
  /** Remaining; initially at least 1. */
  messages: number;
  /** Remaining, without `first`. */
  frames: number;
  readonly tally: BatchTally;
  /** Prepended to each message: the sender's routing id, from a ROUTER. */
  readonly first: Uint8Array | undefined;
  pooled: Pooled | undefined;
  /** Without other users: the rest may be moved. */
  readonly own: boolean;
  /** Start of the message refused last, which ends at `start`. */
  refusedAt = 0;

  constructor(
    bytes: Uint8Array,
    start: number,
    end: number,
    messages: number,
    tally: BatchTally,
    first: Uint8Array | undefined,
    pooled?: Pooled,
    own = false,
  ) {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.messages = messages;
    this.frames = tally.frames;
    this.tally = tally;
    this.first = first;
    this.pooled = pooled;
    this.own = own;
  }

  release(): void {
    this.pooled?.release();
    this.pooled = undefined;
  }

  #pin(): void {
    this.pooled?.pin();
    this.pooled = undefined;
  }

  /** Whether each message begins with a non-empty frame and has another. */
  allHaveAddress(): boolean {
    let begins = true;
    for (let position = this.start; position < this.end; ) {
      const end = frameEnd(this.bytes, position);
      const more = ((this.bytes[position] as number) & MORE) !== 0;
      if (begins && (!more || end === bodyAt(this.bytes, position))) return false;
      begins = !more;
      position = end;
    }
    return true;
  }

  /**
   * @param keeps gets the first body @returns this batch if every message passes, `undefined` if none does
   */
  filter(keeps: (bytes: Uint8Array, start: number, end: number) => boolean): FrameBatch | undefined {
    const { bytes, tally, first } = this;
    let passing: Buffer | undefined;
    let size = 0;
    let messages = 0;
    for (let position = this.start; position < this.end; ) {
      const end = frameEnd(bytes, position);
      const next = ((bytes[position] as number) & MORE) === 0 ? end : skipMessages(bytes, end, 1);
      const kept = keeps(bytes, bodyAt(bytes, position), end);
      if (!kept && passing === undefined) {
        size = position - this.start;
        passing = allocate(this.end - this.start);
        passing.set(bytes.subarray(this.start, position));
      } else if (kept && passing !== undefined) {
        passing.set(bytes.subarray(position, next), size);
        size += next - position;
      }
      if (kept) messages += 1;
      position = next;
    }
    if (passing === undefined) return this;
    if (messages === 0) return undefined;
    // An upper bound of the most frames.
    const passed = { ...tallyOf(passing, 0, size), mostFrames: tally.mostFrames };
    return new FrameBatch(passing, 0, size, messages, passed, first);
  }

  /** The visitor may keep the bytes, which are without `first`. */
  visit(visitor: MessageVisitor): void {
    this.#pin();
    const { bytes } = this;
    for (let position = this.start; position < this.end; ) {
      let more = ((bytes[position] as number) & MORE) !== 0;
      const body = bodyAt(bytes, position);
      const bodyEnd = frameEnd(bytes, position);
      let bodyBytes = bodyEnd - body;
      position = bodyEnd;
      while (more) {
        more = ((bytes[position] as number) & MORE) !== 0;
        const end = frameEnd(bytes, position);
        bodyBytes += end - bodyAt(bytes, position);
        position = end;
      }
      visitor(bytes, body, bodyEnd, position, bodyBytes);
    }
  }

  refused(): Buffer[] {
    return this.#message(this.refusedAt, this.start);
  }

  messageAt(start: number, end: number): Buffer[] {
    this.#pin();
    return framesBetween(this.bytes, start, end);
  }

  /** Views of the remaining messages. */
  decode(): Buffer[][] {
    const messages: Buffer[][] = [];
    for (let position = this.start; position < this.end; ) {
      const end = skipMessages(this.bytes, position, 1);
      messages.push(this.#message(position, end));
      position = end;
    }
    return messages;
  }

  #message(start: number, end: number): Buffer[] {
    const frames = this.messageAt(start, end);
    return this.first === undefined ? frames : [Buffer.from(this.first), ...frames];
  }
}

export function framesBetween(bytes: Uint8Array, start: number, end: number): Buffer[] {
  const frames: Buffer[] = [];
  for (let position = start; position < end; ) {
    const body = bodyAt(bytes, position);
    const next = frameEnd(bytes, position);
    frames.push(slice(bytes.buffer, bytes.byteOffset + body, next - body));
    position = next;
  }
  return frames;
}

// --- Taking from the front -------------------------------------------------------------------------------------------

export function takeFront(batch: FrameBatch, count: number): number {
  if (count === batch.messages) {
    batch.start = batch.end;
    batch.messages = 0;
    batch.frames = 0;
    return batch.end;
  }
  const { bytes } = batch;
  let position = batch.start;
  for (let left = count; left > 0; ) {
    if (((bytes[position] as number) & MORE) === 0) left -= 1;
    const end = frameEnd(bytes, position);
    batch.frames -= 1;
    position = end;
  }
  batch.start = position;
  batch.messages -= count;
  return position;
}

/** @returns the messages at the front with equal first frames, at least 1 */
export function countSameRoutingId(batch: FrameBatch): number {
  const { bytes, start, end, messages } = batch;
  const length = frameEnd(bytes, start) - start;
  let position = skipMessages(bytes, start, 1);
  let count = 1;
  for (; count < messages; count++) {
    if (position + length > end) break;
    for (let i = 0; i < length; i++) if (bytes[position + i] !== bytes[start + i]) return count;
    position = skipMessages(bytes, position, 1);
  }
  return count;
}

/**
 * Strips the equal first frames of `count` messages. Later messages move left in place: `copyWithin` makes no
 * view, and costs a third of `set`.
 *
 * @returns the end of the messages; they begin after the first message's first frame
 */
export function takeStrippingRoutingId(batch: FrameBatch, count: number): number {
  const { bytes, start, messages } = batch;
  const length = frameEnd(bytes, start) - start;
  if (count === 1) return takeFront(batch, 1);
  let target = skipMessages(bytes, start, 1);
  let position = target;
  for (let i = 1; i < count; i++) {
    const body = position + length;
    const next = skipMessages(bytes, body, 1);
    bytes.copyWithin(target, body, next);
    target += next - body;
    position = next;
  }
  if (count < messages) {
    const { frames } = tallyOf(bytes, start + length, target);
    batch.frames -= count + frames;
  } else batch.frames = 0;
  batch.start = position;
  batch.messages -= count;
  return target;
}

// --- Encoding --------------------------------------------------------------------------------------------------------

export function encodeMessage(frames: readonly Uint8Array[], first: Uint8Array | undefined): FrameBatch {
  return encodeMessages([frames], first);
}

/** @param messages 1 or more */
export function encodeMessages(
  messages: readonly (readonly Uint8Array[])[],
  first: Uint8Array | undefined,
): FrameBatch {
  let size = 0;
  let bodyBytes = 0;
  let count = 0;
  let mostFrames = 0;
  for (const frames of messages) {
    count += frames.length;
    if (frames.length > mostFrames) mostFrames = frames.length;
    for (const { length } of frames) {
      size += (length <= MAX_SHORT ? SHORT_HEADER : LONG_HEADER) + length;
      bodyBytes += length;
    }
  }
  const bytes = allocate(size);
  let position = 0;
  for (const frames of messages) {
    for (let i = 0; i < frames.length; i++) {
      const frame = frames[i] as Uint8Array;
      position = writeHeader(bytes, position, i < frames.length - 1 ? MORE : 0, frame.length);
      bytes.set(frame, position);
      position += frame.length;
    }
  }
  const tally = { bodyBytes, frames: count, mostFrames };
  return new FrameBatch(bytes, 0, size, messages.length, tally, first);
}

export const BATCHES = { FrameBatch, encodeMessages };

export type Batches = typeof BATCHES;
