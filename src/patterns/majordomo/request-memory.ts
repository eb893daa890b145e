/**
 * Requests and answers by client, at brokers and workers: a repetition is not handled again.
 *
 *   begin            keep                       settle, or evicted
 *   -----> in flight ------> kept with its answer ----------------> forgotten
 *
 * Each request reports the client's oldest pending one; older ones are forgotten. (Keeping the newest 20,000 caused two
 * thirds of all garbage collection.)
 */

import { NumberTable } from "../../core/collections/number-table.js";
import { type Link, LinkedList } from "../../core/collections/queues.js";
import type { ClientId } from "./protocol.js";

/** Answers that may share a received buffer; older ones are copied. To copy all at once costs a request a tenth more. */
const MAX_VIEWS = 2_048;
/** Numbers settled together: finding the oldest costs as much as forgetting some. */
const SETTLE_STEP = 64;
/** Places of the table that each request pays for: with sparse numbers, settling scans all of it. */
const PAID_PLACES = 32;

/** A request that may be repeated. An interface, since constructing a derived class costs twice as much. */
export interface Repeatable {
  memory: ClientMemory | undefined;
  readonly sequence: number;
  /** Bytes of the kept answer. */
  keptBytes: number;
  /** Among kept answers; before that in its owner's list. */
  readonly place: Link<Repeatable>;
  /** Copies the answer out of shared memory. */
  own(): void;
}

export class ClientMemory {
  readonly high: number;
  readonly low: number;
  readonly entries = new NumberTable<Repeatable>();
  newest = 0;
  /** Lower numbers are no longer pending. */
  settled = 0;
  /** Lower numbers were forgotten. */
  forgotten = 0;
  /** Places that may be scanned. */
  paid = 0;

  readonly key: string;

  constructor({ high, low }: ClientId, key: string) {
    this.high = high;
    this.low = low;
    this.key = key;
  }
}

export class RequestMemory {
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  /** Clients with requests. */
  readonly #clients = new Map<string, ClientMemory>();
  readonly #views = new LinkedList<Repeatable>();
  readonly #owned = new LinkedList<Repeatable>();
  #bytes = 0;

  /** @param maxEntries kept answers; 0: none */
  constructor(maxEntries: number, maxBytes: number) {
    this.#maxEntries = maxEntries;
    this.#maxBytes = maxBytes;
  }

  /** Kept answers. */
  get kept(): number {
    return this.#views.length + this.#owned.length;
  }

  /** @param near previous result, likely the same */
  clientOf(id: ClientId, near: ClientMemory | undefined): ClientMemory {
    const isNear = near !== undefined && near.low === id.low && near.high === id.high;
    if (isNear && near.entries.size > 0) return near;
    if (!isNear) near?.entries.trim();
    const key = isNear ? near.key : `${id.high} ${id.low}`;
    // Without requests it is not in the table, where the client's next connection may have put another.
    return this.#clients.get(key) ?? (isNear ? near : new ClientMemory(id, key));
  }

  begin(memory: ClientMemory, entry: Repeatable): void {
    if (memory.entries.size === 0) this.#clients.set(memory.key, memory);
    entry.memory = memory;
    memory.newest = Math.max(memory.newest, entry.sequence);
    memory.paid += PAID_PLACES;
    memory.entries.set(entry.sequence, entry);
  }

  /** Forgets requests below `oldest`. */
  settle(memory: ClientMemory, oldest: number): void {
    if (oldest < memory.settled + SETTLE_STEP) return;
    memory.settled = oldest;
    const { entries, forgotten } = memory;
    if (entries.costOfBetween(forgotten, oldest) > memory.paid) return;
    memory.paid = 0;
    memory.forgotten = oldest;
    for (const entry of entries.between(forgotten, oldest)) this.forget(entry);
  }

  /** @returns whether the answer was kept */
  keep(entry: Repeatable, bytes: number): boolean {
    if (this.#maxEntries === 0 || 2 * bytes > this.#maxBytes) {
      this.forget(entry);
      return false;
    }
    entry.keptBytes = bytes;
    this.#bytes += bytes;
    this.#views.push(entry.place);
    if (this.#views.length > MAX_VIEWS) {
      const oldest = this.#views.first as Repeatable;
      oldest.own();
      this.#owned.push(oldest.place);
    }
    while (this.kept > this.#maxEntries || this.#bytes > this.#maxBytes)
      this.forget((this.#owned.first ?? this.#views.first) as Repeatable);
    return true;
  }

  /** A repetition counts as new. */
  forget(entry: Repeatable): void {
    const { memory, place } = entry;
    if (memory === undefined) return;
    entry.memory = undefined;
    if (memory.entries.get(entry.sequence) === entry) {
      memory.entries.delete(entry.sequence);
      if (memory.entries.size === 0) this.#forgetClient(memory);
    }
    if (place.list !== this.#views && place.list !== this.#owned) return;
    place.unlink();
    this.#bytes -= entry.keptBytes;
  }

  #forgetClient(memory: ClientMemory): void {
    // The client's next request is put in this table.
    memory.entries.trim();
    if (this.#clients.get(memory.key) === memory) this.#clients.delete(memory.key);
  }
}
