/**
 * Chooses the next channel to send a frame. Pure.
 *
 * Channels of one urgency take turns, frame by frame. More urgent levels go first, but a less urgent one gets a turn
 * after every `STARVATION_BYTES`.
 */
import { RingBuffer } from "../core/collections/ring-buffer.js";
import { STARVATION_BYTES, URGENCIES } from "./frames.js";

export interface Scheduled {
  /** 0 goes first. */
  readonly urgency: number;
  isQueued: boolean;
}

export class FairScheduler<T extends Scheduled> {
  readonly #levels: RingBuffer<T>[] = [];
  /** Bytes of more urgent levels while the level waits. */
  readonly #waited: number[] = [];
  length = 0;

  constructor() {
    for (let i = 0; i < URGENCIES; i++) {
      this.#levels.push(new RingBuffer<T>(2));
      this.#waited.push(0);
    }
  }

  /** Repeated calls have no effect. */
  add(entry: T): void {
    if (entry.isQueued) return;
    entry.isQueued = true;
    (this.#levels[entry.urgency] as RingBuffer<T>).push(entry);
    this.length += 1;
  }

  take(): T | undefined {
    if (this.length === 0) return undefined;
    const entry = (this.#levels[this.#nextLevel()] as RingBuffer<T>).shift() as T;
    entry.isQueued = false;
    this.length -= 1;
    return entry;
  }

  charge(urgency: number, bytes: number): void {
    this.#waited[urgency] = 0;
    for (let level = urgency + 1; level < URGENCIES; level++) {
      const waits = (this.#levels[level] as RingBuffer<T>).length > 0;
      this.#waited[level] = waits ? (this.#waited[level] as number) + bytes : 0;
    }
  }

  #nextLevel(): number {
    let first = -1;
    for (let level = 0; level < URGENCIES; level++) {
      if ((this.#levels[level] as RingBuffer<T>).length === 0) continue;
      if (first < 0) first = level;
      else if ((this.#waited[level] as number) >= STARVATION_BYTES) return level;
    }
    return first;
  }
}
