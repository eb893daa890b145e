/** Messages that pass undecoded: taken apart at their front, and put together where they came in pieces. Pure. */
import { EncodedMessages } from "../../encoded.js";
import { behind } from "./borders.js";
import { LONG_HEADER, MAX_SHORT, MORE, SHORT_HEADER, writeHeader } from "./frame.js";

/** Takes `count` messages off the front. @returns where they end */
export function cutFront(run: EncodedMessages, count: number): number {
  const end = count === run.messages ? run.end : behind(run.bytes, run.start, count);
  run.start = end;
  run.messages -= count;
  return end;
}

/** One message, encoded in memory of its own. @param first a frame to think in front of it */
export function encodeMessage(frames: readonly Uint8Array[], first: Uint8Array | undefined): EncodedMessages {
  let size = 0;
  let bodyBytes = 0;
  for (const { length } of frames) {
    size += (length <= MAX_SHORT ? SHORT_HEADER : LONG_HEADER) + length;
    bodyBytes += length;
  }
  const bytes = Buffer.allocUnsafeSlow(size);
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
