/** What this node has of another node's interest: the version, how much of it, what of it can be handed on, and what is being fetched. */
import {
  MAX_NODE_ROUTE_BYTES,
  MAX_NODE_ROUTES,
  MAX_ROUTE_BYTES,
  MAX_ROUTE_HISTORIES,
  MAX_ROUTE_HISTORY,
  MAX_ROUTES,
  ROUTE_PATIENCE,
  ROUTE_REFILL,
  ROUTE_REFILL_MAX,
} from "./bounds.js";
import { RoutePace } from "./route-pace.js";
import { type Block, BlockKind, Operation, type OperationSink, readOperations } from "./route-wire.js";

/** Where routes are kept: a RouteTable. */
export interface RouteStore {
  /**
   * @param bytes where the filter is, as UTF-8; not kept
   * @returns "added", "known", or why it is refused
   */
  addBytes(bytes: Uint8Array, start: number, end: number, node: number): string;
  delete(filter: string, node: number): boolean;
  deleteNode(node: number): number;
  /** Whether filters are refused that would be taken if those of others were not there. */
  readonly isFull: boolean;
}

/** Where the ids of names are kept: TopicIds. */
export interface NameStore {
  /** @returns "added", "known", or why it is refused */
  register(name: string, id: number, chosen: boolean, node: number): string;
  unregister(name: string, id: number, node: number): boolean;
  deleteNode(node: number): number;
}

export interface RouteStores {
  readonly routes: RouteStore;
  readonly topics: NameStore;
  readonly subtopics: NameStore;
}

export interface RouteLimits {
  /** Routes of one node, and bytes of their filters. */
  readonly nodeRoutes: number;
  readonly nodeBytes: number;
  /** Of all nodes. */
  readonly routes: number;
  readonly bytes: number;
}

export const ROUTE_LIMITS: RouteLimits = {
  nodeRoutes: MAX_NODE_ROUTES,
  nodeBytes: MAX_NODE_ROUTE_BYTES,
  routes: MAX_ROUTES,
  bytes: MAX_ROUTE_BYTES,
};

/** The numbers by which the stores have the nodes, and what all of them have together. */
export class RouteNumbers {
  readonly #stores: RouteStores;
  readonly #limits: RouteLimits;
  /** By number: whose routes they are while these are used; `undefined`: nobody's. */
  readonly #owners: (string | undefined)[] = [];
  readonly #free: number[] = [];
  routes = 0;
  bytes = 0;
  /** Bytes of blocks that are kept to be handed on. */
  historyBytes = 0;
  readonly refused: Record<string, number> = Object.create(null) as Record<string, number>;
  /** Of the block that is applied: where its operations go. */
  #set: RouteSet | undefined;
  readonly #sink: OperationSink;

  constructor(stores: RouteStores, limits: RouteLimits) {
    this.#stores = stores;
    this.#limits = limits;
    this.#sink = {
      filter: (kind, bytes, start, end) => this.#applyFilter(kind, bytes, start, end),
      name: (kind, name, id) => this.#applyName(kind, name, id),
    };
  }

  /** The live node that a number leads to. */
  ownerOf(number: number): string | undefined {
    return this.#owners[number];
  }

  setOwner(number: number, id: string | undefined): void {
    this.#owners[number] = id;
  }

  take(): RouteSet {
    const number = this.#free.pop() ?? this.#owners.length;
    this.#owners[number] = undefined;
    return { number, routes: 0, bytes: 0, isShort: false };
  }

  /** All routes and names of a number go, and it is free. */
  free(set: RouteSet): void {
    this.#owners[set.number] = undefined;
    this.#stores.routes.deleteNode(set.number);
    this.#stores.topics.deleteNode(set.number);
    this.#stores.subtopics.deleteNode(set.number);
    this.routes -= set.routes;
    this.bytes -= set.bytes;
    this.#free.push(set.number);
  }

  /** Whether there is room for what a set lacks, next to a copy of what it has: it serves until the copy takes its place. */
  hasRoomFor({ routes, bytes }: RouteSet): boolean {
    return (
      !this.#stores.routes.isFull &&
      this.routes + routes < this.#limits.routes &&
      this.bytes + bytes < this.#limits.bytes
    );
  }

  count(reason: string): void {
    this.refused[reason] = (this.refused[reason] ?? 0) + 1;
  }

  /** Does what a block states. What is past a bound, or is no filter, is left out and counted. */
  apply(set: RouteSet, block: Block): void {
    this.#set = set;
    readOperations(block, this.#sink);
    this.#set = undefined;
  }

  #applyFilter(kind: number, bytes: Buffer, start: number, end: number): void {
    const set = this.#set as RouteSet;
    const length = end - start;
    const { nodeRoutes, nodeBytes, routes, bytes: allBytes } = this.#limits;
    if (kind !== Operation.ADD) {
      if (this.#stores.routes.delete(bytes.toString("utf8", start, end), set.number))
        this.#add(set, -1, -length);
    } else if (set.routes >= nodeRoutes || set.bytes + length > nodeBytes) this.count("routes:node");
    else if (this.routes >= routes || this.bytes + length > allBytes) {
      this.count("routes:all");
      set.isShort = true;
    } else {
      const result = this.#stores.routes.addBytes(bytes, start, end, set.number);
      if (result === "added") this.#add(set, 1, length);
      else if (result !== "known") {
        this.count(`filter:${result}`);
        if ((result === "shapes" || result === "numbers") && this.#stores.routes.isFull) set.isShort = true;
      }
    }
  }

  #applyName(kind: number, name: string, id: number): void {
    const set = this.#set as RouteSet;
    const store = (kind & Operation.SUBTOPIC) === 0 ? this.#stores.topics : this.#stores.subtopics;
    if ((kind & Operation.ADD) === 0) {
      store.unregister(name, id, set.number);
      return;
    }
    const result = store.register(name, id, (kind & Operation.CHOSEN) !== 0, set.number);
    if (result !== "added" && result !== "known") this.count(`name:${result}`);
  }

  #add(set: RouteSet, routes: number, bytes: number): void {
    set.routes += routes;
    set.bytes += bytes;
    this.routes += routes;
    this.bytes += bytes;
  }
}

/** A number of the stores, and what is under it. */
export interface RouteSet {
  readonly number: number;
  routes: number;
  bytes: number;
  /** Some routes were left out since others' took all the room that there is: there may be some later. */
  isShort: boolean;
}

/** What is being fetched, and from whom. */
export interface Pull {
  readonly server: string;
  /** Others have left it less time than a node has for an answer: that none came in time is not its node's fault. */
  readonly isHurried: boolean;
  /** Of a snapshot: its version, where its parts go, and the next part. 0: none is read. */
  base: number;
  set: RouteSet | undefined;
  next: number;
  /** Operations of the snapshot so far, and their bytes. */
  count: number;
  bytes: number;
  /** When the last blocks were asked for, the version of the copy then, and how many may still come. */
  askedAt: number;
  had: number;
  left: number;
  /** Since when the next block is waited for. */
  since: number;
  /** When it is over without an answer; infinite while nothing is asked for, since the next blocks are not due yet. */
  deadline: number;
}

export class Replica {
  readonly id: string;
  readonly life: number;
  readonly #numbers: RouteNumbers;
  set: RouteSet;
  version = 0;
  readonly pace = new RoutePace();
  /** The version from which on what is here is exact: a large snapshot is read while it changes. */
  exactFrom = 0;
  pull: Pull | undefined;
  /** Who has a later version, as was last heard, while another one is asked. */
  claim: { readonly from: string; readonly version: number } | undefined;
  /** The last version that was handed on to a part of the ring, and when. */
  handedOn = 0;
  handedOnAt = Number.NEGATIVE_INFINITY;
  /** When the node itself was asked last. */
  askedAt = Number.NEGATIVE_INFINITY;
  /** What is left of the ms that others may take with it, when they were asked last, and until when nobody but the node is. */
  patience = ROUTE_PATIENCE;
  othersAt = Number.NEGATIVE_INFINITY;
  itselfUntil = Number.NEGATIVE_INFINITY;
  /** Blocks to be handed on: those of a snapshot, if it was kept, and the changes up to `version`. */
  #history: Block[] = [];
  #historyBytes = 0;
  #isActive = false;
  /** While all of it is fetched again: where that goes, until it is what `set` was. */
  #again: RouteSet | undefined;
  /** When it may be fetched again. */
  #refillAt = Number.NEGATIVE_INFINITY;
  #refillPause = ROUTE_REFILL;

  constructor(id: string, life: number, numbers: RouteNumbers) {
    this.id = id;
    this.life = life;
    this.#numbers = numbers;
    this.set = numbers.take();
  }

  get isActive(): boolean {
    return this.#isActive;
  }

  /** Whether it is a target. */
  set isActive(isActive: boolean) {
    this.#isActive = isActive;
    this.#numbers.setOwner(this.set.number, isActive ? this.id : undefined);
  }

  /** Whether routes of it were left out for others' that may be gone now: it may be fetched again. */
  mayRefill(now: number): boolean {
    return (
      this.set.isShort &&
      this.pull === undefined &&
      this.version > 0 &&
      this.version >= this.exactFrom &&
      now >= this.#refillAt &&
      this.#numbers.hasRoomFor(this.set)
    );
  }

  /**
   * All of it is fetched again, from its node: into another number, while what is here serves on. Each time it takes longer until it may
   * be fetched once more, since a node may have more than there will ever be room for.
   */
  refill(now: number): void {
    this.#refillAt = now + this.#refillPause;
    this.#refillPause = Math.min(2 * this.#refillPause, ROUTE_REFILL_MAX);
    this.forgetHistory();
    this.exactFrom = this.version;
    this.version = 0;
    this.#again = this.#numbers.take();
  }

  /** A change of the next version. @param keeps whether it is kept to be handed on */
  change(block: Block, keeps: boolean): void {
    this.#numbers.apply(this.#again ?? this.set, block);
    this.version = block.version;
    if (keeps) this.#keep(block);
    else this.forgetHistory();
    this.#endRefill();
  }

  /** A snapshot is read: into the number in use where nothing is there yet, so that it serves at once. */
  beginSnapshot(pull: Pull, base: number): void {
    pull.base = base;
    pull.next = 0;
    pull.count = 0;
    pull.bytes = 0;
    if (this.#again !== undefined) {
      // The changes that were read again so far are not what the snapshot begins with.
      this.#numbers.free(this.#again);
      this.#again = this.#numbers.take();
    }
    const isFirst = this.version === 0 && this.set.routes === 0;
    pull.set = this.#again ?? (isFirst ? this.set : this.#numbers.take());
    this.forgetHistory();
  }

  part(pull: Pull, block: Block, keeps: boolean): void {
    this.#numbers.apply(pull.set as RouteSet, block);
    pull.next += 1;
    pull.count += block.count;
    pull.bytes += block.bytes.length;
    if (keeps) this.#keep(block);
    else this.forgetHistory();
    if (block.kind !== BlockKind.LAST_PART) return;
    this.version = pull.base;
    // Of a refill what is here may be later than what was read: it serves until the changes since are here, too.
    this.exactFrom = this.#again === undefined ? block.exact : Math.max(block.exact, this.exactFrom);
    if (this.#again === undefined && pull.set !== this.set) this.#replace(pull.set as RouteSet);
    else this.#endRefill();
    pull.set = undefined;
    pull.base = 0;
    pull.next = 0;
    // It was read while it changed: of no version that could be handed on.
    if (block.exact > block.version) this.forgetHistory();
  }

  #endRefill(): void {
    if (this.#again !== undefined && this.version >= this.exactFrom) this.#replace(this.#again);
  }

  /** What was read takes the place of what is here. */
  #replace(set: RouteSet): void {
    const old = this.set;
    this.set = set;
    this.#again = undefined;
    this.isActive = this.#isActive;
    this.#numbers.free(old);
  }

  /** What was read of a snapshot is of no use. */
  endPull(): void {
    const { pull } = this;
    this.pull = undefined;
    if (pull?.set === undefined) return;
    this.forgetHistory();
    this.#numbers.free(pull.set);
    if (pull.set === this.set) {
      this.set = this.#numbers.take();
      this.isActive = this.#isActive;
    } else if (pull.set === this.#again) this.#again = this.#numbers.take();
  }

  /** Everything of this life goes. */
  end(): void {
    this.endPull();
    this.forgetHistory();
    if (this.#again !== undefined) this.#numbers.free(this.#again);
    this.#numbers.free(this.set);
  }

  forgetHistory(): void {
    this.#numbers.historyBytes -= this.#historyBytes;
    this.#history = [];
    this.#historyBytes = 0;
  }

  #keep(block: Block): void {
    const last = this.#history.at(-1);
    const { length } = block.bytes;
    const isNext =
      last === undefined || block.version === last.version + (block.kind === BlockKind.CHANGE ? 1 : 0);
    if (!isNext) this.forgetHistory();
    // A view would keep the whole frame that it came in.
    this.#history.push({ ...block, bytes: Buffer.from(block.bytes) });
    this.#historyBytes += length;
    this.#numbers.historyBytes += length;
    while (
      this.#history.length > 0 &&
      (this.#historyBytes > MAX_ROUTE_HISTORY || this.#numbers.historyBytes > MAX_ROUTE_HISTORIES)
    ) {
      const dropped = (this.#history.shift() as Block).bytes.length;
      this.#historyBytes -= dropped;
      this.#numbers.historyBytes -= dropped;
    }
  }

  /** The last change, where it is kept. */
  get lastChange(): Buffer | undefined {
    const last = this.#history.at(-1);
    return last?.kind === BlockKind.CHANGE && last.version === this.version ? last.bytes : undefined;
  }

  /**
   * What another node gets of these routes.
   *
   * @returns `undefined` where the history does not reach back that far: it has to ask the node itself
   */
  blocksFor(
    version: number,
    part: number,
    most: number,
  ): { readonly blocks: readonly Buffer[]; readonly isAll: boolean } | undefined {
    // While it is incomplete it is nothing to be handed on.
    if (this.exactFrom > this.version || this.pull?.set !== undefined) return undefined;
    if (part === 0 && version === this.version) return { blocks: [], isAll: true };
    const history = this.#history;
    let at = history.findIndex((each) =>
      part > 0
        ? each.kind !== BlockKind.CHANGE && each.version === version && each.part === part
        : each.kind === BlockKind.CHANGE && each.version === version + 1,
    );
    // A snapshot that is kept from its first part on.
    const first = history[0];
    if (at < 0 && part === 0 && first !== undefined && first.kind !== BlockKind.CHANGE && first.part === 0)
      at = first.version > version ? 0 : -1;
    if (at < 0) return undefined;
    const found = history.slice(at, at + most);
    return { blocks: found.map(({ bytes }) => bytes), isAll: at + found.length >= history.length };
  }
}
