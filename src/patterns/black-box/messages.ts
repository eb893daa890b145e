/**
 * The messages between the threads of a Black Box.
 *
 *          control                    batches
 *   main <─────────> receiver thread ────────────> worker thread, one a shard
 *     ^                              <────────────     │
 *     │                                finished        │
 *     └────────── ready, failed handlers ──────────────┘
 *
 * A batch is an ArrayBuffer (batch.ts), transferred; its answer is the number of messages that failed.
 */
import type { MessagePort } from "node:worker_threads";
import type { SubscriberOptions } from "../../sockets/pub-sub.js";
import type { SocketStats } from "../../sockets/stats.js";
import type { PlainError } from "../kit/plain-error.js";
import type { BlackBoxShardKey, BoxRulesOptions, BoxRulesStats, Drops } from "./rules.js";

/** What a worker thread counts of its messages, modulo 2³², in memory that the receiver sees: where each number is. */
export const Progress = { BEGUN: 0, FINISHED: 1, FAILED: 2, LENGTH: 3 } as const;

/** What the receiver thread begins with. */
export interface ReceiverData {
  readonly rules: BoxRulesOptions;
  readonly key: BlackBoxShardKey | undefined;
  readonly engine: string | undefined;
  readonly socketOptions: Omit<SubscriberOptions, "context" | "codec" | "authenticate">;
  readonly bind: readonly string[];
  readonly connect: readonly string[];
  /** Whether it connects to what a source has, too: to the lists that the main thread posts. */
  readonly hasSource: boolean;
  readonly subscribe: readonly (string | Uint8Array)[];
}

/** To the receiver thread. */
export type ToReceiver =
  /** Open the socket and read: all threads are up. */
  | { readonly type: "start" }
  /** A shard has a thread: its port, and where it counts ({@link Progress}). */
  | {
      readonly type: "up";
      readonly shard: number;
      readonly port: MessagePort;
      readonly progress: Uint32Array;
    }
  | { readonly type: "down"; readonly shard: number }
  | { readonly type: "stats" }
  /** What the source has now. */
  | { readonly type: "endpoints"; readonly endpoints: readonly string[] }
  /** Read nothing more, and report when everything that was read is handled. */
  | { readonly type: "drain" }
  /** ms for what was read to be handled; negative: no limit. */
  | { readonly type: "close"; readonly linger: number };

/** The receiver's statistics. */
export interface ReceiverStats extends BoxRulesStats {
  readonly socket: SocketStats;
  /** Messages that the SUB still had when it closed. */
  readonly unread: number;
}

/** From the receiver thread. */
export type FromReceiver =
  /** The socket is open; `endpoint` as its `lastEndpoint`. */
  | { readonly type: "open"; readonly endpoint: string | null }
  | { readonly type: "refused"; readonly error: PlainError }
  /** An endpoint of the source cannot be connected to. */
  | { readonly type: "endpoint:refused"; readonly endpoint: string; readonly error: PlainError }
  | { readonly type: "drained" }
  | { readonly type: "lost"; readonly shard: number; readonly messages: number }
  | { readonly type: "drops"; readonly drops: readonly Drops[] }
  | { readonly type: "peer:joined" | "peer:left"; readonly address: string }
  | { readonly type: "stats" | "closed"; readonly stats: ReceiverStats };

/** What a worker thread begins with. */
export interface WorkerData {
  /** URL of the user's module. */
  readonly module: string;
  readonly shard: number;
  readonly shards: number;
  readonly data: unknown;
  readonly port: MessagePort;
  readonly progress: Uint32Array;
}

/** From a worker thread to the main one. */
export type FromWorker =
  | { readonly type: "ready" }
  /** The module cannot be used. */
  | { readonly type: "unusable"; readonly error: PlainError }
  /** The first of `messages` that failed since the last such message. */
  | {
      readonly type: "failed";
      readonly messages: number;
      readonly topic: Uint8Array;
      readonly error: PlainError;
    };

/** To a worker thread from the main one: no batch comes any more. */
export const CLOSE = "close";

/**
 * Messages on their way from one thread to another: one ArrayBuffer a batch, which is handed over, not copied.
 *
 *   offset  bytes
 *        0      4  n, how many messages
 *   then for each message
 *        0      4  f, how many frames
 *        4    4 f  their lengths
 *            …     the frames, one after the other
 *
 * Numbers are little-endian: both ends are threads of one process.
 */

export function pack(messages: readonly (readonly Buffer[])[]): ArrayBuffer {
  let total = 4 + 4 * messages.length;
  for (const frames of messages) for (const { length } of frames) total += 4 + length;
  // A pool would hand out pieces of a buffer that others use: this one is to be given away.
  const memory = new ArrayBuffer(total);
  const target = Buffer.from(memory);
  let offset = target.writeUInt32LE(messages.length, 0);
  for (let m = 0; m < messages.length; m++) {
    const frames = messages[m] as readonly Buffer[];
    offset = target.writeUInt32LE(frames.length, offset);
    for (let i = 0; i < frames.length; i++)
      offset = target.writeUInt32LE((frames[i] as Buffer).length, offset);
    for (let i = 0; i < frames.length; i++) {
      const frame = frames[i] as Buffer;
      target.set(frame, offset);
      offset += frame.length;
    }
  }
  return memory;
}

/** Takes the messages of a batch out, one by one; their frames are views of its memory. */
export class Unpacker {
  readonly #source: Buffer;
  #left: number;
  #offset = 4;

  constructor(memory: ArrayBuffer) {
    this.#source = Buffer.from(memory);
    this.#left = this.#source.readUInt32LE(0);
  }

  next(): Buffer[] | undefined {
    if (this.#left === 0) return undefined;
    this.#left -= 1;
    const source = this.#source;
    const count = source.readUInt32LE(this.#offset);
    let lengths = this.#offset + 4;
    let offset = lengths + 4 * count;
    const frames = new Array<Buffer>(count);
    for (let i = 0; i < count; i++) {
      const end = offset + source.readUInt32LE(lengths);
      frames[i] = source.subarray(offset, end);
      lengths += 4;
      offset = end;
    }
    this.#offset = offset;
    return frames;
  }
}
