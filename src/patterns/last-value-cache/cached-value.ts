/**
 * One topic's last message.
 *
 *   received ──set──> fresh: as it came ──settle──> settled: bytes in memory of its own
 *                       ^                                             │
 *                       └──────────────────── set ────────────────────┘
 *
 * Frames that came over the network are views of a chunk that may be a thousand
 * times their size, so they cannot be kept for long. They are not copied at once
 * either: a busy topic's next message comes first (value-cache.ts says when).
 */

import { Link } from "../../core/collections/linked-list.js";
import { FRAME_COST } from "../../core/frame-cost.js";
import { framesBetween } from "../../sockets/relay.js";

/** Bytes of spare memory that a value may always keep. */
const SMALL = 256;

/**
 * What a value counts for: empty frames take memory, too.
 *
 * @param bytes of its frames
 * @param frames how many they are, without the topic
 */
export function valueSize(bytes: number, frames: number): number {
  return bytes + FRAME_COST * Math.max(0, frames - 1);
}

export class CachedValue {
  /** The topic, one character a byte. */
  readonly key: string;
  readonly topic: Buffer;
  readonly link: Link<CachedValue> = new Link<CachedValue>(this);
  /** The number of its last update among all updates. */
  order = 0;
  /** What the frames after the topic count for ({@link valueSize}). */
  size = 0;
  /** Changed since it was last written to the store. */
  dirty = false;
  /** The store has it, or will have. */
  stored = false;
  /** As received, frames or where the frames after the topic are among a chunk's bytes; both `undefined`: settled. */
  #frames: readonly Buffer[] | undefined = undefined;
  #bytes: Uint8Array | undefined = undefined;
  #start = 0;
  #end = 0;
  /** The cache has forgotten it. */
  gone = false;
  /** Lengths of the frames after the topic. */
  #lengths: number[] = [];
  #memory: Buffer = Buffer.alloc(0);

  constructor(key: string) {
    this.key = key;
    this.topic = Buffer.from(key, "latin1");
  }

  /** Whether it is not settled. */
  get fresh(): boolean {
    return this.#frames !== undefined || this.#bytes !== undefined;
  }

  /** A message came. @param frames topic first */
  set(frames: readonly Buffer[]): void {
    this.#frames = frames;
    this.#bytes = undefined;
  }

  /** The same, of a message as it came: its frames after the topic. */
  setEncoded(bytes: Uint8Array, start: number, end: number): void {
    this.#frames = undefined;
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
  }

  /** Copies what was received, into the memory it has where that fits. */
  settle(): void {
    const frames = this.#received();
    if (frames === undefined) return;
    this.#frames = undefined;
    this.#bytes = undefined;
    const length = this.size - valueSize(0, frames.length - 1);
    if (length > this.#memory.length || this.#memory.length > 2 * length + SMALL)
      this.#memory = Buffer.allocUnsafe(length);
    // Setting an array's length is slow, and it is nearly always the same.
    if (this.#lengths.length !== frames.length - 1) this.#lengths.length = frames.length - 1;
    for (let i = 1, at = 0; i < frames.length; i++) {
      const frame = frames[i] as Buffer;
      this.#memory.set(frame, at);
      at += frame.length;
      this.#lengths[i - 1] = frame.length;
    }
  }

  /** The message, topic first, for a socket: bytes that will not change. */
  message(): Buffer[] {
    const received = this.#received();
    if (received !== undefined) return received;
    const frames: Buffer[] = [this.topic];
    let at = 0;
    for (const length of this.#lengths) {
      // A copy: a socket may send it later, and the next update rewrites this memory.
      frames.push(Buffer.from(this.#memory.subarray(at, at + length)));
      at += length;
    }
    return frames;
  }

  /** What is not settled yet, topic first. */
  #received(): Buffer[] | undefined {
    if (this.#frames !== undefined) return [...this.#frames];
    if (this.#bytes === undefined) return undefined;
    const frames = framesBetween(this.#bytes, this.#start, this.#end);
    frames.unshift(this.topic);
    return frames;
  }
}
