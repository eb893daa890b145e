/**
 * This node's own subscriptions, and the items of the kind ROUTES by which others learn them (docs/spec/messaging.md).
 *
 *   CHANGES 1 | flags 1: 1 a snapshot begins, 2 it ends | changes to the end of the item
 *   ASK     2
 *   change    0 removed, 1 added, 2 added, and its retained values are wanted | filter text
 *
 * Each change has a version, and a place in the log. An entry is sent as its filter is then: a member with a version in
 * the log gets the entries since. The whole log is a snapshot.
 */
import { Reader, Writer } from "../compact.js";
import { ROUTE_BLOCK } from "./bounds.js";

const RouteItem = { CHANGES: 1, ASK: 2 } as const;

/** Flags of CHANGES. */
const PartFlag = { FIRST: 1, LAST: 2 } as const;

export interface RouteChange {
  readonly filter: string;
  readonly isAdded: boolean;
  /** Whether the reader is to send the retained values of an added filter. */
  readonly isWanted?: boolean;
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

  add({ filter, isAdded, isWanted = false }: RouteChange): void {
    this.#out.byte(isWanted ? 2 : isAdded ? 1 : 0);
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
    const how = reader.uintUpTo(2);
    changes.push({ filter: reader.text(item.length), isAdded: how > 0, isWanted: how === 2 });
  }
  // Only the end of a snapshot may have none.
  if (reader.failed || (changes.length === 0 && !isLast)) return undefined;
  return { isFirst: (flags & PartFlag.FIRST) !== 0, isLast, changes };
}

/** How far a member has got in a session of its link. */
export class RouteProgress {
  /** The version after all that was sent; -1: nothing was. */
  sent = -1;
  /** Whether a snapshot was sent to its end. */
  isWhole = false;
  /** Of the log that `sent` is a place of. */
  compactions = 0;
}

/** This node's filters, and their changes. */
export class OwnRoutes {
  readonly filters = new Set<string>();
  /** Those of `filters` whose retained values others are to send. */
  readonly #wanted = new Set<string>();
  /** Changed filters; the last one is of `version`. */
  #log: string[] = [];
  /** Changes so far. */
  version = 0;
  bytes = 0;
  #compactions = 0;
  /** The version of the last compaction: later places are the same in all logs. */
  #compactedAt = 0;
  readonly #out = new RouteChangesWriter();

  /** @param isWanted whether others are to send their retained values, also if the filter is known */
  add(filter: string, isWanted: boolean): void {
    const isKnown = this.filters.has(filter);
    if (isKnown && !isWanted) return;
    if (!isKnown) this.bytes += Buffer.byteLength(filter);
    this.filters.add(filter);
    if (isWanted) this.#wanted.add(filter);
    this.#change(filter);
  }

  delete(filter: string): void {
    if (!this.filters.delete(filter)) return;
    this.#wanted.delete(filter);
    this.bytes -= Buffer.byteLength(filter);
    this.#change(filter);
  }

  /** The log has twice as many entries as filters at most. */
  #change(filter: string): void {
    if (this.#log.length >= 2 * this.filters.size + 1_024) {
      this.#log = [...this.filters];
      this.#compactions += 1;
      this.#compactedAt = this.version;
    }
    this.#log.push(filter);
    this.version += 1;
  }

  /** The next item for a member that lacks some of the list, or has nothing yet. It then counts as sent. */
  next(progress: RouteProgress): Buffer {
    const first = this.version - this.#log.length;
    const { compactions, sent } = progress;
    const isFirst = sent < 0 || (sent < this.#compactedAt && compactions !== this.#compactions);
    if (isFirst) {
      progress.isWhole = false;
      progress.compactions = this.#compactions;
    }
    let at = isFirst ? 0 : sent - first;
    for (; at < this.#log.length && this.#out.size < ROUTE_BLOCK; at++) {
      const filter = this.#log[at] as string;
      this.#out.add({ filter, isAdded: this.filters.has(filter), isWanted: this.#wanted.has(filter) });
    }
    progress.sent = first + at;
    const isLast = !progress.isWhole && progress.sent === this.version;
    if (isLast) progress.isWhole = true;
    return this.#out.take({ isFirst, isLast });
  }
}
