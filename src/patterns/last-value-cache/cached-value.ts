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
import { FRAME_COST } from "../../core/frame-cost.js";
import { framesBetween } from "../../sockets/internal.js";

/** Spare bytes. */
const SMALL = 256;

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
  /** As received; both `undefined` when settled. */
  #frames: readonly Buffer[] | undefined = undefined;
  #bytes: Uint8Array | undefined = undefined;
  #start = 0;
  #end = 0;
  gone = false;
  /** Lengths of the frames after the topic. */
  #lengths: number[] = [];
  #memory: Buffer = Buffer.alloc(0);

  /** @param topic copied */
  constructor(topic: Uint8Array) {
    this.key = Buffer.from(topic);
    this.name = this.key.toString("latin1");
  }

  get fresh(): boolean {
    return this.#frames !== undefined || this.#bytes !== undefined;
  }

  /** @param frames topic first */
  set(frames: readonly Buffer[]): void {
    this.#frames = frames;
    this.#bytes = undefined;
  }

  /** Frames after the topic. */
  setEncoded(bytes: Uint8Array, start: number, end: number): void {
    this.#frames = undefined;
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
  }

  settle(): void {
    const frames = this.#received();
    if (frames === undefined) return;
    this.#frames = undefined;
    this.#bytes = undefined;
    const length = this.size - valueSize(0, frames.length - 1);
    if (length > this.#memory.length || this.#memory.length > 2 * length + SMALL)
      this.#memory = Buffer.allocUnsafe(length);
    // Setting the length is slow.
    if (this.#lengths.length !== frames.length - 1) this.#lengths.length = frames.length - 1;
    for (let i = 1, at = 0; i < frames.length; i++) {
      const frame = frames[i] as Buffer;
      this.#memory.set(frame, at);
      at += frame.length;
      this.#lengths[i - 1] = frame.length;
    }
  }

  /** Topic first: immutable bytes. */
  message(): Buffer[] {
    const received = this.#received();
    if (received !== undefined) return received;
    const frames: Buffer[] = [this.key];
    let at = 0;
    for (const length of this.#lengths) {
      // A socket may send it after the next update overwrites this memory.
      frames.push(Buffer.from(this.#memory.subarray(at, at + length)));
      at += length;
    }
    return frames;
  }

  /** Unsettled frames, topic first. */
  #received(): Buffer[] | undefined {
    if (this.#frames !== undefined) return [...this.#frames];
    if (this.#bytes === undefined) return undefined;
    const frames = framesBetween(this.#bytes, this.#start, this.#end);
    frames.unshift(this.key);
    return frames;
  }
}
