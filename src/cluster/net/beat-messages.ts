/**
 * What a node and its thread of beats send each other.
 *
 *   event loop ──send, bus──> thread ──UDP──> …
 *              <──datagrams──
 *
 * Two blocks of shared memory: how many datagrams the event loop has handled, and of each bus what a ping is answered by.
 */
import type { DatagramOptions } from "./packet-socket.js";

/** Buses that have a place in the shared memory. */
export { MAX_BUSES } from "../bounds.js";

/** Datagrams that the event loop has not handled; beyond it they are dropped and counted. */
export const MAX_UNHANDLED = 4_096;

/** Numbers of a bus in shared memory, as Float64: a lock of its own is not needed, since `version` is odd while they change. */
export const BeatField = { VERSION: 0, ANSWERS: 1, START: 2, COUNT: 3, DIGEST: 4, LENGTH: 5 } as const;

export interface BeatThreadData {
  readonly options: DatagramOptions;
  /** Int32: datagrams handled, modulo 2^32. */
  readonly handled: SharedArrayBuffer;
  /** Float64, LENGTH for each bus. */
  readonly beats: SharedArrayBuffer;
}

export type ToBeatThread =
  | { readonly type: "send"; readonly bytes: Uint8Array; readonly host: string; readonly port: number }
  | { readonly type: "multicast"; readonly bytes: Uint8Array }
  | { readonly type: "interfaces"; readonly interfaces: readonly string[] }
  /** A bus, or its new keys. */
  | {
      readonly type: "bus";
      readonly index: number;
      readonly name: string;
      readonly id: string;
      readonly keys: readonly string[];
    }
  | { readonly type: "close" };

export interface Arrived {
  readonly bytes: Uint8Array;
  readonly host: string;
  readonly port: number;
  readonly byGroup: boolean;
}

export type FromBeatThread =
  | { readonly type: "open"; readonly hasGroup: boolean }
  /** The group was joined, or is not joined any more. */
  | { readonly type: "group"; readonly hasGroup: boolean }
  | { readonly type: "failed"; readonly code: string; readonly message: string }
  | { readonly type: "datagrams"; readonly datagrams: readonly Arrived[] }
  | { readonly type: "count"; readonly reason: string }
  | { readonly type: "closed" };
