/**
 * What became of the requests of each client, so that a repetition is not handled again: at a broker and at a worker.
 *
 *   begin            keep                       settle, or pushed out
 *   -----> in flight ------> kept with its answer ----------------------> forgotten
 *
 * A client reports with each request the oldest one that it still wants. Older ones are forgotten at once, so that little
 * is kept for a short time. (Keeping the newest 20,000 in any case made two thirds of all garbage collection.) What no
 * client settles is bounded by entries and by bytes.
 */
import { type Link, LinkedList } from "../../core/collections/linked-list.js";
import { NumberTable } from "../../core/collections/number-table.js";
import type { RequestId } from "./wire.js";

/** Entries whose answers are still views of what was received; older ones have separate memory. */
const MAX_VIEWS = 2_048;
/** Sequences that are settled at once: looking for the oldest costs as much as forgetting some. */
const SETTLE_STEP = 64;
/**
 * Places of its table that a client's request pays for. Settling waits until enough requests came for looking through all:
 * otherwise a client whose numbers lie far apart would have the whole table looked through for each request.
 */
const PAID_PLACES = 32;
/** Clients that are remembered; more push out the oldest. */
const MAX_CLIENTS = 10_000;

/** A request that may come again. Not a class: constructing a derived one costs twice as much, and each request is one. */
export interface Repeatable {
  memory: ClientMemory | undefined;
  readonly sequence: number;
  /** Bytes that are kept for a repetition. */
  keptBytes: number;
  /** Among those that are kept; before that, wherever its owner has it. */
  readonly placeLink: Link<Repeatable>;
  /** Copies what is kept out of memory that holds more than it. */
  own(): void;
}

/** One client's requests, by their sequence numbers. */
export class ClientMemory {
  readonly high: number;
  readonly low: number;
  readonly entries = new NumberTable<Repeatable>();
  /** The client does not want what is below. */
  settled = 0;
  /** What is below was forgotten. */
  forgotten = 0;
  /** Places that its requests have paid for and that were not looked at yet. */
  paid = 0;
  /** It was pushed out: who still has it looks for the client again. */
  isOutdated = false;

  constructor({ high, low }: RequestId) {
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

  /** @param maxEntries answered requests to keep; 0: none @param maxBytes of their answers */
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

  /** Clients that are remembered. */
  get clients(): number {
    return this.#clients.size;
  }

  /** The memory of a request's client, made if missing. @param near where it was found last, likely the same */
  clientOf(id: RequestId, near: ClientMemory | undefined): ClientMemory {
    if (near !== undefined && near.low === id.low && near.high === id.high && !near.isOutdated) return near;
    near?.entries.trim();
    const key = `${id.high} ${id.low}`;
    let memory = this.#clients.get(key);
    if (memory === undefined) {
      if (this.#clients.size >= MAX_CLIENTS) this.#pushOutClient();
      memory = new ClientMemory(id);
      this.#clients.set(key, memory);
    }
    return memory;
  }

  begin(memory: ClientMemory, entry: Repeatable): void {
    entry.memory = memory;
    memory.paid += PAID_PLACES;
    memory.entries.set(entry.sequence, entry);
  }

  /** The client does not want what is below `oldest`. */
  settle(memory: ClientMemory, oldest: number): void {
    if (oldest < memory.settled + SETTLE_STEP) return;
    memory.settled = oldest;
    const { entries, forgotten } = memory;
    if (entries.costOfBetween(forgotten, oldest) > memory.paid) return;
    memory.paid = 0;
    memory.forgotten = oldest;
    for (const entry of entries.between(forgotten, oldest)) this.forget(entry);
  }

  /** It is answered, and a repetition gets the answer. @returns whether it is kept */
  keep(entry: Repeatable, bytes: number): boolean {
    if (entry.memory === undefined) return false;
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
    while (this.kept > this.#maxEntries || this.#bytes > this.#maxBytes)
      this.forget((this.#owned.first ?? this.#views.first) as Repeatable);
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

  /**
   * The client that was heard of first goes, unless it has requests: then it counts as new. Two are looked at for each new
   * client: with one, those with requests would come by again and again, and the table would grow each time.
   */
  #pushOutClient(): void {
    let looks = 2;
    for (const [key, memory] of this.#clients) {
      this.#clients.delete(key);
      if (memory.entries.size === 0) memory.isOutdated = true;
      else this.#clients.set(key, memory);
      looks -= 1;
      if (looks === 0 || this.#clients.size < MAX_CLIENTS) return;
    }
  }
}
