/**
 * The cost of a frame in every byte budget: its bytes + its header on the wire (37/ZMTP, Framing) +
 * FRAME_COST
 */
import { isBytes } from "./bytes.js";

/** Bytes added to those on the wire. */
export const FRAME_COST = 64;

/** Per message, empty ones included. */
export const MAX_FRAMES = 65_536;
/** Leaves room for routing frames. */
export const MAX_FORWARDED_FRAMES = 65_472;

export function frameCost(length: number): number {
  return length + (length <= 255 ? 2 : 9) + FRAME_COST;
}

export function costOfMessage(message: Uint8Array | string | readonly (Uint8Array | string)[]): number {
  return typeof message === "string" || isBytes(message) ? costOf([message]) : costOf(message);
}

export function costOf(frames: readonly (Uint8Array | string)[], start = 0): number {
  let cost = 0;
  for (let i = start; i < frames.length; i++) {
    const frame = frames[i] as Uint8Array | string;
    cost += frameCost(typeof frame === "string" ? Buffer.byteLength(frame) : frame.length);
  }
  return cost;
}
