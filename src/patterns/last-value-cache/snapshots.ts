/**
 * Values owed to late joiners: per subscription those under its prefix, in pieces, so that live messages pass in
 * between. Pure.
 *
 *   request ──> waiting ──step──> in flight ──step──> … ──> done
 *                  │                 │ ^
 *                  │             full│ │ready
 *                  │                 v │
 *                  │              parked: its joiner has no room, the others go on
 *                  └── the same joiner and prefix again: one for both
 *
 * Late joiners take turns, one piece each. Leaving or unsubscribing ends a snapshot. An engine without addresses of
 * subscribers has one joiner for all.
 *
 * Values are read when sent, after earlier live messages: no subscriber gets an older value after a newer one.
 */
import { RingBuffer } from "../../core/collections/queues.js";
import type { LAST_VALUE_CACHE } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import type { CachedValue, ValueCache } from "./value-cache.js";

/** Prefixes of a parked joiner before cancelled ones are removed. */
const MIN_PRUNE = 16;

export interface SnapshotEffects<P> {
  /** The socket owns the message. `full`: `ready` follows. */
  send(message: Buffer[], joiner: P): "sent" | "full" | "gone";
  wants(joiner: P, prefix: string): boolean;
  done(prefix: Buffer, topics: number): void;
}

export type LastValueCacheSnapshotStats = StatisticsOf<typeof LAST_VALUE_CACHE>["snapshots"];

interface Snapshot {
  readonly prefix: string;
  last: string | undefined;
  topics: number;
}

interface LateJoiner<P> {
  readonly peer: P;
  current: Snapshot | undefined;
  /** By prefix, in order of subscription. */
  readonly waiting: Map<string, Snapshot>;
  parked: boolean;
  /** When cancelled ones are removed. */
  prune: number;
}

export class Snapshots<P> {
  readonly #source: ValueCache;
  readonly #outbox: SnapshotEffects<P>;
  readonly #max: number;
  readonly #joiners = new Map<P, LateJoiner<P>>();
  /** Unparked joiners. */
  readonly #turns = new RingBuffer<LateJoiner<P>>();
  /** Of unparked joiners. */
  #runnable = 0;
  readonly #counts = { merged: 0, done: 0, abandoned: 0, values: 0 };

  /** @param max waiting snapshots, except parked ones */
  constructor(source: ValueCache, outbox: SnapshotEffects<P>, max: number) {
    this.#source = source;
    this.#outbox = outbox;
    this.#max = max;
  }

  get room(): number {
    return this.#max - this.#runnable;
  }

  get busy(): boolean {
    return this.#runnable > 0;
  }

  request(prefix: string, peer: P): void {
    let joiner = this.#joiners.get(peer);
    if (joiner === undefined) {
      joiner = { peer, current: undefined, waiting: new Map(), parked: false, prune: MIN_PRUNE };
      this.#joiners.set(peer, joiner);
      this.#turns.push(joiner);
    }
    // A started snapshot's values may have been dropped between two subscriptions.
    if (joiner.waiting.has(prefix)) {
      this.#counts.merged += 1;
      return;
    }
    joiner.waiting.set(prefix, { prefix, last: undefined, topics: 0 });
    if (!joiner.parked) this.#runnable += 1;
    else if (joiner.waiting.size > joiner.prune) this.#prune(joiner);
  }

  ready(peer: P): void {
    const joiner = this.#joiners.get(peer);
    if (joiner?.parked !== true) return;
    joiner.parked = false;
    this.#runnable += owedTo(joiner);
    this.#turns.push(joiner);
  }

  step(max: number): void {
    for (let left = max; left > 0; ) {
      const joiner = this.#turns.shift();
      if (joiner === undefined) return;
      left -= this.#serve(joiner, left);
      if (joiner.parked) continue;
      if (owedTo(joiner) > 0) this.#turns.push(joiner);
      else this.#joiners.delete(joiner.peer);
    }
  }

  stats(): LastValueCacheSnapshotStats {
    let waiting = 0;
    for (const joiner of this.#joiners.values()) waiting += owedTo(joiner);
    return { ...this.#counts, waiting, parked: waiting - this.#runnable };
  }

  /** @returns the work done; an empty lookup counts, too */
  #serve(joiner: LateJoiner<P>, max: number): number {
    joiner.current ??= take(joiner.waiting);
    const snapshot = joiner.current;
    if (snapshot === undefined) return 1;
    const { peer } = joiner;
    if (!this.#outbox.wants(peer, snapshot.prefix)) {
      joiner.current = undefined;
      this.#runnable -= 1;
      this.#counts.abandoned += 1;
      return 1;
    }
    const values = this.#source.beneath(snapshot.prefix, snapshot.last, max);
    for (let i = 0; i < values.length; i++) {
      const value = values[i] as CachedValue;
      const result = this.#outbox.send(value.message(), peer);
      // It is removed at its next turn.
      if (result === "gone") return i + 1;
      if (result === "full") {
        joiner.parked = true;
        this.#runnable -= owedTo(joiner);
        return i + 1;
      }
      snapshot.last = value.name;
      snapshot.topics += 1;
      this.#counts.values += 1;
    }
    if (values.length === max) return max;
    joiner.current = undefined;
    this.#runnable -= 1;
    this.#counts.done += 1;
    this.#outbox.done(Buffer.from(snapshot.prefix, "latin1"), snapshot.topics);
    return values.length + 1;
  }

  /** A joiner may subscribe and cancel without receiving. */
  #prune(joiner: LateJoiner<P>): void {
    for (const prefix of joiner.waiting.keys()) {
      if (this.#outbox.wants(joiner.peer, prefix)) continue;
      joiner.waiting.delete(prefix);
      this.#counts.abandoned += 1;
    }
    joiner.prune = MIN_PRUNE + 2 * joiner.waiting.size;
  }
}

function owedTo<P>({ current, waiting }: LateJoiner<P>): number {
  return waiting.size + (current === undefined ? 0 : 1);
}

function take(waiting: Map<string, Snapshot>): Snapshot | undefined {
  const snapshot = waiting.values().next().value;
  if (snapshot !== undefined) waiting.delete(snapshot.prefix);
  return snapshot;
}
