/** The copy of the map that a client holds: the map itself, its subtree, and a snapshot while it loads. */
import type { ClientEffects } from "./client-state.js";
import { subtreeName, subtreeSequence } from "./properties.js";
import { CloneTable } from "./table.js";
import type { UpdateView } from "./update-view.js";

export class ClientMap {
  readonly #effects: Pick<ClientEffects, "watching" | "changed">;
  readonly #maxBytes: number;
  #table = new CloneTable();
  /** Of the last update that the table has. */
  last = 0;

  constructor(effects: Pick<ClientEffects, "watching" | "changed">, maxBytes: number) {
    this.#effects = effects;
    this.#maxBytes = maxBytes;
  }

  get table(): CloneTable {
    return this.#table;
  }

  /**
   * @param value none: the key is deleted
   * @returns `false` when the map would have more bytes than it may
   */
  apply(key: Buffer, value: Buffer, sequence: number, own: boolean): boolean {
    const table = this.#table;
    const { watching } = this.#effects;
    let old: Buffer | undefined;
    if (watching || value.length === 0) {
      const id = table.find(key);
      if (id >= 0 && watching) old = table.value(id);
      if (id >= 0 && value.length === 0) table.remove(id);
    }
    if (value.length > 0) {
      if (table.bytes + key.length + value.length > this.#maxBytes) return false;
      table.put(key, value, sequence);
    }
    if (!watching || (value.length === 0 && old === undefined)) return true;
    // An acknowledgement that had to be repeated changes nothing.
    if (old?.equals(value) === true && !own) return true;
    this.#effects.changed(key, old, value.length === 0 ? undefined : value, sequence, own, false);
    return true;
  }

  /**
   * The next update of a map that nobody watches, where it is plain.
   *
   * @returns `false` when the map would have more bytes than it may: nothing is done then
   */
  applyNext(update: UpdateView): boolean {
    const { key, keyEnd, value, valueEnd, sequence } = update;
    const table = this.#table;
    if (table.bytes + keyEnd - key + valueEnd - value > this.#maxBytes) return false;
    table.putFrom(update, sequence);
    this.last = sequence;
    return true;
  }

  /** A new snapshot takes the place of the map, with what came after it. @param last of its last update. @returns the map before */
  replace(table: CloneTable, last: number): CloneTable {
    const before = this.#table;
    this.#table = table;
    this.last = last;
    return before;
  }

  /** Reports to the watches what differs from the map before. */
  reportDifference(before: CloneTable): void {
    if (!this.#effects.watching) return;
    const after = this.#table;
    for (let id = 0; id < before.high; id++) {
      if (!before.isLive(id)) continue;
      const key = before.key(id);
      if (after.find(key) < 0)
        this.#effects.changed(key, before.value(id), undefined, this.last, false, true);
    }
    for (let id = 0; id < after.high; id++) {
      if (!after.isLive(id)) continue;
      const key = after.key(id);
      const there = before.find(key);
      const old = there < 0 ? undefined : before.value(there);
      const value = after.value(id);
      if (old?.equals(value) !== true)
        this.#effects.changed(key, old, value, after.sequence(id), false, true);
    }
  }
}

/** The subtree that a client holds, and how it notices a missing update of it (properties.ts). */
export class ClientSubtree {
  readonly #prefix: Buffer;
  /** The name of the subtree's property at this server, such as `s3`. */
  #property: string | undefined;

  /** @param prefix none: the whole map */
  constructor(prefix: Buffer) {
    this.#prefix = prefix;
  }

  get name(): string | undefined {
    return this.#property;
  }

  /** Whether it is the whole map. */
  get isWhole(): boolean {
    return this.#prefix.length === 0;
  }

  /** Whether it is known which update came before another. */
  get known(): boolean {
    return this.isWhole || this.#property !== undefined;
  }

  is(subtree: Buffer): boolean {
    return subtree.equals(this.#prefix);
  }

  has(key: Buffer): boolean {
    const { length } = this.#prefix;
    return length === 0 || (key.length >= length && key.compare(this.#prefix, 0, length, 0, length) === 0);
  }

  /** The server has numbered the subtree. @param properties of a KTHXBAI */
  learn(properties: Buffer): void {
    this.#property = this.isWhole ? undefined : subtreeName(properties);
  }

  /** Another server, or a new connection. */
  forget(): void {
    this.#property = undefined;
  }

  /** The update before this one, among those that this client gets; 0 when that is not known. */
  previous(sequence: number, properties: Buffer): number {
    if (this.isWhole) return sequence - 1;
    return this.#property === undefined ? 0 : (subtreeSequence(properties, this.#property) ?? 0);
  }

  /** The last update that this client should have, by a HUGZ; 0 when that is not known. */
  latest(sequence: number, properties: Buffer): number {
    if (this.isWhole) return sequence;
    return this.#property === undefined ? 0 : (subtreeSequence(properties, this.#property) ?? 0);
  }
}

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

/** Updates whose properties are kept until the server has named the subtree's property. */
const MAX_UNNAMED = 10_000;

/** An update that comes while a snapshot does. */
interface QueuedUpdate {
  readonly key: Buffer;
  readonly value: Buffer;
  /** The sequence of the update that set the key to this value. */
  readonly revision: number;
  readonly sequence: number;
  /** The update before it; its properties, as long as nobody knows which of them says that. */
  readonly previous: number | Buffer;
}

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

  /** An update comes while the snapshot does. */
  queue({ key, value, revision, sequence, previous }: QueuedUpdate): void {
    this.#queue ??= new CloneTable();
    if (typeof previous === "number") this.#follow(sequence, previous);
    else {
      if (this.#unnamed.length < MAX_UNNAMED)
        this.#unnamed.push({ sequence, properties: Buffer.from(previous) });
      this.#last = sequence;
    }
    this.#queue.put(key, value, revision);
  }

  #follow(sequence: number, previous: number): void {
    if (this.#last === 0 || previous > this.#last) this.#base = previous;
    this.#last = sequence;
  }

  /** Now it is known: what came is looked through. */
  #name(property: string | undefined): void {
    const unnamed = this.#unnamed;
    this.#unnamed = [];
    if (unnamed.length === 0) return;
    const last = this.#last;
    this.#last = 0;
    for (const { sequence, properties } of unnamed)
      this.#follow(sequence, property === undefined ? 0 : (subtreeSequence(properties, property) ?? 0));
    // Of what came past the bound nobody knows: as if the one before it were missing.
    if (this.#last !== last && property !== undefined) this.#base = last - 1;
    this.#last = last;
  }

  /**
   * The snapshot is whole, as of this sequence.
   *
   * @param property of the subtree, as the server named it
   * @returns the last sequence of the table, or where the gap is
   */
  finish(
    sequence: number,
    property: string | undefined,
  ): { readonly last: number } | { readonly gap: number } {
    this.#name(property);
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
