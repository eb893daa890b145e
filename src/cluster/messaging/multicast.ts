/**
 * Messages by datagram: one to the cluster's multicast group, for many services, without acknowledgement.
 *
 *   datagram  filter | MESSAGE item with an id (service-wire.ts)
 *   filter    count uint, as many short ids of 4 bytes; 0: all members
 *
 * A datagram may come twice, by two interfaces: a receiver takes each of the last `MAX_SEEN_IDS` ids of a sender once.
 */
import type { Member } from "../node/member.js";
import { MAX_GROUP_TARGETS, MAX_SEEN_IDS } from "./bounds.js";
import { Reader, sizeOfUint, writeUint } from "./schema.js";

const SHORT = 4;

export interface MulticastGroup {
  /** Bytes of a datagram; 0: without a group, or if a live member does not know such datagrams. */
  room(): number;
  send(data: Buffer): void;
}

export class Multicast {
  readonly #group: MulticastGroup;
  /** By sender: ids of its datagrams, the oldest first. */
  readonly #seen = new Map<string, Set<number>>();

  constructor(group: MulticastGroup) {
    this.#group = group;
  }

  /** Whether an item of this size fits a datagram to one service. */
  fits(size: number): boolean {
    return size + 1 + SHORT <= this.#group.room();
  }

  /**
   * Sends an item that fits.
   *
   * @param others the live members
   * @param isForAll also for members that are not known here yet
   * @returns services without it, since another member has the same short id
   */
  send(
    item: Buffer,
    services: readonly Member[],
    others: readonly Member[],
    isForAll: boolean,
  ): readonly Member[] {
    if (isForAll && services.length === others.length) {
      this.#group.send(encodeFilter([], item));
      return [];
    }
    const counts = new Map<string, number>();
    for (const { id } of others) counts.set(shortOf(id), (counts.get(shortOf(id)) ?? 0) + 1);
    const shorts: string[] = [];
    const left: Member[] = [];
    for (const service of services)
      if (counts.get(shortOf(service.id)) === 1) shorts.push(shortOf(service.id));
      else left.push(service);
    const most = Math.min(MAX_GROUP_TARGETS, Math.floor((this.#group.room() - item.length - 2) / SHORT));
    const width = Math.max(1, most);
    for (let i = 0; i < shorts.length; i += width)
      this.#group.send(encodeFilter(shorts.slice(i, i + width), item));
    return left;
  }

  /**
   * @param self this node's id
   * @returns the item of a datagram; `undefined`: it is for others; "filter": it is malformed
   */
  read(bytes: Buffer, self: string): Buffer | "filter" | undefined {
    const reader = new Reader(bytes);
    const count = reader.uint();
    if (reader.failed || count > MAX_GROUP_TARGETS) return "filter";
    const shorts = reader.view(count * SHORT);
    if (reader.failed) return "filter";
    const item = bytes.subarray(reader.at);
    if (count === 0) return item;
    const own = Buffer.from(shortOf(self), "hex");
    for (let at = 0; at < shorts.length; at += SHORT)
      if (own.compare(shorts, at, at + SHORT) === 0) return item;
    return undefined;
  }

  /** Remembers the id of a sender's datagram. @returns whether it was new */
  isNew(from: string, id: number): boolean {
    let seen = this.#seen.get(from);
    if (seen === undefined) {
      seen = new Set();
      this.#seen.set(from, seen);
    }
    if (seen.has(id)) return false;
    seen.add(id);
    if (seen.size > MAX_SEEN_IDS)
      for (const oldest of seen) {
        seen.delete(oldest);
        break;
      }
    return true;
  }

  /** A sender is gone, or another process. */
  onGone(from: string): void {
    this.#seen.delete(from);
  }
}

function shortOf(id: string): string {
  return id.slice(0, 2 * SHORT);
}

function encodeFilter(shorts: readonly string[], item: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(sizeOfUint(shorts.length) + SHORT * shorts.length + item.length);
  let at = writeUint(bytes, 0, shorts.length);
  for (const short of shorts) at += bytes.write(short, at, "hex");
  bytes.set(item, at);
  return bytes;
}
