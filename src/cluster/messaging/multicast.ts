/**
 * Messages by datagram: one to the cluster's multicast group, for many members, without acknowledgement.
 *
 *   datagram  filter | MESSAGE item (member-wire.ts)
 *   filter    count uint, as many ids of 16 bytes; 0: all members
 *
 * A datagram that comes twice, by two interfaces, is sealed, and refused as a replay (wire/seal.ts).
 */

import { Reader, Writer } from "../compact.js";
import type { Member } from "../node/member.js";

const NODE_ID = 16;

export interface MulticastGroup {
  /** Bytes of a datagram; 0: none. */
  room(): number;
  send(data: Buffer): void;
}

export class Multicast {
  readonly #group: MulticastGroup;

  constructor(group: MulticastGroup) {
    this.#group = group;
  }

  /** Whether an item of this size fits a datagram to one member. */
  fits(size: number): boolean {
    return size + 1 + NODE_ID <= this.#group.room();
  }

  /** Sends an item that fits. @param isForAll also for members that are not known here yet */
  send(item: Buffer, members: readonly Member[], isForAll: boolean): void {
    if (isForAll) {
      this.#group.send(encodeFilter([], item));
      return;
    }
    const width = Math.max(1, Math.floor((this.#group.room() - item.length - 2) / NODE_ID));
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
    const ids = reader.view(count * NODE_ID);
    if (reader.failed) return "filter";
    const item = bytes.subarray(reader.at);
    if (count === 0) return item;
    const own = Buffer.from(self, "hex");
    for (let at = 0; at < ids.length; at += NODE_ID)
      if (own.compare(ids, at, at + NODE_ID) === 0) return item;
    return undefined;
  }
}

/** Reused for one datagram at a time. */
const filtered = new Writer();

function encodeFilter(members: readonly Member[], item: Uint8Array): Buffer {
  filtered.uint(members.length);
  for (const { id } of members) filtered.id(id);
  return filtered.finish(item);
}
