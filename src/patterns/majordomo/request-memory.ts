/**
 * What became of the requests of each client, so that a repetition is not handled
 * again: at a broker and at a worker.
 *
 *   begin            keep                       settle, or pushed out
 *   -----> in flight ------> kept with its answer ----------------------> forgotten
 *
 * A client says with each request which is the oldest that it still wants (header.ts):
 * what is older is forgotten at once, so that as a rule little is kept, for a short
 * time. (Keeping the newest 20,000 in any case made two thirds of all garbage
 * collection.) What no client settles is bounded by entries and by bytes.
 */
import { readUint32 } from "../../core/big-endian.js";
import { type Link, LinkedList } from "../../core/collections/linked-list.js";
import { NumberTable } from "../../core/collections/number-table.js";

/** Entries whose answers are still views of what was received; older ones have memory of their own. */
const MAX_VIEWS = 2_048;

/** Bytes of a received buffer that are kept alive for one that is kept long, at most this many times its own. */
const MAX_WASTE = 2;

/** Sequences that are settled at once: looking for the oldest costs as much as forgetting some. */
const SETTLE_STEP = 64;

/**
 * Places of its table that a client's request pays for: settled requests are forgotten when enough came for looking through all. One that
 * counts one by one pays for more than it settles; one whose numbers lie far apart would otherwise have the whole table looked through
 * for each request.
 */
const PAID_PLACES = 32;

/** Clients without a request that are remembered; more push out the oldest. */
const MAX_CLIENTS = 10_000;

/** A request that may come again. No class: to construct a derived one costs twice as much, and each request is one. */
export interface Repeatable {
  memory: ClientMemory | undefined;
  sequence: number;
  /** Bytes that are kept for a repetition. */
  keptBytes: number;
  /** Among those that are kept; before that, wherever its owner has it. */
  readonly placeLink: Link<Repeatable>;
  /** Copies what is kept out of memory that holds more than it. */
  own(): void;
}

/** A frame that keeps no more memory alive than it has bytes, or little more. */
export function owned(frame: Buffer): Buffer {
  return frame.buffer.byteLength > MAX_WASTE * frame.length ? Buffer.from(frame) : frame;
}

/** One client's requests, by their sequence numbers. */
export class ClientMemory {
  readonly key: string;
  readonly high: number;
  readonly low: number;
  readonly entries = new NumberTable<Repeatable>();
  /** The client wants nothing any more that is below. */
  settled = 0;
  /** What is below was forgotten. */
  forgotten = 0;
  /** Places that its requests have paid for, and that were not looked at yet. */
  paid = 0;
  /** It was pushed out: who still has it looks for the client again. */
  stale = false;

  constructor(key: string, high: number, low: number) {
    this.key = key;
    this.high = high;
    this.low = low;
  }
}

export class RequestMemory {
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  readonly #clients = new Map<string, ClientMemory>();
  readonly #views = new LinkedList<Repeatable>();
  readonly #owned = new LinkedList<Repeatable>();
  #bytes = 0;

  /**
   * @param maxEntries answered requests that are kept at most; 0: none
   * @param maxBytes bytes of their answers at most
   */
  constructor(maxEntries: number, maxBytes: number) {
    this.#maxEntries = maxEntries;
    this.#maxBytes = maxBytes;
  }

  /** Answered requests that are kept. */
  get kept(): number {
    return this.#views.length + this.#owned.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * The memory of the client whose id begins at `at`, made if there is none.
   *
   * @param near where it was found last, likely the same
   */
  clientOf(head: Buffer, at: number, near: ClientMemory | undefined): ClientMemory {
    const high = readUint32(head, at);
    const low = readUint32(head, at + 4);
    if (near !== undefined && near.low === low && near.high === high && !near.stale) return near;
    near?.entries.trim();
    const key = head.toString("latin1", at, at + 8);
    let memory = this.#clients.get(key);
    if (memory === undefined) {
      if (this.#clients.size >= MAX_CLIENTS) this.#pushOutClient();
      memory = new ClientMemory(key, high, low);
      this.#clients.set(key, memory);
    }
    return memory;
  }

  begin(memory: ClientMemory, sequence: number, entry: Repeatable): void {
    entry.memory = memory;
    entry.sequence = sequence;
    memory.paid += PAID_PLACES;
    memory.entries.set(sequence, entry);
  }

  /** The client wants nothing any more that is below `oldest`. What costs more to find than its requests have paid for is kept until then. */
  settle(memory: ClientMemory, oldest: number): void {
    if (oldest < memory.settled + SETTLE_STEP) return;
    memory.settled = oldest;
    const { entries, forgotten } = memory;
    if (entries.costOfBetween(forgotten, oldest) > memory.paid) return;
    memory.paid = 0;
    memory.forgotten = oldest;
    for (const entry of entries.between(forgotten, oldest)) this.forget(entry);
  }

  /** It is answered; a repetition gets that. @returns whether it is kept */
  keep(entry: Repeatable, bytes: number): boolean {
    const { memory } = entry;
    if (memory === undefined) return false;
    if (this.#maxEntries === 0 || 2 * bytes > this.#maxBytes) {
      this.forget(entry);
      return false;
    }
    entry.keptBytes = bytes;
    this.#bytes += bytes;
    this.#views.push(entry.placeLink);
    if (this.#views.length > MAX_VIEWS) {
      const oldest = this.#views.first as Repeatable;
      oldest.own();
      this.#owned.push(oldest.placeLink);
    }
    while (this.kept > this.#maxEntries || this.#bytes > this.#maxBytes) {
      this.forget((this.#owned.first ?? this.#views.first) as Repeatable);
    }
    return true;
  }

  /** A repetition is handled as if it were new. */
  forget(entry: Repeatable): void {
    const { memory, placeLink } = entry;
    if (memory === undefined) return;
    entry.memory = undefined;
    if (memory.entries.get(entry.sequence) === entry) {
      memory.entries.delete(entry.sequence);
      // A client that goes on has its newest request here.
      if (memory.entries.size === 0) memory.entries.trim();
    }
    if (placeLink.list !== this.#views && placeLink.list !== this.#owned) return;
    placeLink.unlink();
    this.#bytes -= entry.keptBytes;
  }

  /** The one heard of first goes, unless it has requests: then it counts as new. */
  #pushOutClient(): void {
    for (const [key, memory] of this.#clients) {
      this.#clients.delete(key);
      if (memory.entries.size === 0) memory.stale = true;
      else this.#clients.set(key, memory);
      return;
    }
  }
}
