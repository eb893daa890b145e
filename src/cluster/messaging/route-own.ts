/**
 * This node's own subscriptions, and the history by which others learn them.
 *
 *   add, delete ─> a version each ─> cut: blocks of changes, encoded once ─> the log
 *
 * A member with a version in the log gets the blocks since; another one gets a snapshot. A snapshot is read from the
 * changing set: the blocks since its base follow, and may repeat additions and removals.
 */
import { MAX_ROUTE_LOG, ROUTE_BLOCK } from "./bounds.js";
import { RouteChangesWriter } from "./route-wire.js";

interface Change {
  readonly filter: string;
  readonly isAdded: boolean;
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

export class OwnRoutes {
  readonly filters = new Set<string>();
  readonly #writer = new RouteChangesWriter();
  /** Changes without a block, from `#next` on. */
  #pending: Change[] = [];
  #next = 0;
  /** By the version before; the oldest one first. */
  readonly log = new Map<number, RouteBlock>();
  /** Until the member has all of it, or gets no more of it. */
  readonly snapshots = new Set<RouteSnapshot>();
  /** Changes so far, including pending ones. */
  version = 0;
  /** The version up to which all are in blocks. */
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
    this.#change(filter, true);
  }

  delete(filter: string): void {
    if (!this.filters.delete(filter)) return;
    this.bytes -= Buffer.byteLength(filter);
    this.#change(filter, false);
  }

  #change(filter: string, isAdded: boolean): void {
    this.version += 1;
    this.#pending.push({ filter, isAdded });
  }

  /** Makes blocks of pending changes. @param most number */
  makeBlocks(most: number): void {
    for (let i = 0; i < most && this.hasPending; i++) this.#makeBlock();
    if (!this.hasPending) {
      this.#pending = [];
      this.#next = 0;
    }
    // Snapshots that are being read continue from the log.
    const bound = this.snapshots.size > 0 ? 16 * MAX_ROUTE_LOG : MAX_ROUTE_LOG;
    for (const [from, { item }] of this.log) {
      if (this.logBytes <= bound || this.log.size === 1) break;
      this.log.delete(from);
      this.logBytes -= item.length;
    }
  }

  #makeBlock(): void {
    const from = this.cut;
    while (this.cut < this.version) {
      const { filter, isAdded } = this.#pending[this.#next] as Change;
      if (this.#writer.count > 0 && this.#writer.size + filter.length > ROUTE_BLOCK) break;
      this.#writer.add(filter, isAdded);
      this.#next += 1;
      this.cut += 1;
    }
    const item = this.#writer.take({ isFirst: false, isLast: false });
    this.log.set(from, { to: this.cut, item });
    this.logBytes += item.length;
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
    while (this.#writer.size < ROUTE_BLOCK) {
      const { done, value } = snapshot.filters.next();
      if (done === true) {
        snapshot.isLast = true;
        break;
      }
      this.#writer.add(value, true);
    }
    const part = this.#writer.take(snapshot);
    snapshot.isFirst = false;
    return part;
  }
}
