/**
 * Items of the kind ROUTES, by which nodes exchange their subscriptions (docs/spec/messaging.md).
 *
 *   DELTA 1 | from uint | n uint | change × n
 *   PART  2 | flags 1: 1 first, 2 last | base uint | n uint | change × n
 *   ASK   3
 *   change    length · 2 + (1: added, 0: removed) uint | UTF-8
 */
import { isAscii, isUtf8 } from "node:buffer";
import { Reader, Writer } from "./compact.js";

export const RouteItem = { DELTA: 1, PART: 2, ASK: 3 } as const;

/** Flags of a PART. */
const FIRST = 1;
const LAST = 2;

/** Well-formed changes of a list, as bytes for `readChanges`. */
export interface RouteChanges {
  readonly count: number;
  readonly at: number;
  readonly bytes: Buffer;
}

export interface RouteDelta extends RouteChanges {
  readonly type: typeof RouteItem.DELTA;
  /** The version before these changes; each makes one version more. */
  readonly from: number;
}

export interface RoutePart extends RouteChanges {
  readonly type: typeof RouteItem.PART;
  /** The version from which the changes after the snapshot continue. */
  readonly base: number;
  readonly isFirst: boolean;
  readonly isLast: boolean;
}

export type RouteMessage = RouteDelta | RoutePart | { readonly type: typeof RouteItem.ASK };

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

  /** A DELTA of the changes; the writer begins again. */
  delta(from: number): Buffer {
    scratch.byte(RouteItem.DELTA);
    scratch.uint(from);
    return this.#finish(scratch);
  }

  /** A PART of the changes; the writer begins again. */
  part({ base, isFirst, isLast }: Omit<RoutePart, "type" | keyof RouteChanges>): Buffer {
    scratch.byte(RouteItem.PART);
    scratch.byte((isFirst ? FIRST : 0) | (isLast ? LAST : 0));
    scratch.uint(base);
    return this.#finish(scratch);
  }

  #finish(to: Writer): Buffer {
    to.uint(this.count);
    to.reserve(this.size);
    to.at += this.#changes.bytes.copy(to.bytes, to.at, 0, this.size);
    this.#changes.at = 0;
    this.count = 0;
    return to.take();
  }
}

/** @returns `undefined` for an invalid item. Only changes share memory with `item` */
export function decodeRouteItem(item: Buffer): RouteMessage | undefined {
  const [type] = item;
  if (type === RouteItem.ASK) return item.length === 1 ? { type } : undefined;
  if (item.length > 131_072) return undefined;
  const reader = new Reader(item, 1);
  const message = readItem(reader, type as number);
  return reader.failed || reader.at !== reader.end ? undefined : message;
}

function readItem(reader: Reader, type: number): RouteMessage | undefined {
  switch (type) {
    case RouteItem.DELTA:
      return { type, from: reader.uint(), ...readCount(reader, false) };
    case RouteItem.PART: {
      const flags = reader.uint();
      const isLast = (flags & LAST) !== 0;
      if (flags > (FIRST | LAST)) reader.failed = true;
      const base = reader.uint();
      return { type, base, isFirst: (flags & FIRST) !== 0, isLast, ...readCount(reader, true, isLast) };
    }
    default:
      return undefined;
  }
}

/**
 * Checks the rest of the item. @param onlyAdds whether nothing may be removed @param mayBeNone whether it may be empty
 */
function readCount(reader: Reader, onlyAdds: boolean, mayBeNone = false): RouteChanges {
  const count = reader.uint();
  const { at, end, bytes } = reader;
  // A change has a byte at least.
  if (count > end - at || (count === 0 && !mayBeNone)) reader.failed = true;
  // Lengths below 64 are ASCII, too, so mostly one native call checks all, without a view for each filter.
  const isPlain = isAscii(bytes.subarray(at, end));
  for (let i = 0; i < count && !reader.failed; i++) {
    const change = reader.uint();
    const start = reader.at;
    reader.skip(Math.floor(change / 2));
    if (onlyAdds && change % 2 === 0) reader.failed = true;
    if (!(isPlain || reader.failed || isUtf8(bytes.subarray(start, reader.at)))) reader.failed = true;
  }
  return { count, at, bytes };
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
