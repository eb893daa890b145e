/**
 * Last message of a topic.
 *
 *   received ──set──> fresh: as it came ──settle──> settled: bytes in separate memory
 *                       ^                                             │
 *                       └──────────────────── set ────────────────────┘
 *
 * Received frames are views of a chunk that may be a thousand times larger. Copying is deferred, since a busy topic's
 * next message often comes first (value-cache.ts decides when).
 */

import { Link } from "../../core/collections/linked-list.js";
import { FRAME_COST } from "../../core/memory.js";
import { framesBetween } from "../../sockets/internal.js";

/** Spare bytes. */
const SMALL = 256;
const NO_BYTES: Buffer = Buffer.alloc(0);

/**
 * @param bytes of its frames
 * @param frames their number, without the topic
 */
export function valueSize(bytes: number, frames: number): number {
  return bytes + FRAME_COST * Math.max(0, frames - 1);
}

export class CachedValue {
  /** The topic. */
  readonly key: Buffer;
  /** The topic, one character per byte. */
  readonly name: string;
  readonly link: Link<CachedValue> = new Link<CachedValue>(this);
  order = 0;
  /** In the store, or about to be. */
  stored = false;
  /** Cost, by {@link valueSize}. */
  size = 0;
  /** As received; settled, in separate memory. */
  fresh = false;
  gone = false;
  /** After the topic; `undefined`: encoded, between two positions of `#bytes`. */
  #frames: readonly Buffer[] | undefined = undefined;
  #bytes: Uint8Array = NO_BYTES;
  #start = 0;
  #end = 0;
  /** Of encoded frames, used again. */
  #memory: Buffer = NO_BYTES;

  /** @param topic copied */
  constructor(topic: Uint8Array) {
    this.key = Buffer.from(topic);
    this.name = this.key.toString("latin1");
  }

  /** @param frames topic first */
  set(frames: readonly Buffer[]): void {
    this.#frames = frames.slice(1);
    this.#bytes = NO_BYTES;
    this.fresh = true;
  }

  /** Frames after the topic. */
  setEncoded(bytes: Uint8Array, start: number, end: number): void {
    this.#frames = undefined;
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    this.fresh = true;
  }

  settle(): void {
    if (!this.fresh) return;
    this.fresh = false;
    if (this.#frames !== undefined) {
      this.#frames = this.#frames.map(unpooled);
      return;
    }
    const length = this.#end - this.#start;
    if (length > this.#memory.length || this.#memory.length > 2 * length + SMALL)
      this.#memory = Buffer.allocUnsafe(length);
    this.#memory.set(this.#bytes.subarray(this.#start, this.#end));
    this.#bytes = this.#memory;
    this.#start = 0;
    this.#end = length;
  }

  /** Topic first: immutable bytes. */
  message(): Buffer[] {
    const frames = this.#frames ?? framesBetween(this.#bytes, this.#start, this.#end);
    // A socket may send it after the next update overwrites settled memory.
    return [this.key, ...(this.fresh ? frames : frames.map((frame) => Buffer.from(frame)))];
  }
}

/** Node.js's pool would be kept as a whole. */
function unpooled(frame: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(frame.length);
  frame.copy(copy);
  return copy;
}
