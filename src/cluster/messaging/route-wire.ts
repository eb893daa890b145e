/**
 * Items of the kind ROUTES, by which nodes exchange their subscriptions (docs/spec/messaging.md).
 *
 *   CHANGES 1 | flags 1: 1 a snapshot begins, 2 it ends | changes to the end of the item
 *   ASK     2
 *   change    1 added, 0 removed | filter text
 */
import { Reader, Writer } from "../compact.js";

const RouteItem = { CHANGES: 1, ASK: 2 } as const;

/** Flags of CHANGES. */
const FIRST = 1;
const LAST = 2;

export interface RouteChange {
  readonly filter: string;
  readonly isAdded: boolean;
}

/** Changes of a list. */
export interface RouteChanges {
  /** Whether a snapshot begins with them, and whether it ends. */
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
    this.#out.bytes[1] = (isFirst ? FIRST : 0) | (isLast ? LAST : 0);
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
  const flags = reader.uintUpTo(FIRST | LAST);
  const isLast = (flags & LAST) !== 0;
  const changes: RouteChange[] = [];
  while (reader.at < reader.end && !reader.failed) {
    const isAdded = reader.uintUpTo(1) === 1;
    changes.push({ filter: reader.text(item.length), isAdded });
  }
  // Only the end of a snapshot may have none.
  if (reader.failed || (changes.length === 0 && !isLast)) return undefined;
  return { isFirst: (flags & FIRST) !== 0, isLast, changes };
}
