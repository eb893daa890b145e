/**
 * Items of the kind ROUTES, by which nodes exchange their subscriptions (docs/spec/messaging.md).
 *
 *   CHANGES 1 | flags 1: 1 a snapshot begins, 2 it ends | n uint | change × n
 *   ASK     2
 *   change    length · 2 + (1: added, 0: removed) uint | UTF-8
 */
import { isAscii, isUtf8 } from "node:buffer";
import { Reader, Writer } from "../compact.js";

const RouteItem = { CHANGES: 1, ASK: 2 } as const;

/** Flags of CHANGES. */
const FIRST = 1;
const LAST = 2;

/** Well-formed changes of a list, as bytes for `readChanges`. */
export interface RouteChanges {
  /** Whether a snapshot begins with them, and whether it ends. */
  readonly isFirst: boolean;
  readonly isLast: boolean;
  readonly count: number;
  readonly at: number;
  readonly bytes: Buffer;
}

const scratch = new Writer(16_384);

export const ASK: Buffer = Buffer.from([RouteItem.ASK]);

export class RouteChangesWriter {
  readonly #changes = new Writer(16_384);
  count = 0;

  get size(): number {
    return this.#changes.at;
  }

  add(filter: string, isAdded: boolean): void {
    this.count += 1;
    const to = this.#changes;
    const length = Buffer.byteLength(filter);
    to.uint(2 * length + (isAdded ? 1 : 0));
    to.reserve(length);
    to.at += to.bytes.write(filter, to.at, "utf8");
  }

  /** The item; the writer begins again. */
  take({ isFirst, isLast }: Pick<RouteChanges, "isFirst" | "isLast">): Buffer {
    scratch.byte(RouteItem.CHANGES);
    scratch.byte((isFirst ? FIRST : 0) | (isLast ? LAST : 0));
    scratch.uint(this.count);
    scratch.raw(this.#changes.bytes.subarray(0, this.size));
    this.#changes.at = 0;
    this.count = 0;
    return scratch.take();
  }
}

/** @returns "ask"; `undefined` for an invalid item. Changes share memory with `item` */
export function decodeRouteItem(item: Buffer): RouteChanges | "ask" | undefined {
  if (item.equals(ASK)) return "ask";
  if (item[0] !== RouteItem.CHANGES || item.length > 131_072) return undefined;
  const reader = new Reader(item, 1);
  const flags = reader.uint();
  const isLast = (flags & LAST) !== 0;
  const count = reader.uint();
  const { at, end } = reader;
  // A change has a byte at least. Only the end of a snapshot may have none.
  if (flags > (FIRST | LAST) || count > end - at || (count === 0 && !isLast)) return undefined;
  // Lengths below 64 are ASCII, too, so mostly one native call checks all, without a view for each filter.
  const isPlain = isAscii(item.subarray(at));
  for (let i = 0; i < count && !reader.failed; i++) {
    const size = Math.floor(reader.uint() / 2);
    const start = reader.at;
    reader.skip(size);
    if (!(isPlain || reader.failed || isUtf8(item.subarray(start, reader.at)))) reader.failed = true;
  }
  if (reader.failed || reader.at !== end) return undefined;
  return { isFirst: (flags & FIRST) !== 0, isLast, count, at, bytes: item };
}

/** Passes changes on in their order; the filter is valid UTF-8 within `bytes`. Nothing is allocated for a filter. */
export function readChanges(
  { bytes, at, count }: RouteChanges,
  call: (isAdded: boolean, bytes: Buffer, start: number, end: number) => void,
): void {
  const reader = new Reader(bytes, at);
  for (let i = 0; i < count; i++) {
    const change = reader.uint();
    const start = reader.at;
    reader.skip(Math.floor(change / 2));
    call(change % 2 === 1, bytes, start, reader.at);
  }
}
