/**
 * Several messages that are encoded already, to several pipes at once: large ones
 * by reference, small ones through one encoder, so that neighbours become one write.
 */
import { skipMessages } from "../../frame-scan.js";
import type { Encoder } from "../codec/encoder.js";
import type { RefCounted } from "../codec/pooled-buffer.js";
import { BY_REFERENCE, type Pipe } from "../pipe.js";
import type { RoutingHost } from "./routing.js";

export interface EncodedRange {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  /** Messages in it. */
  readonly count: number;
  /** Where the bytes are, if it is used again. */
  readonly memory: RefCounted | undefined;
}

/** To each pipe as many of them, from the first on, as fit; the others are dropped for that pipe, and reported. */
export function fanOut(
  range: EncodedRange,
  pipes: readonly Pipe[],
  encoder: Encoder,
  host: RoutingHost,
): void {
  const { bytes, start, end, count, memory } = range;
  const shared = pipes.length > 1 && end - start < BY_REFERENCE;
  if (shared) encoder.encodeRange(bytes, start, end, undefined, memory);
  let missed: [Pipe, number][] | undefined;
  for (let i = 0; i < pipes.length; i++) {
    const pipe = pipes[i] as Pipe;
    let left = count;
    for (let from = start; left > 0; ) {
      const fitting = pipe.roomFor(left);
      if (fitting === 0) {
        missed ??= [];
        missed.push([pipe, left]);
        break;
      }
      if (shared && fitting === count) pipe.sendEncoded(encoder, count);
      else {
        const to = fitting === left ? end : skipMessages(bytes, from, fitting);
        pipe.sendRange(bytes, from, to, fitting, undefined, memory);
        from = to;
      }
      left -= fitting;
    }
  }
  // Last: a listener of the drop may publish, and the encoder is one for all messages.
  if (missed !== undefined) for (const [pipe, left] of missed) host.routingOnDrop("peer-full", pipe, left);
}

/** Whether both lists have the same pipes in the same order. */
export function isSame(one: readonly Pipe[], other: readonly Pipe[]): boolean {
  if (one.length !== other.length) return false;
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false;
  return true;
}
