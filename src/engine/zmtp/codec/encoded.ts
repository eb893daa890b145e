/** Messages that pass undecoded: taken apart at their front, and put together where they came in pieces. Pure. */
import { EncodedMessages } from "../../encoded.js";
import { behind, bodyAt, bodyBytes, frameEnd } from "./borders.js";
import { LONG_HEADER, MAX_SHORT, MORE, SHORT_HEADER, writeHeader } from "./frame.js";
import { allocate } from "./memory.js";

/** Takes `count` messages off the front. @returns where they end */
export function cutFront(run: EncodedMessages, count: number): number {
  if (count === run.messages) {
    run.start = run.end;
    run.messages = 0;
    return run.end;
  }
  const { bytes } = run;
  let position = run.start;
  for (let left = count; left > 0; ) {
    if (((bytes[position] as number) & MORE) === 0) left -= 1;
    const end = frameEnd(bytes, position);
    run.takenBytes += end - bodyAt(bytes, position);
    position = end;
  }
  run.start = position;
  run.messages -= count;
  return position;
}

/** How many messages in a row, 1 or more, have the same first frame as the one in front. */
export function sameFirst(run: EncodedMessages): number {
  const { bytes, start, end, messages } = run;
  const length = frameEnd(bytes, start) - start;
  let position = behind(bytes, start, 1);
  let count = 1;
  for (; count < messages; count++) {
    if (position + length > end) break;
    for (let i = 0; i < length; i++) if (bytes[position + i] !== bytes[start + i]) return count;
    position = behind(bytes, position, 1);
  }
  return count;
}

/**
 * Takes `count` messages off the front, and the first frame off each, where that is the same of all. What is behind
 * the first of them moves to the left in its own memory, so that they are one stretch.
 *
 * `copyWithin` makes no view and so costs a third of `set` (docs/performance.md).
 *
 * @returns where that stretch ends; it begins behind the first frame of the first message
 */
export function cutWithoutFirst(run: EncodedMessages, count: number): number {
  const { bytes, start, messages } = run;
  const length = frameEnd(bytes, start) - start;
  if (count === 1) return cutFront(run, 1);
  let target = behind(bytes, start, 1);
  let position = target;
  for (let i = 1; i < count; i++) {
    const body = position + length;
    const next = behind(bytes, body, 1);
    bytes.copyWithin(target, body, next);
    target += next - body;
    position = next;
  }
  // What the bodies come to is wanted only where not all of the run has gone.
  if (count < messages) {
    const ids = count * (start + length - bodyAt(bytes, start));
    run.takenBytes += ids + bodyBytes(bytes, start + length, target);
  }
  run.start = position;
  run.messages -= count;
  return target;
}

/** One message, encoded in memory of its own. @param first a frame to think in front of it */
export function encodeMessage(frames: readonly Uint8Array[], first: Uint8Array | undefined): EncodedMessages {
  let size = 0;
  let bodyBytes = 0;
  for (const { length } of frames) {
    size += (length <= MAX_SHORT ? SHORT_HEADER : LONG_HEADER) + length;
    bodyBytes += length;
  }
  const bytes = allocate(size);
  let position = 0;
  for (let i = 0; i < frames.length; i++) {
    const frame = frames[i] as Uint8Array;
    position = writeHeader(bytes, position, i < frames.length - 1 ? MORE : 0, frame.length);
    bytes.set(frame, position);
    position += frame.length;
  }
  const tally = { bodyBytes, mostFrames: frames.length };
  return new EncodedMessages(bytes, 0, size, 1, tally, first);
}
