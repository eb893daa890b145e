/** Bounded copies of other nodes' subscriptions, in a table. */
import { MAX_NODE_ROUTES } from "./bounds.js";
import { type RouteChanges, readChanges } from "./route-wire.js";

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
}

export interface RouteLimits {
  readonly nodeRoutes: number;
  readonly nodeBytes: number;
  readonly routes: number;
  readonly bytes: number;
}

/** Further routes are not taken. */
export const ROUTE_LIMITS: RouteLimits = {
  nodeRoutes: MAX_NODE_ROUTES,
  nodeBytes: 268_435_456,
  routes: 33_554_432,
  bytes: 2_147_483_648,
};

/** A number of the store, or -1, and what is under it. */
interface RouteSet {
  readonly number: number;
  routes: number;
  bytes: number;
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
    return { number, routes: 0, bytes: 0 };
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
    let reason = "";
    if (set.routes >= nodeRoutes || set.bytes + length > nodeBytes) reason = "routes:node";
    else if (this.routes >= routes || this.bytes + length > allBytes) reason = "routes:all";
    else {
      const result = this.#store.addBytes(bytes, start, end, set.number);
      if (result === "added") this.#account(set, 1, length);
      else if (result !== "known") reason = `filter:${result}`;
    }
    if (reason !== "") this.count(reason);
  }

  #account(set: RouteSet, routes: number, bytes: number): void {
    set.routes += routes;
    set.bytes += bytes;
    this.routes += routes;
    this.bytes += bytes;
  }
}

export class RouteCopy {
  readonly id: string;
  readonly #numbers: RouteNumbers;
  /** Whether it was whole once: changes may follow. */
  isWhole = false;
  /** The snapshot that is being read, and the number of its changes so far. */
  #reading: RouteSet | undefined = undefined;
  #read = 0;
  #set: RouteSet;
  #isAlive = false;

  constructor(id: string, numbers: RouteNumbers) {
    this.id = id;
    this.#numbers = numbers;
    this.#set = numbers.take();
  }

  get number(): number {
    return this.#set.number;
  }

  /** A lost node's routes are kept, but lead nowhere. */
  get isAlive(): boolean {
    return this.#isAlive;
  }

  set isAlive(isAlive: boolean) {
    this.#isAlive = isAlive;
    this.#numbers.setOwner(this.#set, isAlive ? this.id : undefined);
  }

  end(): void {
    this.#endReading();
    this.#numbers.free(this.#set);
  }

  get isReading(): boolean {
    return this.#reading !== undefined;
  }

  #endReading(): void {
    const set = this.#reading;
    this.#reading = undefined;
    if (set !== undefined && set !== this.#set) this.#numbers.free(set);
  }

  /** Changes of the list, or of a snapshot that is being read. @returns why they are refused */
  take(changes: RouteChanges): "sequence" | "snapshot" | undefined {
    if (changes.isFirst) this.#beginReading();
    const reading = this.#reading;
    if (reading === undefined && (changes.isLast || !this.isWhole)) return "sequence";
    this.#read += changes.count;
    // The list may change while it is read, but a snapshot has an end.
    if (reading !== undefined && this.#read > 2 * this.#numbers.limits.nodeRoutes) {
      this.#endReading();
      return "snapshot";
    }
    this.#numbers.apply(reading ?? this.#set, changes);
    if (reading !== undefined && changes.isLast) this.#finish(reading);
    return undefined;
  }

  /** Into the current number while it is empty, so that it serves at once. */
  #beginReading(): void {
    this.#endReading();
    const isEmpty = !this.isWhole && this.#set.routes === 0;
    this.#reading = isEmpty ? this.#set : this.#numbers.take();
    this.#read = 0;
  }

  #finish(set: RouteSet): void {
    this.#reading = undefined;
    this.isWhole = true;
    if (set === this.#set) return;
    this.#numbers.free(this.#set);
    this.#set = set;
    this.isAlive = this.#isAlive;
  }
}
