/**
 * This node's own subscriptions, and the history by which others learn them.
 *
 *   add, delete ─> a version each ─> blocks of changes, encoded once ─> cut: the log
 *
 * A member with a version in the log gets the blocks since; another one gets a snapshot. A snapshot is read from the
 * changing set: the blocks since its base follow, and may repeat additions and removals.
 */
import { MAX_ROUTE_LOG, ROUTE_BLOCK } from "./bounds.js";
import { type RouteChange, RouteChangesWriter } from "./route-wire.js";

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
    const bound = this.snapshots.size > 0 ? 16 * MAX_ROUTE_LOG : MAX_ROUTE_LOG;
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
