/** Where frames and messages begin and end, among bytes that have been checked (37/ZMTP, Framing). Pure. */
import { LONG, LONG_HEADER, MORE, readLongSize, SHORT_HEADER } from "./frame.js";

/** Where the body of the frame at `position` begins. */
export function bodyAt(bytes: Uint8Array, position: number): number {
  return position + (((bytes[position] as number) & LONG) === 0 ? SHORT_HEADER : LONG_HEADER);
}

/** Where the frame at `position` ends. */
export function frameEnd(bytes: Uint8Array, position: number): number {
  if (((bytes[position] as number) & LONG) === 0)
    return position + SHORT_HEADER + (bytes[position + 1] as number);
  return position + LONG_HEADER + readLongSize(bytes, position + 1);
}

/** The position after `count` messages that begin at `start`. */
export function skipMessages(bytes: Uint8Array, start: number, count: number): number {
  let position = start;
  let left = count;
  while (left > 0) {
    if (((bytes[position] as number) & MORE) === 0) left -= 1;
    position = frameEnd(bytes, position);
  }
  return position;
}

/** Bytes of the bodies of the frames from `start` to `end`. */
export function bodyBytes(bytes: Uint8Array, start: number, end: number): number {
  let sum = 0;
  for (let position = start; position < end; ) {
    const next = frameEnd(bytes, position);
    sum += next - bodyAt(bytes, position);
    position = next;
  }
  return sum;
}
