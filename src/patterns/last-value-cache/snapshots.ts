/**
 * What newcomers are owed: for each subscription the values beneath its prefix, a
 * piece at a time, so that live messages pass between the pieces. Pure.
 *
 *   request ──> waiting ──step──> under way ──step──> … ──> done
 *                  │                 │ ^
 *                  │             full│ │ready
 *                  │                 v │
 *                  │              parked: its newcomer has no room, the others go on
 *                  └── the same newcomer and prefix again: one for both
 *
 * Newcomers have their turns one after the other, a piece each; of one newcomer the
 * subscriptions come in their order. One that is gone, or does not want the prefix any
 * more, ends its snapshot. Where the engine cannot send to one alone, there is one
 * newcomer, who is everybody.
 *
 * A value is read when it is sent, and what is live was sent before it. So nobody
 * gets an older value after a newer one, whatever changes meanwhile.
 */
import { RingBuffer } from "../../core/collections/ring-buffer.js";
import type { CachedValue } from "./cached-value.js";

/** Prefixes that a parked newcomer may wait for before they are looked through for those it has taken back. */
const MIN_PRUNE = 16;

/** Where values come from. */
export interface SnapshotSource {
  beneath(prefix: string, last: string | undefined, max: number): CachedValue[];
}

/** What becomes of a snapshot. */
export interface SnapshotEffects<P> {
  /** The message is the socket's from now on. `full`: `ready` says when to try again. */
  send(message: Buffer[], newcomer: P): "sent" | "full" | "gone";
  /** Whether it is there and has the prefix still. */
  wants(newcomer: P, prefix: string): boolean;
  done(prefix: Buffer, topics: number): void;
}

/** Statistics of snapshots. */
export interface LastValueCacheSnapshotStats {
  /** Subscriptions whose values are still to be sent. */
  readonly waiting: number;
  /** Of those: the ones whose newcomers have no room. */
  readonly parked: number;
  /** Subscriptions that came while one for the same prefix waited: served together. */
  readonly merged: number;
  readonly done: number;
  /** Ended early: the newcomer left, or took its subscription back. */
  readonly abandoned: number;
  /** Values sent, over all snapshots. */
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
  /** By prefix, in the order of their subscriptions: those that have not begun. */
  readonly waiting: Map<string, Snapshot>;
  parked: boolean;
  /** How many may wait until they are looked through again. */
  prune: number;
}

export class Snapshots<P> {
  readonly #source: SnapshotSource;
  readonly #outbox: SnapshotEffects<P>;
  readonly #max: number;
  readonly #newcomers = new Map<P, Newcomer<P>>();
  /** Those that are not parked. */
  readonly #turns = new RingBuffer<Newcomer<P>>();
  /** Snapshots of newcomers that are not parked. */
  #runnable = 0;
  #parked = 0;
  #merged = 0;
  #done = 0;
  #abandoned = 0;
  #values = 0;

  /** @param max snapshots that may wait; parked ones are not counted: each newcomer's are bounded by what it subscribed to */
  constructor(source: SnapshotSource, outbox: SnapshotEffects<P>, max: number) {
    this.#source = source;
    this.#outbox = outbox;
    this.#max = max;
  }

  /** How many more subscriptions it takes now. */
  get room(): number {
    return this.#max - this.#runnable;
  }

  /** Whether `step` has something to do. */
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
    // One that has begun counts for nothing: what it sent may have been thrown away between two subscriptions.
    if (newcomer.waiting.has(prefix)) {
      this.#merged += 1;
      return;
    }
    newcomer.waiting.set(prefix, { prefix, last: undefined, topics: 0 });
    if (newcomer.parked) {
      this.#parked += 1;
      if (newcomer.waiting.size > newcomer.prune) this.#prune(newcomer);
    } else this.#runnable += 1;
  }

  /** A newcomer that had no room has it again, or is gone. */
  ready(peer: P): void {
    const newcomer = this.#newcomers.get(peer);
    if (newcomer?.parked !== true) return;
    newcomer.parked = false;
    const owed = owedTo(newcomer);
    this.#parked -= owed;
    this.#runnable += owed;
    this.#turns.push(newcomer);
  }

  /** Sends up to `max` values. */
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
    return {
      waiting: this.#runnable + this.#parked,
      parked: this.#parked,
      merged: this.#merged,
      done: this.#done,
      abandoned: this.#abandoned,
      values: this.#values,
    };
  }

  /** A piece of a newcomer's first snapshot. @returns how much work that was: a look that finds nothing is work, too */
  #serve(newcomer: Newcomer<P>, max: number): number {
    newcomer.current ??= take(newcomer.waiting);
    const snapshot = newcomer.current;
    if (snapshot === undefined) return 1;
    const { peer } = newcomer;
    if (!this.#outbox.wants(peer, snapshot.prefix)) {
      newcomer.current = undefined;
      this.#runnable -= 1;
      this.#abandoned += 1;
      return 1;
    }
    const values = this.#source.beneath(snapshot.prefix, snapshot.last, max);
    for (let i = 0; i < values.length; i++) {
      const value = values[i] as CachedValue;
      const result = this.#outbox.send(value.message(), peer);
      // One that is gone wants nothing any more, and its next turn finds that.
      if (result === "gone") return i + 1;
      if (result === "full") {
        this.#park(newcomer);
        return i + 1;
      }
      snapshot.last = value.key;
      snapshot.topics += 1;
      this.#values += 1;
    }
    if (values.length === max) return max;
    newcomer.current = undefined;
    this.#runnable -= 1;
    this.#done += 1;
    this.#outbox.done(Buffer.from(snapshot.prefix, "latin1"), snapshot.topics);
    return values.length + 1;
  }

  #park(newcomer: Newcomer<P>): void {
    newcomer.parked = true;
    const owed = owedTo(newcomer);
    this.#runnable -= owed;
    this.#parked += owed;
  }

  /** Of a newcomer that takes nothing, but subscribes and cancels, no more is kept than what it has. */
  #prune(newcomer: Newcomer<P>): void {
    for (const prefix of newcomer.waiting.keys()) {
      if (this.#outbox.wants(newcomer.peer, prefix)) continue;
      newcomer.waiting.delete(prefix);
      this.#parked -= 1;
      this.#abandoned += 1;
    }
    newcomer.prune = MIN_PRUNE + 2 * newcomer.waiting.size;
  }
}

function owedTo<P>({ current, waiting }: Newcomer<P>): number {
  return waiting.size + (current === undefined ? 0 : 1);
}

/** The snapshot whose turn it is; it waits no more. */
function take(waiting: Map<string, Snapshot>): Snapshot | undefined {
  const snapshot = waiting.values().next().value;
  if (snapshot !== undefined) waiting.delete(snapshot.prefix);
  return snapshot;
}
