/**
 * This node's own interest, and the history by which others learn it.
 *
 *   add, delete ─> pending, one operation for each filter ─> cut: a block, which makes the next version ─> the log
 *
 * Who has a version that the log reaches back to gets the blocks since; another one gets a snapshot. A small one is made in one
 * go, of one version. A large one is read from the sets while they change: then what was changed meanwhile follows from the log,
 * and the reader's copy is exact from the version on at which the reading ended.
 */
import { MAX_ROUTE_LOG, ROUTE_BLOCK, ROUTE_SNAPSHOT_AT_ONCE } from "./bounds.js";
import { BlockKind, BlockWriter, Operation } from "./route-wire.js";

/** Sets of one kind: a single one of V8's ends at 2^24 entries. */
const SETS = 64;

/** Text in as many sets as it takes; they can be read while they change. */
class TextSets {
  readonly #sets: Set<string>[] = [new Set()];
  #last = this.#sets[0] as Set<string>;
  size = 0;

  has(text: string): boolean {
    for (const set of this.#sets) if (set.has(text)) return true;
    return false;
  }

  add(text: string): void {
    if (this.has(text)) return;
    if (this.#last.size >= 2 ** 23 && this.#sets.length < SETS) {
      this.#last = new Set();
      this.#sets.push(this.#last);
    }
    this.#last.add(text);
    this.size += 1;
  }

  delete(text: string): boolean {
    for (const set of this.#sets)
      if (set.delete(text)) {
        this.size -= 1;
        return true;
      }
    return false;
  }

  cursor(): TextCursor {
    return new TextCursor(this.#sets);
  }
}

/** Reads sets one after the other, while they change. Not a generator, which makes two objects for each text. */
class TextCursor {
  readonly #sets: readonly Set<string>[];
  #at = 0;
  #texts: Iterator<string>;
  #isAtEnd = false;

  constructor(sets: readonly Set<string>[]) {
    this.#sets = sets;
    this.#texts = (sets[0] as Set<string>).values();
  }

  /** `undefined` at the end, and from then on. */
  next(): string | undefined {
    while (!this.#isAtEnd) {
      const { done, value } = this.#texts.next();
      if (done !== true) return value;
      this.#at += 1;
      const set = this.#sets[this.#at];
      if (set === undefined) this.#isAtEnd = true;
      else this.#texts = set.values();
    }
    return undefined;
  }
}

interface Entry {
  readonly operation: number;
  readonly text: string;
  readonly number: number;
}

interface Pending extends Entry {
  readonly ticket: number;
}

/** A name may have several ids; a claim is one of them. */
function nameKey(name: string, id: number, kind: number): string {
  return `${(kind & Operation.SUBTOPIC) === 0 ? "n" : "s"}${id} ${name}`;
}

/** A snapshot on its way to one peer. */
export interface Snapshot {
  /** The version that the blocks of the log begin after. */
  readonly base: number;
  /** Index of the next part. */
  next: number;
  /** The last parts that were made, for a reader that asks again. */
  readonly recent: Buffer[];
  isComplete: boolean;
  usedAt: number;
  /** What it has not read yet: the filters, then the names. */
  readonly filters: TextCursor;
  readonly names: Iterator<Entry>;
}

/** Parts that a snapshot keeps for a reader that did not get them. */
const KEPT_PARTS = 8;

export class OwnRoutes {
  readonly #id: string;
  readonly #life: number;
  readonly #sign: (bytes: Uint8Array) => Uint8Array;
  readonly #filters = new TextSets();
  readonly #names = new Map<string, Entry>();
  readonly #pending = new Map<string, Pending>();
  readonly #writer = new BlockWriter();
  /** Blocks of the versions `#first + 1` to `version`. */
  readonly #log: Buffer[] = [];
  #first = 0;
  #logBytes = 0;
  /** The latest snapshot that was made in one go. */
  #parts: readonly Buffer[] = [];
  #partsVersion = -1;
  readonly #snapshots = new Map<string, Snapshot>();
  /** Counts the calls that changed something: which are in a version. */
  #ticket = 0;
  /** Up to which ticket all is in a version: pairs of both, ascending. */
  readonly #tickets: (readonly [version: number, ticket: number])[] = [];
  version = 0;
  /** Of the filters, those that are pending included. */
  bytes = 0;

  constructor(id: string, life: number, sign: (bytes: Uint8Array) => Uint8Array) {
    this.#id = id;
    this.#life = life;
    this.#sign = sign;
  }

  /** Filters that are in a version, or will be in the next ones. */
  get size(): number {
    return this.#filters.size + this.#pending.size;
  }

  /** Whether a filter is, or will be, in the next version. */
  has(filter: string): boolean {
    const pending = this.#pending.get(`f${filter}`);
    return pending === undefined ? this.#filters.has(filter) : pending.operation === Operation.ADD;
  }

  get hasPending(): boolean {
    return this.#pending.size > 0;
  }

  get logBytes(): number {
    return this.#logBytes;
  }

  get snapshots(): number {
    return this.#snapshots.size;
  }

  get names(): number {
    return this.#names.size;
  }

  /** @returns the ticket by which `ticketOf` reports that it is in a version */
  add(filter: string): number {
    if (!this.has(filter)) this.bytes += Buffer.byteLength(filter);
    return this.#change(`f${filter}`, Operation.ADD, filter, 0, this.#filters.has(filter));
  }

  delete(filter: string): number {
    if (this.has(filter)) this.bytes -= Buffer.byteLength(filter);
    return this.#change(`f${filter}`, 0, filter, 0, !this.#filters.has(filter));
  }

  /** The id of a name. @param kind bits of `Operation`, without ADD and NAME */
  name(name: string, id: number, kind: number): number {
    const key = nameKey(name, id, kind);
    const operation = Operation.NAME | Operation.ADD | kind;
    return this.#change(key, operation, name, id, this.#names.get(key)?.operation === operation);
  }

  unname(name: string, id: number, kind: number): number {
    const key = nameKey(name, id, kind);
    return this.#change(key, Operation.NAME | (kind & Operation.SUBTOPIC), name, id, !this.#names.has(key));
  }

  /** @param isDone the versions have it already: what is pending for it is not to be done */
  #change(key: string, operation: number, text: string, number: number, isDone: boolean): number {
    // At the end: tickets ascend in the order of the map.
    const had = this.#pending.delete(key);
    if (isDone && !had) return this.#ticket;
    this.#ticket += 1;
    if (!isDone) this.#pending.set(key, { operation, text, number, ticket: this.#ticket });
    return this.#ticket;
  }

  /** The ticket up to which everything is in a version. */
  ticketOf(version: number): number {
    let found = 0;
    for (const [each, ticket] of this.#tickets) {
      if (each > version) break;
      found = ticket;
    }
    return version >= this.version && this.#pending.size === 0 ? this.#ticket : found;
  }

  /** Versions up to this one are not asked for again. */
  forgetTickets(version: number): void {
    let done = 0;
    // The last one of them stays: it is the answer for this version.
    while (
      done + 1 < this.#tickets.length &&
      (this.#tickets[done + 1] as readonly [number, number])[0] <= version
    )
      done += 1;
    if (done > 0) this.#tickets.splice(0, done);
  }

  /** Makes the next version of what is pending, as much as one block takes. @returns `undefined` where nothing is */
  cut(): Buffer | undefined {
    let ticket = 0;
    for (const [key, entry] of this.#pending) {
      const { operation, text, number } = entry;
      if (this.#writer.count > 0 && this.#writer.size + text.length > ROUTE_BLOCK) break;
      this.#writer.add(operation, text, number);
      ticket = entry.ticket;
      this.#pending.delete(key);
      const isAdded = (operation & Operation.ADD) !== 0;
      if ((operation & Operation.NAME) !== 0) {
        if (isAdded) this.#names.set(key, entry);
        else this.#names.delete(key);
      } else if (isAdded) this.#filters.add(text);
      else this.#filters.delete(text);
    }
    if (this.#writer.count === 0) return undefined;
    this.version += 1;
    if (this.#pending.size === 0) ticket = this.#ticket;
    this.#tickets.push([this.version, ticket]);
    // Coarser is right as well: a ticket is then in a later version.
    if (this.#tickets.length > 4_096) this.#tickets.splice(0, 2_048);
    const block = this.#finish(BlockKind.CHANGE, this.version, 0, 0);
    this.#log.push(block);
    this.#logBytes += block.length;
    this.#trim();
    return block;
  }

  #finish(kind: BlockKind, version: number, part: number, exact: number): Buffer {
    return this.#writer.finish(kind, { id: this.#id, life: this.#life, version }, part, exact, this.#sign);
  }

  /** The log is as long as its bound, or as snapshots on their way need it; then those begin again. */
  #trim(): void {
    let keep = this.version;
    for (const { base } of this.#snapshots.values()) keep = Math.min(keep, base);
    let drop = 0;
    let bytes = this.#logBytes;
    while (drop < this.#log.length - 1) {
      const isNeeded = this.#first + drop >= keep;
      if (bytes <= (isNeeded ? 16 * MAX_ROUTE_LOG : MAX_ROUTE_LOG)) break;
      bytes -= (this.#log[drop] as Buffer).length;
      drop += 1;
    }
    // In portions: a shift for each would move the rest each time.
    if (drop < 64 && drop < this.#log.length / 2) return;
    this.#log.splice(0, drop);
    this.#first += drop;
    this.#logBytes = bytes;
  }

  /**
   * What a peer gets that has a version.
   *
   * @param part of the snapshot of `version`, which it has begun to read; 0: it has that version
   * @param most blocks
   * @returns `undefined` where it has to ask for a snapshot from the beginning; `isAll`: after these it has everything
   */
  blocksFor(
    now: number,
    peer: string,
    version: number,
    part: number,
    most: number,
  ): { readonly blocks: readonly Buffer[]; readonly isAll: boolean } | undefined {
    if (part > 0) return this.#partsFor(now, peer, version, part, most);
    if (version > this.version) return undefined;
    if (version >= this.#first && !(version === 0 && this.#isShorter())) {
      this.#snapshots.delete(peer);
      const from = version - this.#first;
      const blocks = this.#log.slice(from, from + most);
      return { blocks, isAll: version + blocks.length >= this.version };
    }
    if (this.#filters.size + this.#names.size <= ROUTE_SNAPSHOT_AT_ONCE) {
      if (this.#partsVersion < this.#first || 2 * this.#parts.length < this.version - this.#partsVersion)
        this.#makeParts();
      return {
        blocks: this.#parts.slice(0, most),
        isAll: this.#isAllWithParts(Math.min(most, this.#parts.length)),
      };
    }
    this.#snapshots.set(peer, {
      base: this.version,
      next: 0,
      recent: [],
      isComplete: false,
      usedAt: now,
      filters: this.#filters.cursor(),
      names: this.#names.values(),
    });
    return this.#partsFor(now, peer, this.version, 0, most);
  }

  /** Whether a snapshot is shorter than the log from its beginning. */
  #isShorter(): boolean {
    return this.#log.length > 8 && this.#logBytes > 128 * (this.#filters.size + this.#names.size + 1);
  }

  #isAllWithParts(sent: number): boolean {
    return sent >= this.#parts.length && this.#partsVersion === this.version;
  }

  #partsFor(
    now: number,
    peer: string,
    version: number,
    part: number,
    most: number,
  ): { readonly blocks: readonly Buffer[]; readonly isAll: boolean } | undefined {
    if (version === this.#partsVersion && part <= this.#parts.length && !this.#snapshots.has(peer)) {
      const blocks = this.#parts.slice(part, part + most);
      return { blocks, isAll: this.#isAllWithParts(part + blocks.length) };
    }
    const snapshot = this.#snapshots.get(peer);
    if (snapshot === undefined || snapshot.base !== version || snapshot.base < this.#first) return undefined;
    snapshot.usedAt = now;
    const firstKept = snapshot.next - snapshot.recent.length;
    if (part < firstKept || part > snapshot.next) return undefined;
    const blocks: Buffer[] = snapshot.recent.slice(part - firstKept, part - firstKept + most);
    while (blocks.length < most && !snapshot.isComplete) blocks.push(this.#nextPart(snapshot));
    return { blocks, isAll: false };
  }

  #nextPart(snapshot: Snapshot): Buffer {
    while (this.#writer.size < ROUTE_BLOCK && this.#writeNext(snapshot));
    const isLast = this.#writer.size < ROUTE_BLOCK;
    snapshot.isComplete = isLast;
    const block = this.#finish(
      isLast ? BlockKind.LAST_PART : BlockKind.PART,
      snapshot.base,
      snapshot.next,
      this.version,
    );
    snapshot.next += 1;
    snapshot.recent.push(block);
    if (snapshot.recent.length > KEPT_PARTS) snapshot.recent.shift();
    return block;
  }

  /** `false` at the end. */
  #writeNext({ filters, names }: Pick<Snapshot, "filters" | "names">): boolean {
    const filter = filters.next();
    if (filter !== undefined) {
      this.#writer.add(Operation.ADD, filter);
      return true;
    }
    const { done, value } = names.next();
    if (done === true) return false;
    this.#writer.add(value.operation, value.text, value.number);
    return true;
  }

  /** A snapshot of the present version, in one go. */
  #makeParts(): void {
    const parts: Buffer[] = [];
    const { version } = this;
    const rest = { filters: this.#filters.cursor(), names: this.#names.values() };
    while (this.#writeNext(rest))
      if (this.#writer.size >= ROUTE_BLOCK)
        parts.push(this.#finish(BlockKind.PART, version, parts.length, version));
    parts.push(this.#finish(BlockKind.LAST_PART, version, parts.length, version));
    this.#parts = parts;
    this.#partsVersion = version;
  }

  /** Snapshots whose readers have not asked for `idle` ms end. */
  endIdle(now: number, idle: number): void {
    for (const [peer, { usedAt }] of this.#snapshots) if (now - usedAt >= idle) this.#snapshots.delete(peer);
  }

  /** A peer is gone, or has all. */
  endSnapshot(peer: string): void {
    this.#snapshots.delete(peer);
  }
}
