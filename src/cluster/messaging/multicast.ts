/**
 * Messages by datagram: one to the cluster's multicast group, for many members, without acknowledgement.
 *
 *   datagram  filter | MESSAGE item with an id (service-wire.ts)
 *   filter    count uint, as many ids of 16 bytes; 0: all members
 *
 * A datagram may come twice, by two interfaces: a receiver takes each of the last `MAX_SEEN_IDS` ids of a sender once.
 */

import { Reader, Writer } from "../compact.js";
import { LatestMap } from "../latest-map.js";
import type { Member } from "../node/member.js";
import { MAX_SEEN_IDS } from "./bounds.js";

const ID = 16;

export interface MulticastGroup {
  /** Bytes of a datagram; 0: none. */
  room(): number;
  send(data: Buffer): void;
}

export class Multicast {
  readonly #group: MulticastGroup;
  /** By sender: ids of its datagrams. */
  readonly #seen = new Map<string, LatestMap<number, true>>();

  constructor(group: MulticastGroup) {
    this.#group = group;
  }

  /** Whether an item of this size fits a datagram to one member. */
  fits(size: number): boolean {
    return size + 1 + ID <= this.#group.room();
  }

  /** Sends an item that fits. @param isForAll also for members that are not known here yet */
  send(item: Buffer, members: readonly Member[], isForAll: boolean): void {
    if (isForAll) {
      this.#group.send(encodeFilter([], item));
      return;
    }
    const width = Math.max(1, Math.floor((this.#group.room() - item.length - 2) / ID));
    for (let i = 0; i < members.length; i += width)
      this.#group.send(encodeFilter(members.slice(i, i + width), item));
  }

  /**
   * @param self this node's id
   * @returns the item of a datagram; `undefined`: it is for others; "filter": it is malformed
   */
  read(bytes: Buffer, self: string): Buffer | "filter" | undefined {
    const reader = new Reader(bytes);
    const count = reader.uint();
    const ids = reader.view(count * ID);
    if (reader.failed) return "filter";
    const item = bytes.subarray(reader.at);
    if (count === 0) return item;
    const own = Buffer.from(self, "hex");
    for (let at = 0; at < ids.length; at += ID) if (own.compare(ids, at, at + ID) === 0) return item;
    return undefined;
  }

  /** Remembers the id of a sender's datagram. @returns whether it was new */
  isNew(from: string, id: number): boolean {
    let seen = this.#seen.get(from);
    if (seen === undefined) {
      seen = new LatestMap(MAX_SEEN_IDS);
      this.#seen.set(from, seen);
    }
    if (seen.has(id)) return false;
    seen.set(id, true);
    return true;
  }

  /** A sender is gone, or another process. */
  onGone(from: string): void {
    this.#seen.delete(from);
  }
}

/** Reused for one datagram at a time. */
const out = new Writer();

function encodeFilter(members: readonly Member[], item: Uint8Array): Buffer {
  out.uint(members.length);
  for (const { id } of members) out.id(id);
  return out.finish(item);
}
