/** Takes messages off the front of a batch, and encodes messages as batches. Pure. */

import { allocate } from "../../../core/memory.js";
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
} from "../../frame.js";
import { FrameBatch } from "../../frame-batch.js";

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
    batch.takenBytes += end - bodyAt(bytes, position);
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
    const ids = count * (start + length - bodyAt(bytes, start));
    const { bodyBytes, frames } = tallyOf(bytes, start + length, target);
    batch.takenBytes += ids + bodyBytes;
    batch.frames -= count + frames;
  } else batch.frames = 0;
  batch.start = position;
  batch.messages -= count;
  return target;
}

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
