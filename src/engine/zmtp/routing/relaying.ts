/** Relays messages in wire format between sockets without decoding them (sockets/pump.ts). */
import { keyOf, slice } from "../../../core/memory.js";
import { OfferResult, type RelaySink, type RelaySource } from "../../engine.js";
import { bodyAt, frameEnd, MORE, SHORT_HEADER, skipMessages, tallyOf } from "../../frame.js";
import {
  BATCHES,
  countSameRoutingId,
  encodeMessage,
  type FrameBatch,
  takeFront,
  takeStrippingRoutingId,
} from "../../frame-batch.js";
import { type Encoder, SLAB_SIZE } from "../codec/encoder.js";
import type { RefCounted } from "../codec/pooled-buffer.js";
import type { Pipe } from "../pipe.js";
import type { FairQueue, FanOutEffects, FanOuts, LoadBalancer } from "./queues.js";

/** Bytes from which messages are passed by reference. */
const BY_REFERENCE = 4_096;

/** At most one chunk each time. @param named prepends the pipe's routing id */
function fairSource(queue: FairQueue, named = false): RelaySource {
  return {
    takeBatch(max) {
      const pipe = queue.next();
      if (pipe === undefined) return undefined;
      const batch = pipe.takeBatch(BATCHES, max, named ? pipe.routingId : undefined);
      queue.advance(pipe);
      return batch;
    },
  };
}

export interface SourceFilter {
  found(): Buffer[] | undefined;
  wantsAll(): boolean;
  wants(bytes: Uint8Array, start: number, end: number): boolean;
}

function filteredSource(queue: FairQueue, filter: SourceFilter): RelaySource {
  const source = fairSource(queue);
  const wants = (bytes: Uint8Array, start: number, end: number): boolean => filter.wants(bytes, start, end);
  return {
    takeBatch(max) {
      const found = filter.found();
      if (found !== undefined) return encodeMessage(found, undefined);
      for (;;) {
        const batch = source.takeBatch(max);
        if (batch === undefined || filter.wantsAll()) return batch;
        const filtered = batch.filter(wants);
        if (filtered !== batch) batch.release(); // The filtered batch is a copy.
        if (filtered !== undefined) return filtered;
      }
    },
  };
}

/** Distributes over pipes in turn, or sends a batch to the only pipe with room. */
function balancedSink(out: Pick<LoadBalancer, "next" | "alone" | "advance">): RelaySink {
  return {
    offerBatch(batch) {
      while (batch.messages > 0) {
        const pipe = out.next();
        if (pipe === undefined) return OfferResult.Mute;
        const { alone } = out;
        out.advance();
        // With `conflate` there is always room, but no mark to report it.
        sendFront(pipe, batch, alone && sendsAtOnce(batch) ? Math.max(1, pipe.roomFor(batch.messages)) : 1);
      }
      return OfferResult.Accepted;
    },
  };
}

/** Consecutive messages to one peer are sent together. */
function routedSink(byId: ReadonlyMap<string, Pipe>): RelaySink {
  return {
    offerBatch(batch) {
      const { bytes, first, pooled, own } = batch;
      while (batch.messages > 0) {
        // The id is the batch's `first` frame, or the first frame of each message.
        const { start } = batch;
        const rest = first === undefined ? frameEnd(bytes, start) : start;
        const pipe = byId.get(first === undefined ? keyOf(bytes, bodyAt(bytes, start), rest) : keyOf(first));
        const addressed = first !== undefined || ((bytes[start] as number) & MORE) !== 0;
        const same = first !== undefined ? batch.messages : own && addressed ? countSameRoutingId(batch) : 1;
        const fitting = addressed ? (pipe?.roomFor(same) ?? 0) : 0;
        if (pipe === undefined || fitting === 0) {
          batch.refusedAt = start;
          takeFront(batch, 1);
          return pipe === undefined || !addressed ? OfferResult.Unroutable : OfferResult.PeerFull;
        }
        const before = batch.frames;
        const end = first === undefined ? takeStrippingRoutingId(batch, fitting) : takeFront(batch, fitting);
        const frames = before - batch.frames - (first === undefined ? fitting : 0);
        sendRange(pipe, { bytes, start: rest, end, count: fitting, frames, memory: pooled });
      }
      return OfferResult.Accepted;
    },
  };
}

export interface Matching {
  /** @param matched gets the pipes, unless another list has them */
  match(first: Uint8Array, matched: Pipe[]): readonly Pipe[];
  readonly isUniform: boolean;
}

/** Consecutive messages with the same subscribers are sent together. */
function publishedSink(matching: Matching, fanOuts: FanOuts, effects: FanOutEffects): RelaySink {
  const matchAt = (bytes: Uint8Array, position: number, into: Pipe[]): readonly Pipe[] => {
    const body = bodyAt(bytes, position);
    return matching.match(
      slice(bytes.buffer, bytes.byteOffset + body, frameEnd(bytes, position) - body),
      into,
    );
  };
  return {
    offerBatch(batch) {
      const { bytes } = batch;
      const fanOut = fanOuts.begin();
      try {
        while (batch.messages > 0) {
          const { start } = batch;
          let matched = matchAt(bytes, start, fanOut.pipes);
          let count = 1;
          if (matching.isUniform) count = batch.messages;
          else if (batch.messages > 1) {
            matched = [...matched];
            let next = skipMessages(bytes, start, 1);
            while (count < batch.messages && isSame(matched, matchAt(bytes, next, fanOut.pipes))) {
              count += 1;
              next = skipMessages(bytes, next, 1);
            }
          }
          if (effects.options.noDrop) {
            for (const pipe of matched) count = Math.min(count, pipe.roomFor(count));
            if (count === 0) return OfferResult.Mute;
          }
          const before = batch.frames;
          const end = takeFront(batch, count);
          const range = { bytes, start, end, count, frames: before - batch.frames, memory: batch.pooled };
          sendToAll(range, matched, fanOut.encoder, effects);
        }
        return OfferResult.Accepted;
      } finally {
        fanOuts.end(fanOut);
      }
    },
  };
}

/** With a frame to prepend, one piece pays only for small messages. */
function sendsAtOnce({ first, start, end, messages }: FrameBatch): boolean {
  if (first === undefined) return true;
  const size = end - start + messages * (first.length + SHORT_HEADER);
  return size <= SLAB_SIZE && end - start < messages * BY_REFERENCE;
}

function sendFront(pipe: Pipe, batch: FrameBatch, count: number): void {
  const { bytes, start, first, pooled, frames } = batch;
  const end = takeFront(batch, count);
  sendRange(pipe, { bytes, start, end, count, frames: frames - batch.frames, memory: pooled }, first);
}

/** @param first a frame to prepend; for several messages only if `sendsAtOnce` */
function sendRange(pipe: Pipe, range: EncodedRange, first?: Uint8Array): void {
  const { bytes, start, end, count, frames, memory } = range;
  const { out, encoder } = pipe;
  if (first === undefined && end - start >= BY_REFERENCE) {
    out.addRange(bytes, start, end, count, frames, memory);
    pipe.queuedMore(count);
    return;
  }
  if (first === undefined || count === 1) encoder.encodeRange(bytes, start, end, frames, first, memory);
  else encoder.encodeEach(bytes, start, end, count, frames, first);
  pipe.sendEncoded(encoder, count);
}

interface EncodedRange {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly count: number;
  readonly frames: number;
  readonly memory: RefCounted | undefined;
}

/**
 * Drops and reports messages without room. Small ones share one encoder, so that neighbours become one write.
 */
function sendToAll(
  range: EncodedRange,
  pipes: readonly Pipe[],
  encoder: Encoder,
  effects: FanOutEffects,
): void {
  const { bytes, start, end, count, frames, memory } = range;
  const shared = pipes.length > 1 && end - start < BY_REFERENCE;
  if (shared) encoder.encodeRange(bytes, start, end, frames, undefined, memory);
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
        const ofThese = fitting === count ? frames : tallyOf(bytes, from, to).frames;
        sendRange(pipe, { bytes, start: from, end: to, count: fitting, frames: ofThese, memory });
        from = to;
      }
      left -= fitting;
    }
  }
  // Last, because a listener may publish: its message comes after these.
  if (missed !== undefined) for (const [pipe, left] of missed) effects.dropped("peer-full", left, pipe);
}

function isSame(one: readonly Pipe[], other: readonly Pipe[]): boolean {
  if (one.length !== other.length) return false;
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false;
  return true;
}

export const RELAYS = {
  fairSource,
  filteredSource,
  balancedSink,
  routedSink,
  publishedSink,
};

export type Relays = typeof RELAYS;
