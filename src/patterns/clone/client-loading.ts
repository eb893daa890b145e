/**
 * A snapshot on its way to a client, and the updates that come meanwhile.
 *
 *   KVSYNC  ──> the table
 *   KVPUB   ──> the queue: of each key the last one, deleted or not, with its sequence
 *   KTHXBAI ──> from the queue into the table what is later than the snapshot
 *
 * The queue is a table itself, so it never holds more than one update a key, however
 * long the snapshot takes. Nobody sees the table before it is whole.
 */
import { chainValue } from "./chains.js";
import { CloneTable } from "./table.js";

/** Updates whose properties are kept until the server has said under which name the subtree's chain is in them. */
const MAX_UNNAMED = 10_000;

export class ClientLoading {
  readonly table = new CloneTable();
  readonly startedAt: number;
  #queue: CloneTable | undefined;
  /** The queue has everything after this sequence; infinite while it is empty. */
  #base = Number.POSITIVE_INFINITY;
  #last = 0;
  #unnamed: { readonly sequence: number; readonly properties: Buffer }[] = [];

  constructor(startedAt: number) {
    this.startedAt = startedAt;
  }

  get bytes(): number {
    return this.table.bytes + (this.#queue?.bytes ?? 0);
  }

  /** The last update that came; 0: none. */
  get last(): number {
    return this.#last;
  }

  /** @param previous the update before it; its properties, as long as nobody knows where they say that */
  queue(key: Buffer, value: Buffer, sequence: number, previous: number | Buffer): void {
    this.#queue ??= new CloneTable();
    if (typeof previous === "number") this.#follow(sequence, previous);
    else {
      if (this.#unnamed.length < MAX_UNNAMED)
        this.#unnamed.push({ sequence, properties: Buffer.from(previous) });
      this.#last = sequence;
    }
    this.#queue.put(key, value, sequence);
  }

  #follow(sequence: number, previous: number): void {
    if (this.#last === 0 || previous > this.#last) this.#base = previous;
    this.#last = sequence;
  }

  /** Now it is known: what came is looked through. */
  #name(chain: string | undefined): void {
    const unnamed = this.#unnamed;
    this.#unnamed = [];
    if (unnamed.length === 0) return;
    const last = this.#last;
    this.#last = 0;
    for (const { sequence, properties } of unnamed)
      this.#follow(sequence, chain === undefined ? 0 : (chainValue(properties, chain) ?? 0));
    // Of what came past the bound nobody knows: as if the one before it were missing.
    if (this.#last !== last && chain !== undefined) this.#base = last - 1;
    this.#last = last;
  }

  /**
   * The snapshot is whole, as of this sequence.
   *
   * @param chain of the subtree, by the server's own word
   * @returns the last sequence of the table, or where the gap is
   */
  finish(sequence: number, chain: string | undefined): { readonly last: number } | { readonly gap: number } {
    this.#name(chain);
    const queue = this.#queue;
    if (queue === undefined || this.#last <= sequence) return { last: sequence };
    if (this.#base > sequence) return { gap: this.#base };
    for (let id = 0; id < queue.high; id++) {
      const later = queue.sequence(id);
      if (later <= sequence) continue;
      const key = queue.key(id);
      if (queue.valueLength(id) > 0) this.table.put(key, queue.value(id), later);
      else {
        const there = this.table.find(key);
        if (there >= 0) this.table.remove(there);
      }
    }
    return { last: this.#last };
  }
}
