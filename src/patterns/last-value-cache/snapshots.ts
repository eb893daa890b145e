/**
 * What newcomers are owed: for each subscription the values beneath its prefix, a
 * piece at a time, so that live messages pass between the pieces. Pure.
 *
 *   request(prefix) ──> waiting ──step──> under way ──step──> … ──> done
 *                         │
 *                         └── the same prefix again: one for both
 *
 * A value is read when it is sent, and what is live was sent before it. So nobody
 * gets an older value after a newer one, whatever changes meanwhile.
 */
import type { CachedValue } from "./cached-value.js";

/** Where values come from. */
export interface SnapshotSource {
  beneath(prefix: string, last: string | undefined, max: number): CachedValue[];
}

/** What becomes of a snapshot. */
export interface SnapshotOutbox {
  /** The message is the socket's from now on. */
  send(message: Buffer[]): void;
  done(prefix: Buffer, topics: number): void;
}

/** Accounts of snapshots. */
export interface SnapshotStats {
  /** Subscriptions whose values are still to be sent. */
  readonly waiting: number;
  /** Subscriptions that came while one for the same prefix waited: served together. */
  readonly merged: number;
  readonly done: number;
  /** Values sent, over all snapshots. */
  readonly values: number;
}

interface Snapshot {
  readonly prefix: string;
  last: string | undefined;
  topics: number;
}

export class Snapshots {
  readonly #source: SnapshotSource;
  readonly #outbox: SnapshotOutbox;
  readonly #max: number;
  /** By prefix, in the order of their subscriptions: those that have not begun. */
  readonly #waiting = new Map<string, Snapshot>();
  #current: Snapshot | undefined;
  #merged = 0;
  #done = 0;
  #values = 0;

  /** @param max snapshots that may wait */
  constructor(source: SnapshotSource, outbox: SnapshotOutbox, max: number) {
    this.#source = source;
    this.#outbox = outbox;
    this.#max = max;
  }

  /** How many more subscriptions it takes now. */
  get room(): number {
    return this.#max - this.#waiting.size;
  }

  /** Whether `step` has something to do. */
  get busy(): boolean {
    return this.#current !== undefined || this.#waiting.size > 0;
  }

  request(prefix: string): void {
    if (this.#waiting.has(prefix)) this.#merged += 1;
    else this.#waiting.set(prefix, { prefix, last: undefined, topics: 0 });
  }

  /** Sends up to `max` values. */
  step(max: number): void {
    for (let left = max; left > 0 && this.busy; ) {
      const snapshot = this.#current ?? this.#next();
      const values = this.#source.beneath(snapshot.prefix, snapshot.last, left);
      for (const value of values) this.#outbox.send(value.message());
      snapshot.topics += values.length;
      this.#values += values.length;
      snapshot.last = values.at(-1)?.key ?? snapshot.last;
      if (values.length === left) return;
      // A look that finds nothing is work, too.
      left -= values.length + 1;
      this.#current = undefined;
      this.#done += 1;
      this.#outbox.done(Buffer.from(snapshot.prefix, "latin1"), snapshot.topics);
    }
  }

  stats(): SnapshotStats {
    const waiting = this.#waiting.size + (this.#current === undefined ? 0 : 1);
    return { waiting, merged: this.#merged, done: this.#done, values: this.#values };
  }

  #next(): Snapshot {
    const snapshot = this.#waiting.values().next().value as Snapshot;
    this.#waiting.delete(snapshot.prefix);
    this.#current = snapshot;
    return snapshot;
  }
}
