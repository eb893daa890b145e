import type { ClientEffects } from "./client-state.js";
import { subtreeName, subtreeSequence } from "./properties.js";
import { CloneTable } from "./table.js";
import type { UpdateView } from "./update-view.js";
import type { RawChange } from "./watch.js";

/**
 * A snapshot in flight.
 *
 *   KVSYNC   into the table, which is used once it is whole
 *   KVPUB    into the queue
 *   KTHXBAI  the table takes the place of the map, and the queue is applied to it
 */
export class Loading {
  readonly table = new CloneTable();
  readonly updates: (readonly Buffer[])[] = [];
  #queued = 0;

  get bytes(): number {
    return this.table.bytes + this.#queued;
  }

  /** @param cost core/frame-cost.ts */
  queue(update: readonly Buffer[], cost: number): void {
    this.updates.push(update);
    this.#queued += cost;
  }
}

export class ClientMap {
  readonly #effects: Pick<ClientEffects, "watching" | "changed">;
  readonly #maxBytes: number;
  #table = new CloneTable();
  last = 0;

  constructor(effects: Pick<ClientEffects, "watching" | "changed">, maxBytes: number) {
    this.#effects = effects;
    this.#maxBytes = maxBytes;
  }

  get table(): CloneTable {
    return this.#table;
  }

  /** @param value empty: deleted. @returns `false` above the bound of bytes */
  apply(key: Buffer, value: Buffer, sequence: number, own: boolean): boolean {
    const table = this.#table;
    const watching = this.#effects.watching();
    let old: Buffer | undefined;
    if (watching || value.length === 0) {
      const id = table.find(key);
      if (id >= 0 && watching) old = table.value(id);
      if (id >= 0 && value.length === 0) table.remove(id);
    }
    if (value.length > 0) table.put(key, value, sequence);
    const fits = table.bytes <= this.#maxBytes;
    if (!watching || (value.length === 0 && old === undefined)) return fits;
    if (old?.equals(value) === true && !own) return fits;
    const set = value.length === 0 ? undefined : value;
    this.#effects.changed({ key, old, value: set, sequence, own, resync: false });
    return fits;
  }

  /** Without watches. @returns `false` above the bound of bytes: {@link apply} follows */
  applyNext(update: UpdateView): boolean {
    this.#table.putFrom(update, update.sequence);
    if (this.#table.bytes > this.#maxBytes) return false;
    this.last = update.sequence;
    return true;
  }

  /** @returns the map before */
  replace(table: CloneTable, last: number): CloneTable {
    const before = this.#table;
    this.#table = table;
    this.last = last;
    return before;
  }

  reportDifference(before: CloneTable): void {
    if (!this.#effects.watching()) return;
    const after = this.#table;
    const report = (change: Pick<RawChange, "key" | "old" | "value" | "sequence">): void =>
      this.#effects.changed({ ...change, own: false, resync: true });
    for (let id = 0; id < before.high; id++) {
      if (!before.isLive(id)) continue;
      const key = before.key(id);
      if (after.find(key) < 0) report({ key, old: before.value(id), value: undefined, sequence: this.last });
    }
    for (let id = 0; id < after.high; id++) {
      if (!after.isLive(id)) continue;
      const key = after.key(id);
      const there = before.find(key);
      const old = there < 0 ? undefined : before.value(there);
      const value = after.value(id);
      if (old?.equals(value) !== true) report({ key, old, value, sequence: after.sequence(id) });
    }
  }
}

/** A client's subtree, and its number at the server (properties.ts). */
export class ClientSubtree {
  readonly #prefix: Buffer;
  /** Property of its number, such as `s3`. */
  #property: string | undefined;

  /** @param prefix empty: everything */
  constructor(prefix: Buffer) {
    this.#prefix = prefix;
  }

  get isWhole(): boolean {
    return this.#prefix.length === 0;
  }

  is(subtree: Buffer): boolean {
    return subtree.equals(this.#prefix);
  }

  has(key: Buffer): boolean {
    const { length } = this.#prefix;
    return length === 0 || (key.length >= length && key.compare(this.#prefix, 0, length, 0, length) === 0);
  }

  /** From the properties of a KTHXBAI. */
  learn(properties: Buffer): void {
    this.#property = this.isWhole ? undefined : subtreeName(properties);
  }

  /**
   * The last update in the subtree before an update or HUGZ; 0 if unknown.
   * @param whole the last one of the whole map
   */
  last(whole: number, properties: Buffer): number {
    if (this.isWhole) return whole;
    return this.#property === undefined ? 0 : (subtreeSequence(properties, this.#property) ?? 0);
  }
}
