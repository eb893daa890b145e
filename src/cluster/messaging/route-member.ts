import { MAX_NODE_ROUTES } from "./bounds.js";
import { type RouteChanges, RouteProgress } from "./route-own.js";
import type { RouteNode, RouteTable } from "./route-table.js";

export interface RouteLimits {
  readonly nodeRoutes: number;
  readonly nodeBytes: number;
  /** Filters of a node whose retained values are sent. */
  readonly nodeWanted: number;
  readonly routes: number;
  readonly bytes: number;
}

/** Lists of a member that are deleted, and not swept out of the table yet: each has a number, which all members share. */
const MAX_RETIRED = 64;

/** Further routes are not taken. */
export const ROUTE_LIMITS: RouteLimits = {
  nodeRoutes: MAX_NODE_ROUTES,
  nodeBytes: 268_435_456,
  nodeWanted: 65_536,
  routes: 33_554_432,
  bytes: 2_147_483_648,
};

export interface RouteCopies {
  readonly store: RouteTable;
  readonly limits: RouteLimits;
  /** Counts refusals, by reason. */
  refuse(reason: string): void;
}

/** Another node: a bounded copy of its subscriptions in a table, and how far it has got with this node's. */
export class RouteMember {
  readonly id: string;
  /** This node's version when the member was met. Earlier versions do not wait for the member. */
  since = 0;
  progress = new RouteProgress();
  /** Delivered version. */
  have = 0;
  /** Of the link, when the last item was sent. */
  session = -1;
  /** Undelivered items; the count of restarts, since late reports are ignored. */
  inFlight = 0;
  epoch = 0;
  /** Whether the member's list is to be asked for. */
  asks = false;
  /** Whether the member has asked for the list: it gets an empty one, too. */
  isAsked = false;
  /** When it got its last snapshot. */
  snapshotAt = Number.NEGATIVE_INFINITY;
  readonly #copies: RouteCopies;
  /** Whether the copy was whole once: changes may follow. */
  isWhole = false;
  /** The snapshot that is being read, and the number of its changes so far. */
  #reading: RouteNode | undefined = undefined;
  #read = 0;
  #node: RouteNode;
  #retired: RouteNode[] = [];
  /** Filters whose retained values it wants; and those of a snapshot that is being read. */
  wanted = new Set<string>();
  #readWanted = this.wanted;

  constructor(id: string, copies: RouteCopies) {
    this.id = id;
    this.#copies = copies;
    this.#node = copies.store.takeNode();
  }

  /** A lost node's routes are kept, but lead nowhere. */
  get isAlive(): boolean {
    return this.#node.owner !== undefined;
  }

  set isAlive(isAlive: boolean) {
    this.#node.owner = isAlive ? this.id : undefined;
  }

  lacks(version: number): boolean {
    return this.isAlive && this.since < version && this.have < version;
  }

  /** The member may have none of the items. */
  restart(): void {
    this.inFlight = 0;
    this.epoch += 1;
    this.progress = new RouteProgress();
    this.have = 0;
    this.session = -1;
  }

  end(): void {
    this.#endReading();
    this.#copies.store.deleteNode(this.#node);
  }

  get isReading(): boolean {
    return this.#reading !== undefined;
  }

  #endReading(): void {
    const node = this.#reading;
    this.#reading = undefined;
    this.#readWanted = this.wanted;
    if (node !== undefined && node !== this.#node) this.#retire(node);
  }

  #retire(node: RouteNode): void {
    this.#copies.store.deleteNode(node);
    this.#retired = [...this.#retired.filter(({ isFree }) => !isFree), node];
  }

  /**
   * Changes of the list, or of a snapshot that is being read.
   *
   * @returns filters whose retained values are to be sent; or why the changes are refused
   */
  take(changes: RouteChanges): readonly string[] | "sequence" | "snapshot" {
    if (changes.isFirst && !this.#beginReading()) return "snapshot";
    const reading = this.#reading;
    if (reading === undefined && (changes.isLast || !this.isWhole)) return "sequence";
    this.#read += changes.changes.length;
    // The list may change while it is read, but a snapshot has an end.
    if (reading !== undefined && this.#read > 3 * this.#copies.limits.nodeRoutes) {
      this.#endReading();
      return "snapshot";
    }
    const wanted = this.#apply(reading ?? this.#node, changes);
    if (reading === undefined) return wanted;
    if (!changes.isLast) return [];
    this.#finish(reading);
    return [...this.wanted];
  }

  /** Into the current node while it is empty, so that it serves at once. @returns `false`: it has begun too many */
  #beginReading(): boolean {
    this.#endReading();
    if (this.#retired.filter(({ isFree }) => !isFree).length >= MAX_RETIRED) return false;
    const isEmpty = !this.isWhole && this.#node.routes === 0;
    this.#reading = isEmpty ? this.#node : this.#copies.store.takeNode();
    this.#read = 0;
    this.#readWanted = new Set();
    return true;
  }

  /** Routes above a bound, and invalid filters, are left out and counted. @returns filters whose values are wanted */
  #apply(node: RouteNode, { changes }: RouteChanges): string[] {
    const { store, limits, refuse } = this.#copies;
    const wanted: string[] = [];
    for (const { filter, isAdded, isWanted } of changes) {
      const bytes = Buffer.byteLength(filter);
      this.#readWanted.delete(filter);
      if (!isAdded) store.delete(filter, node);
      else if (node.routes >= limits.nodeRoutes || node.bytes + bytes > limits.nodeBytes)
        refuse("routes:node");
      else if (store.size >= limits.routes || store.filterBytes + bytes > limits.bytes) refuse("routes:all");
      else {
        const result = store.add(filter, node);
        if (result !== "added" && result !== "known") refuse(`filter:${result}`);
        else if (isWanted === true && this.#readWanted.size >= limits.nodeWanted) refuse("routes:wanted");
        else if (isWanted === true) {
          this.#readWanted.add(filter);
          wanted.push(filter);
        }
      }
    }
    return wanted.filter((filter) => this.#readWanted.has(filter));
  }

  #finish(node: RouteNode): void {
    const before = this.#node;
    this.#reading = undefined;
    this.isWhole = true;
    this.wanted = this.#readWanted;
    if (node === before) return;
    node.owner = before.owner;
    this.#node = node;
    this.#retire(before);
  }
}
