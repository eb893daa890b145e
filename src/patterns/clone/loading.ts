/**
 * A snapshot in flight to a client or to a follower.
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
  readonly updates: Update[] = [];
  /** Cost of the updates (core/frame-cost.ts). */
  queued = 0;

  get bytes(): number {
    return this.table.bytes + this.queued;
  }

  queue(update: Update, cost: number): void {
    this.updates.push(update);
    this.queued += cost;
  }
}

export interface LoadedMap {
  readonly table: CloneTable;
  /** When keys end. */
  readonly expires: ReadonlyMap<number, number>;
  /** UUIDs of recent updates, 16 bytes each. */
  readonly seen: Buffer;
  readonly sequence: number;
  readonly standing: Standing;
  readonly updates: readonly Operation[];
}

export function uuidsOf(bytes: Buffer): Buffer[] {
  return Array.from({ length: Math.floor(bytes.length / UUID_BYTES) }, (_, i) =>
    bytes.subarray(i * UUID_BYTES, (i + 1) * UUID_BYTES),
  );
}
