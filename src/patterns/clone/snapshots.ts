/**
 * Snapshots: the map as it was at one sequence, given out piece by piece while it
 * goes on changing.
 *
 *   ids   0 ──── scanned ────┤cursor├──── to be scanned ──── end
 *                                         before a change here, what was there is saved
 *
 * A scan gives the keys whose sequence is not past the snapshot's; the others were
 * changed since, and what they were is among the saved ones, which come last. So a
 * snapshot costs a change nothing but a look, and memory only for what changes under it.
 */
import { RingBuffer } from "../../core/collections/ring-buffer.js";
import type { CloneTable } from "./table.js";

/** Bytes that may be saved for the snapshots of all clients together; past it one ends, and its client asks again. */
const MAX_SAVED_BYTES = 268_435_456;
/** Ids looked at in one go, whether they are in the subtree or not. */
const MAX_SCAN = 20_000;

/** A key and its value as a snapshot gives them out. */
export interface SnapshotEntry {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly sequence: number;
}

/** What snapshots have saved, together. */
export interface SavedBytes {
  bytes: number;
}

export class Snapshot {
  readonly sequence: number;
  readonly prefix: Buffer;
  readonly #table: CloneTable;
  readonly #end: number;
  #cursor = 0;
  readonly #saved = new RingBuffer<SnapshotEntry>();
  /** Of all snapshots that share it, and of this one. */
  readonly #total: SavedBytes;
  #savedBytes = 0;
  /** Too much changed under it. */
  overrun = false;

  /** @param total what other snapshots save counts, too */
  constructor(table: CloneTable, prefix: Buffer, sequence: number, total: SavedBytes = { bytes: 0 }) {
    this.#table = table;
    this.#total = total;
    this.prefix = prefix;
    this.sequence = sequence;
    this.#end = table.high;
  }

  /** Everything was given out. */
  get done(): boolean {
    return this.#cursor >= this.#end && this.#saved.length === 0;
  }

  /** A key that is there is about to change, or to go. */
  beforeChange(id: number): void {
    if (id < this.#cursor || id >= this.#end || this.overrun) return;
    const table = this.#table;
    if (table.sequence(id) > this.sequence || !table.hasPrefix(id, this.prefix)) return;
    const entry = { key: table.key(id), value: table.value(id), sequence: table.sequence(id) };
    this.#count(entry.key.length + entry.value.length);
    this.#saved.push(entry);
    if (this.#total.bytes > MAX_SAVED_BYTES) this.abandon();
  }

  /** Gives up, and gives back what it saved. */
  abandon(): void {
    this.overrun = true;
    this.#saved.clear();
    this.#count(-this.#savedBytes);
    this.#cursor = this.#end;
  }

  /**
   * The next entries: about `max`, and about `maxBytes` together. None does not mean the end: `done` does.
   */
  take(max: number, maxBytes: number): SnapshotEntry[] {
    const table = this.#table;
    const ids: number[] = [];
    let bytes = 0;
    let total = 0;
    const last = Math.min(this.#end, this.#cursor + MAX_SCAN);
    let id = this.#cursor;
    for (; id < last && ids.length < max && total < maxBytes; id++) {
      const sequence = table.sequence(id);
      if (sequence < 0 || sequence > this.sequence) continue;
      if (this.prefix.length > 0 && !table.hasPrefix(id, this.prefix)) continue;
      ids.push(id);
      const large = table.largeValue(id);
      bytes += table.keyLength(id) + (large === undefined ? table.valueLength(id) : 0);
      total += table.keyLength(id) + table.valueLength(id);
    }
    this.#cursor = id;
    const entries = this.#copies(ids, bytes);
    if (id < this.#end) return entries;
    for (let entry = this.#saved.peek(); entry !== undefined; entry = this.#saved.peek()) {
      if (entries.length >= max || total >= maxBytes) break;
      total += entry.key.length + entry.value.length;
      entries.push(entry);
      this.#saved.shift();
      this.#count(-(entry.key.length + entry.value.length));
    }
    return entries;
  }

  #count(bytes: number): void {
    this.#savedBytes += bytes;
    this.#total.bytes += bytes;
  }

  /** All in one piece of memory: what is handed out must not change with the table. */
  #copies(ids: readonly number[], bytes: number): SnapshotEntry[] {
    const table = this.#table;
    const memory = Buffer.allocUnsafeSlow(bytes);
    const entries: SnapshotEntry[] = [];
    let at = 0;
    for (const id of ids) {
      const keyEnd = at + table.keyLength(id);
      table.copyKey(id, memory, at);
      const key = memory.subarray(at, keyEnd);
      let value = table.largeValue(id);
      at = keyEnd;
      if (value === undefined) {
        at = keyEnd + table.valueLength(id);
        table.copyValue(id, memory, keyEnd);
        value = memory.subarray(keyEnd, at);
      }
      entries.push({ key, value, sequence: table.sequence(id) });
    }
    return entries;
  }
}
