/**
 * A snapshot in flight to a client or to the follower of a pair.
 *
 *   KVSYNC   into the table, which is used once it is whole
 *   KVPUB    into the queue
 *   KTHXBAI  the table takes the place of the map, and the queue is applied to it
 */
import type { Operation } from "./operation.js";
import { UUID_BYTES } from "./protocol.js";
import type { Standing } from "./standing.js";
import { CloneTable } from "./table.js";

export class Loading<Update> {
  readonly table = new CloneTable();
  /** The updates that came with it, in order. */
  readonly updates: Update[] = [];
  /** Cost of the updates (core/frame-cost.ts). */
  queued = 0;

  /** Bytes of keys and values, and the cost of the updates. */
  get bytes(): number {
    return this.table.bytes + this.queued;
  }

  queue(update: Update, cost: number): void {
    this.updates.push(update);
    this.queued += cost;
  }
}

/** The whole map of the server that serves. */
export interface LoadedMap {
  readonly table: CloneTable;
  /** When keys end, by id. */
  readonly expires: ReadonlyMap<number, number>;
  /** UUIDs of updates that the other server applied recently, 16 bytes each. */
  readonly seen: Buffer;
  readonly sequence: number;
  /** Of the server that sent the map. */
  readonly standing: Standing;
  readonly updates: readonly Operation[];
}

/** Splits consecutive UUIDs. */
export function uuidsOf(bytes: Buffer): Buffer[] {
  return Array.from({ length: Math.floor(bytes.length / UUID_BYTES) }, (_, i) =>
    bytes.subarray(i * UUID_BYTES, (i + 1) * UUID_BYTES),
  );
}
