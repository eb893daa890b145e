/** The map of a client, and what those who watch it are told. */
import type { ClientOutbox } from "./client-outbox.js";
import { CloneTable } from "./table.js";

export class ClientMap {
  readonly #outbox: Pick<ClientOutbox, "watching" | "changed">;
  readonly #maxBytes: number;
  #table = new CloneTable();
  /** Of the last update that the table has. */
  last = 0;

  constructor(outbox: Pick<ClientOutbox, "watching" | "changed">, maxBytes: number) {
    this.#outbox = outbox;
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
    const { watching } = this.#outbox;
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
    this.#outbox.changed(key, old, value.length === 0 ? undefined : value, sequence, own, false);
    return true;
  }

  /** A new snapshot takes the place of the map, with what came after it. @param last of its last update. @returns the map before */
  replace(table: CloneTable, last: number): CloneTable {
    const before = this.#table;
    this.#table = table;
    this.last = last;
    return before;
  }

  /** What is other than it was, for those who watch. */
  tellDifference(before: CloneTable): void {
    if (!this.#outbox.watching) return;
    const after = this.#table;
    for (let id = 0; id < before.high; id++) {
      if (!before.isLive(id)) continue;
      const key = before.key(id);
      if (after.find(key) < 0) this.#outbox.changed(key, before.value(id), undefined, this.last, false, true);
    }
    for (let id = 0; id < after.high; id++) {
      if (!after.isLive(id)) continue;
      const key = after.key(id);
      const there = before.find(key);
      const old = there < 0 ? undefined : before.value(there);
      const value = after.value(id);
      if (old?.equals(value) !== true) this.#outbox.changed(key, old, value, after.sequence(id), false, true);
    }
  }
}
