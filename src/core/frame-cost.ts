/**
 * What a frame costs in every budget of bytes. Each received frame is an object, and an empty one has 2 bytes on the wire: a budget that
 * counted its bytes alone would bound nothing.
 *
 *   cost of a frame = its bytes + its header on the wire (37/ZMTP, Framing) + FRAME_COST
 */
import { isBytes } from "./bytes.js";

/** Bytes that a frame counts in addition to those that it has on the wire. */
export const FRAME_COST = 64;

/** Frames of one message at most, empty ones included: a peer that sends more loses its connection. */
export const MAX_FRAMES = 65_536;
/** The same of a message that is to be passed on, behind frames of those that pass it on. */
export const MAX_FORWARDED_FRAMES = 65_472;

/** What a frame of so many bytes costs. */
export function frameCost(length: number): number {
  return length + (length <= 255 ? 2 : 9) + FRAME_COST;
}

/** What a message costs: a frame, or several. */
export function costOfMessage(message: Uint8Array | string | readonly (Uint8Array | string)[]): number {
  return typeof message === "string" || isBytes(message) ? costOf([message]) : costOf(message);
}

/** What frames cost together. @param start the first that counts */
export function costOf(frames: readonly (Uint8Array | string)[], start = 0): number {
  let cost = 0;
  for (let i = start; i < frames.length; i++) {
    const frame = frames[i] as Uint8Array | string;
    cost += frameCost(typeof frame === "string" ? Buffer.byteLength(frame) : frame.length);
  }
  return cost;
}
