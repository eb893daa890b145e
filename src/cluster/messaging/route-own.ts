/**
 * This node's own subscriptions, and the items of the kind ROUTES by which others learn them (docs/spec/messaging.md).
 *
 *   add, delete ─> a version each ─> blocks of changes, encoded once ─> cut: the log
 *
 *   CHANGES 1 | flags 1: 1 a snapshot begins, 2 it ends | changes to the end of the item
 *   ASK     2
 *   change    1 added, 0 removed | filter text
 *
 * A member with a version in the log gets the blocks since; another one gets a snapshot. A snapshot is read from the
 * changing set: the blocks since its base follow, and may repeat additions and removals.
 */
import { Reader, Writer } from "../compact.js";
import { ROUTE_BLOCK } from "./bounds.js";

const RouteItem = { CHANGES: 1, ASK: 2 } as const;

/** Flags of CHANGES. */
const PartFlag = { FIRST: 1, LAST: 2 } as const;

export interface RouteChange {
  readonly filter: string;
  readonly isAdded: boolean;
}

export interface RouteChanges {
  readonly isFirst: boolean;
  readonly isLast: boolean;
  readonly changes: readonly RouteChange[];
}

export const ASK: Buffer = Buffer.from([RouteItem.ASK]);

export class RouteChangesWriter {
  readonly #out = new Writer(16_384);

  constructor() {
    this.#begin();
  }

  #begin(): void {
    this.#out.byte(RouteItem.CHANGES);
    this.#out.byte(0);
  }

  /** Bytes of the changes so far. */
  get size(): number {
    return this.#out.at - 2;
  }

  add({ filter, isAdded }: RouteChange): void {
    this.#out.byte(isAdded ? 1 : 0);
    this.#out.text(filter);
  }

  /** The item; the writer begins again. */
  take({ isFirst, isLast }: Pick<RouteChanges, "isFirst" | "isLast">): Buffer {
    this.#out.bytes[1] = (isFirst ? PartFlag.FIRST : 0) | (isLast ? PartFlag.LAST : 0);
    const item = this.#out.take();
    this.#begin();
    return item;
  }
}

/** @returns "ask"; `undefined` for an invalid item */
export function decodeRouteItem(item: Buffer): RouteChanges | "ask" | undefined {
  if (item.equals(ASK)) return "ask";
  if (item[0] !== RouteItem.CHANGES || item.length > 131_072) return undefined;
  const reader = new Reader(item, 1);
  const flags = reader.uintUpTo(PartFlag.FIRST | PartFlag.LAST);
  const isLast = (flags & PartFlag.LAST) !== 0;
  const changes: RouteChange[] = [];
  while (reader.at < reader.end && !reader.failed) {
    const isAdded = reader.uintUpTo(1) === 1;
    changes.push({ filter: reader.text(item.length), isAdded });
  }
  // Only the end of a snapshot may have none.
  if (reader.failed || (changes.length === 0 && !isLast)) return undefined;
  return { isFirst: (flags & PartFlag.FIRST) !== 0, isLast, changes };
}

export interface RouteBlock {
  /** The version after it. */
  readonly to: number;
  readonly item: Buffer;
}

export interface RouteSnapshot {
  readonly base: number;
  readonly filters: Iterator<string>;
  isFirst: boolean;
  /** A part that the link has not taken yet. */
  part: Buffer | undefined;
  /** Whether `part` is the last one. */
  isLast: boolean;
}

/** This node's filters, their changes and the snapshots of them that members are getting. */
export class OwnRoutes {
  readonly filters = new Set<string>();
  /** Of the next block, and of a part of a snapshot. */
  readonly #changes = new RouteChangesWriter();
  readonly #part = new RouteChangesWriter();
  /** Those that the log does not have yet. */
  readonly #blocks: RouteBlock[] = [];
  /** By the version before; the oldest one first. */
  readonly log = new Map<number, RouteBlock>();
  /** Until the member has all of it, or gets no more of it. */
  readonly snapshots = new Set<RouteSnapshot>();
  /** Changes so far, including pending ones. */
  version = 0;
  /** The version up to which the log has them. */
  cut = 0;
  bytes = 0;
  logBytes = 0;

  get hasPending(): boolean {
    return this.cut < this.version;
  }

  add(filter: string): void {
    if (this.filters.has(filter)) return;
    this.filters.add(filter);
    this.bytes += Buffer.byteLength(filter);
    this.#change({ filter, isAdded: true });
  }

  delete(filter: string): void {
    if (!this.filters.delete(filter)) return;
    this.bytes -= Buffer.byteLength(filter);
    this.#change({ filter, isAdded: false });
  }

  #change(change: RouteChange): void {
    if (this.#changes.size + change.filter.length > ROUTE_BLOCK) this.#endBlock();
    this.#changes.add(change);
    this.version += 1;
  }

  #endBlock(): void {
    this.#blocks.push({ to: this.version, item: this.#changes.take({ isFirst: false, isLast: false }) });
  }

  /** Moves blocks into the log, the last one with what has changed until now. @param most number */
  logBlocks(most: number): void {
    if (this.#blocks.length < most && this.#changes.size > 0) this.#endBlock();
    for (const block of this.#blocks.splice(0, most)) {
      this.log.set(this.cut, block);
      this.cut = block.to;
      this.logBytes += block.item.length;
    }
    // Snapshots that are being read continue from the log.
    const bound = this.snapshots.size > 0 ? 16_777_216 : 1_048_576;
    for (const [from, { item }] of this.log) {
      if (this.logBytes <= bound || this.log.size === 1) break;
      this.log.delete(from);
      this.logBytes -= item.length;
    }
  }

  beginSnapshot(): RouteSnapshot {
    const snapshot: RouteSnapshot = {
      base: this.cut,
      filters: this.filters.values(),
      isFirst: true,
      part: undefined,
      isLast: false,
    };
    this.snapshots.add(snapshot);
    return snapshot;
  }

  makePart(snapshot: RouteSnapshot): Buffer {
    while (this.#part.size < ROUTE_BLOCK) {
      const { done, value } = snapshot.filters.next();
      if (done === true) {
        snapshot.isLast = true;
        break;
      }
      this.#part.add({ filter: value, isAdded: true });
    }
    const part = this.#part.take(snapshot);
    snapshot.isFirst = false;
    return part;
  }
}
