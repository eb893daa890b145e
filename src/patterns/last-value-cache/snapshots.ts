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
import { RingBuffer } from "../../core/collections/ring-buffer.js";
import type { CachedValue } from "./cached-value.js";

/** Prefixes of a parked joiner before cancelled ones are removed. */
const MIN_PRUNE = 16;

export interface SnapshotSource {
  beneath(prefix: string, last: string | undefined, max: number): CachedValue[];
}

export interface SnapshotEffects<P> {
  /** The socket owns the message. `full`: `ready` follows. */
  send(message: Buffer[], newcomer: P): "sent" | "full" | "gone";
  wants(newcomer: P, prefix: string): boolean;
  done(prefix: Buffer, topics: number): void;
}

export interface LastValueCacheSnapshotStats {
  readonly waiting: number;
  /** Waiting for joiners without room. */
  readonly parked: number;
  /** Merged with a waiting one for the same prefix. */
  readonly merged: number;
  readonly done: number;
  /** The joiner left or unsubscribed. */
  readonly abandoned: number;
  readonly values: number;
}

interface Snapshot {
  readonly prefix: string;
  last: string | undefined;
  topics: number;
}

interface Newcomer<P> {
  readonly peer: P;
  current: Snapshot | undefined;
  /** By prefix, in order of subscription. */
  readonly waiting: Map<string, Snapshot>;
  parked: boolean;
  /** When cancelled ones are removed. */
  prune: number;
}

export class Snapshots<P> {
  readonly #source: SnapshotSource;
  readonly #outbox: SnapshotEffects<P>;
  readonly #max: number;
  readonly #newcomers = new Map<P, Newcomer<P>>();
  /** Unparked joiners. */
  readonly #turns = new RingBuffer<Newcomer<P>>();
  /** Of unparked joiners. */
  #runnable = 0;
  #parked = 0;
  readonly #counts = { merged: 0, done: 0, abandoned: 0, values: 0 };

  /** @param max waiting snapshots, except parked ones */
  constructor(source: SnapshotSource, outbox: SnapshotEffects<P>, max: number) {
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
    let newcomer = this.#newcomers.get(peer);
    if (newcomer === undefined) {
      newcomer = { peer, current: undefined, waiting: new Map(), parked: false, prune: MIN_PRUNE };
      this.#newcomers.set(peer, newcomer);
      this.#turns.push(newcomer);
    }
    // A started snapshot's values may have been dropped between two subscriptions.
    if (newcomer.waiting.has(prefix)) {
      this.#counts.merged += 1;
      return;
    }
    newcomer.waiting.set(prefix, { prefix, last: undefined, topics: 0 });
    if (newcomer.parked) {
      this.#parked += 1;
      if (newcomer.waiting.size > newcomer.prune) this.#prune(newcomer);
    } else this.#runnable += 1;
  }

  ready(peer: P): void {
    const newcomer = this.#newcomers.get(peer);
    if (newcomer?.parked !== true) return;
    newcomer.parked = false;
    const owed = owedTo(newcomer);
    this.#parked -= owed;
    this.#runnable += owed;
    this.#turns.push(newcomer);
  }

  step(max: number): void {
    for (let left = max; left > 0; ) {
      const newcomer = this.#turns.shift();
      if (newcomer === undefined) return;
      left -= this.#serve(newcomer, left);
      if (newcomer.parked) continue;
      if (owedTo(newcomer) > 0) this.#turns.push(newcomer);
      else this.#newcomers.delete(newcomer.peer);
    }
  }

  stats(): LastValueCacheSnapshotStats {
    return { ...this.#counts, waiting: this.#runnable + this.#parked, parked: this.#parked };
  }

  /** @returns the work done; an empty lookup counts, too */
  #serve(newcomer: Newcomer<P>, max: number): number {
    newcomer.current ??= take(newcomer.waiting);
    const snapshot = newcomer.current;
    if (snapshot === undefined) return 1;
    const { peer } = newcomer;
    if (!this.#outbox.wants(peer, snapshot.prefix)) {
      newcomer.current = undefined;
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
        this.#park(newcomer);
        return i + 1;
      }
      snapshot.last = value.name;
      snapshot.topics += 1;
      this.#counts.values += 1;
    }
    if (values.length === max) return max;
    newcomer.current = undefined;
    this.#runnable -= 1;
    this.#counts.done += 1;
    this.#outbox.done(Buffer.from(snapshot.prefix, "latin1"), snapshot.topics);
    return values.length + 1;
  }

  #park(newcomer: Newcomer<P>): void {
    newcomer.parked = true;
    const owed = owedTo(newcomer);
    this.#runnable -= owed;
    this.#parked += owed;
  }

  /** A joiner may subscribe and cancel without receiving. */
  #prune(newcomer: Newcomer<P>): void {
    for (const prefix of newcomer.waiting.keys()) {
      if (this.#outbox.wants(newcomer.peer, prefix)) continue;
      newcomer.waiting.delete(prefix);
      this.#parked -= 1;
      this.#counts.abandoned += 1;
    }
    newcomer.prune = MIN_PRUNE + 2 * newcomer.waiting.size;
  }
}

function owedTo<P>({ current, waiting }: Newcomer<P>): number {
  return waiting.size + (current === undefined ? 0 : 1);
}

function take(waiting: Map<string, Snapshot>): Snapshot | undefined {
  const snapshot = waiting.values().next().value;
  if (snapshot !== undefined) waiting.delete(snapshot.prefix);
  return snapshot;
}
