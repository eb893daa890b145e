/** Bounded copies of other nodes' subscriptions, in a table. */
import {
  MAX_NODE_ROUTE_BYTES,
  MAX_NODE_ROUTES,
  MAX_ROUTE_BYTES,
  MAX_ROUTES,
  ROUTE_REFILL,
  ROUTE_REFILL_MAX,
} from "./bounds.js";
import { type RouteChanges, type RouteDelta, type RoutePart, readChanges } from "./route-wire.js";

/** A RouteTable. */
export interface RouteStore {
  /** `undefined`: no number is free. */
  takeNode(): number | undefined;
  /**
   * @param bytes where the filter is, as UTF-8; not kept
   * @returns "added", "known", or why it is refused
   */
  addBytes(bytes: Uint8Array, start: number, end: number, node: number): string;
  delete(filter: string, node: number): boolean;
  deleteNode(node: number): number;
  /** Whether filters are refused that would be taken without those of others. */
  readonly isFull: boolean;
}

export interface RouteLimits {
  readonly nodeRoutes: number;
  readonly nodeBytes: number;
  readonly routes: number;
  readonly bytes: number;
}

export const ROUTE_LIMITS: RouteLimits = {
  nodeRoutes: MAX_NODE_ROUTES,
  nodeBytes: MAX_NODE_ROUTE_BYTES,
  routes: MAX_ROUTES,
  bytes: MAX_ROUTE_BYTES,
};

/** A number of the store, or -1, and what is under it. */
interface RouteSet {
  readonly number: number;
  routes: number;
  bytes: number;
  /** Routes that were left out, and whether others' routes were in the way: there may be room later. */
  leftOut: number;
  isShort: boolean;
}

export class RouteNumbers {
  readonly #store: RouteStore;
  readonly limits: RouteLimits;
  readonly #owners: (string | undefined)[] = [];
  routes = 0;
  bytes = 0;
  readonly refused: Record<string, number> = Object.create(null) as Record<string, number>;

  constructor(store: RouteStore, limits: RouteLimits) {
    this.#store = store;
    this.limits = limits;
  }

  take(): RouteSet {
    const number = this.#store.takeNode() ?? -1;
    return { number, routes: 0, bytes: 0, leftOut: 0, isShort: false };
  }

  ownerOf(number: number): string | undefined {
    return this.#owners[number];
  }

  setOwner({ number }: RouteSet, id: string | undefined): void {
    if (number >= 0) this.#owners[number] = id;
  }

  free(set: RouteSet): void {
    this.setOwner(set, undefined);
    this.#store.deleteNode(set.number);
    this.routes -= set.routes;
    this.bytes -= set.bytes;
  }

  /** Whether there is room for routes that a set lacks, next to the copy of the set, which serves until replaced. */
  hasRoomFor({ routes, bytes }: RouteSet): boolean {
    return (
      !this.#store.isFull &&
      this.routes + routes < this.limits.routes &&
      this.bytes + bytes < this.limits.bytes
    );
  }

  count(reason: string): void {
    this.refused[reason] = (this.refused[reason] ?? 0) + 1;
  }

  /** Routes above a bound, and invalid filters, are left out and counted. */
  apply(set: RouteSet, changes: RouteChanges): void {
    readChanges(changes, (isAdded, bytes, start, end) => {
      if (isAdded) this.#addRoute(set, bytes, start, end);
      else if (this.#store.delete(bytes.toString("utf8", start, end), set.number))
        this.#account(set, -1, start - end);
    });
  }

  #addRoute(set: RouteSet, bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    const { nodeRoutes, nodeBytes, routes, bytes: allBytes } = this.limits;
    let reason: string;
    if (set.routes >= nodeRoutes || set.bytes + length > nodeBytes) reason = "routes:node";
    else if (this.routes >= routes || this.bytes + length > allBytes) {
      reason = "routes:all";
      set.isShort = true;
    } else {
      const result = this.#store.addBytes(bytes, start, end, set.number);
      if (result === "added") this.#account(set, 1, length);
      if (result === "added" || result === "known") return;
      reason = `filter:${result}`;
      if ((result === "shapes" || result === "numbers") && this.#store.isFull) set.isShort = true;
    }
    set.leftOut += 1;
    this.count(reason);
  }

  #account(set: RouteSet, routes: number, bytes: number): void {
    set.routes += routes;
    set.bytes += bytes;
    this.routes += routes;
    this.bytes += bytes;
  }
}

interface Reading {
  readonly number: number;
  readonly base: number;
  readonly set: RouteSet;
  next: number;
  count: number;
}

export class RouteCopy {
  readonly id: string;
  readonly #numbers: RouteNumbers;
  life: number;
  version = 0;
  /** The latest version that the owner stated. */
  claimed = 0;
  reading: Reading | undefined = undefined;
  #set: RouteSet;
  #isActive = false;
  /** The version from which on the copy has exactly the owner's filters. */
  #exact = 0;
  #lastSnapshot = 0;
  /** For routes that were left out. */
  #refillAt = Number.NEGATIVE_INFINITY;
  #refillPause = ROUTE_REFILL;

  constructor(id: string, life: number, numbers: RouteNumbers) {
    this.id = id;
    this.life = life;
    this.#numbers = numbers;
    this.#set = numbers.take();
  }

  get number(): number {
    return this.#set.number;
  }

  get isActive(): boolean {
    return this.#isActive;
  }

  set isActive(isActive: boolean) {
    this.#isActive = isActive;
    this.#numbers.setOwner(this.#set, isActive ? this.id : undefined);
  }

  get isSettled(): boolean {
    return this.reading === undefined && this.version >= this.claimed;
  }

  /** Its owner is another process now. */
  reset(life: number): void {
    this.end();
    this.#set = this.#numbers.take();
    this.isActive = this.#isActive;
    this.life = life;
    this.version = 0;
    this.claimed = 0;
    this.#exact = 0;
    this.#lastSnapshot = 0;
  }

  end(): void {
    this.#endReading();
    this.#numbers.free(this.#set);
  }

  #endReading(): void {
    const set = this.reading?.set;
    this.reading = undefined;
    if (set !== undefined && set !== this.#set) this.#numbers.free(set);
  }

  /** @returns why it is refused */
  change(delta: RouteDelta): string | undefined {
    const { from, count } = delta;
    if (from + count <= this.version) return undefined;
    if (from !== this.version || this.version === 0 || this.reading !== undefined) return "sequence";
    this.#numbers.apply(this.#set, delta);
    this.version += count;
    return undefined;
  }

  /** Reads a snapshot, into an empty current number, so that it serves at once. @returns why it is refused */
  read(part: RoutePart): string | undefined {
    if (part.part === 0 && part.snapshot > this.#lastSnapshot) {
      this.#endReading();
      this.#lastSnapshot = part.snapshot;
      const isFirst = this.version === 0 && this.#set.routes === 0;
      const set = isFirst ? this.#set : this.#numbers.take();
      this.reading = { number: part.snapshot, base: part.base, set, next: 0, count: 0 };
    }
    const { reading } = this;
    if (reading === undefined || part.snapshot !== reading.number || part.base !== reading.base)
      return part.snapshot <= this.#lastSnapshot ? undefined : "sequence";
    if (part.part !== reading.next) return part.part < reading.next ? undefined : "sequence";
    reading.next += 1;
    reading.count += part.count;
    // The list may change while it is read, but a snapshot has an end.
    if (reading.count > 2 * this.#numbers.limits.nodeRoutes) {
      this.#endReading();
      return "snapshot";
    }
    this.#numbers.apply(reading.set, part);
    if (part.isLast) this.#finish(reading, part);
    return undefined;
  }

  #finish({ set, base }: Reading, { exact }: RoutePart): void {
    this.reading = undefined;
    if (set !== this.#set) {
      this.#numbers.free(this.#set);
      this.#set = set;
      this.isActive = this.#isActive;
    }
    this.version = base;
    this.#exact = exact;
  }

  /** Whether it differs from the owner's list of this version. */
  differs(filters: number): boolean {
    const { routes, leftOut } = this.#set;
    return this.version >= this.#exact && leftOut === 0 && routes !== filters;
  }

  /** Whether routes were left out for those of others, and there is room now. */
  mayRefill(now: number): boolean {
    return (
      this.#isActive &&
      this.#set.isShort &&
      this.reading === undefined &&
      now >= this.#refillAt &&
      this.#numbers.hasRoomFor(this.#set)
    );
  }

  /** Fetches all of it again. The pause grows, since there may never be room for all routes of a node. */
  refill(now: number): void {
    this.#refillAt = now + this.#refillPause;
    this.#refillPause = Math.min(2 * this.#refillPause, ROUTE_REFILL_MAX);
  }
}
