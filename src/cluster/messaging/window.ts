/**
 * Rules of a stream of items to one peer (docs/spec/messaging.md), pure: an item is kept until delivered, and sent again
 * after a reconnection.
 *
 *                      no room: dropped (counted by the caller)
 *                     /
 *   offer ──> waiting ──ack──> delivered
 *                     \
 *                      reset: lost
 *
 *   given = waiting + delivered + lost + dropped, at any time
 *
 * These windows are not of core/credit.ts: they keep unacknowledged items, to send them again after a reconnection.
 *
 * A receiver that has forgotten this end refuses the session: waiting items are lost, and another session begins. `lost`
 * is an upper bound: unacknowledged items may have been delivered.
 *
 *   queue of batches    | sent, not acknowledged | to be sent | open: takes more items
 *                                                ^ #unsent
 */
import { RingBuffer } from "../../core/collections/queues.js";
import { allocate } from "../../core/memory.js";
import { writeUint, writeUint16, writeUint48 } from "../compact.js";
import { ITEM_BY_REFERENCE, LINK_BEHIND, MAX_BATCH } from "./bounds.js";
import { writeData } from "./items.js";
import type { Publication } from "./publication.js";
import { BATCH_HEADER, ITEM_HEADER, LinkFrame } from "./wire.js";

// --- Memory ------------------------------------------------------------------------------------------------

/** Each further one is twice as large, up to a batch. */
const FIRST_SLAB = 2_048;

/** Slabs that all links of the process keep for reuse. */
let freeOfAll = 0;

class WindowSlab {
  readonly bytes: Buffer;
  end = 0;
  /** Unacknowledged batches in it. */
  batches = 0;
  /** Memory that may be read after the peer has acknowledged it. */
  isPinned = false;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}

/**
 * Memory of the batches that a link sends, reused once its peer has acknowledged all in it.
 *
 *   free ──take──> current: filled front to back ──> full ──all batches acknowledged──> free
 *                     ^ all batches acknowledged: from the front again
 *
 * A new slab for each batch would allocate as much external memory as is sent: V8 marks the whole heap for each 16 to
 * 32 MiB of that, and the system fills fresh pages. With messages of 1 KiB a publisher would take 18 % more processor
 * time, and 20 MB more memory.
 */
class WindowSlabs {
  #current: WindowSlab | undefined = undefined;
  #size = FIRST_SLAB;
  readonly #free: WindowSlab[] = [];

  /** The current slab, with room. @param needed bytes of a batch with its first item */
  room(needed: number): WindowSlab {
    const current = this.#current;
    if (current !== undefined) {
      if (current.batches === 0 && !current.isPinned) current.end = 0;
      if (current.end + needed <= current.bytes.length) return current;
      this.#current = undefined;
      this.#reuse(current);
    }
    const next = this.#next(needed);
    this.#current = next;
    return next;
  }

  release(slab: WindowSlab): void {
    slab.batches -= 1;
    if (slab !== this.#current) this.#reuse(slab);
  }

  /** Gives up the slabs, which others may still read. */
  clear(): void {
    this.#current = undefined;
    this.#size = FIRST_SLAB;
    freeOfAll -= this.#free.length;
    this.#free.length = 0;
  }

  #next(needed: number): WindowSlab {
    this.#size = Math.min(MAX_BATCH, Math.max(2 * this.#size, needed));
    if (this.#size === MAX_BATCH && needed <= MAX_BATCH) {
      const free = this.#free.pop();
      if (free !== undefined) {
        freeOfAll -= 1;
        return free;
      }
    }
    return new WindowSlab(allocate(Math.max(this.#size, needed)));
  }

  #reuse(slab: WindowSlab): void {
    if (slab.batches > 0 || slab.isPinned || slab.bytes.length !== MAX_BATCH) return;
    if (freeOfAll >= 256) return;
    slab.end = 0;
    this.#free.push(slab);
    freeOfAll += 1;
  }
}

// --- Windows -----------------------------------------------------------------------------------------------

export interface WindowLimits {
  /** Bytes include headers. */
  readonly items: number;
  readonly bytes: number;
}

const NOTHING: WindowLimits = { items: 0, bytes: 0 };

class Batch {
  readonly first: number;
  count = 0;
  bytes = 0;
  /** Part of a slab; for an item by reference, what precedes it. */
  readonly memory: Buffer;
  readonly start: number;
  end: number;
  readonly item: Uint8Array | undefined;
  readonly slab: WindowSlab | undefined;
  wasSent = false;

  constructor(
    first: number,
    memory: Buffer,
    start: number,
    end: number,
    item: Uint8Array | undefined,
    slab: WindowSlab | undefined,
  ) {
    this.first = first;
    this.memory = memory;
    this.start = start;
    this.end = end;
    this.item = item;
    this.slab = slab;
  }
}

export class SendWindow {
  delivered = 0;
  lost = 0;
  resent = 0;
  session: number;
  /** Of this session: the items so far. */
  offered = 0;
  acked = 0;
  everSent = 0;
  /** Of unacknowledged items and their headers. */
  waitingBytes = 0;
  readonly #limits: WindowLimits;
  readonly #batches = new RingBuffer<Batch>(2);
  /** Place of the first batch to be sent. */
  #unsent = 0;
  #open: Batch | undefined = undefined;
  #slab: WindowSlab | undefined = undefined;
  #memory: Buffer = Buffer.alloc(0);
  readonly #slabs = new WindowSlabs();
  #inFlight = 0;

  /** @param session above all sessions of this life that the receiver knows */
  constructor(limits: WindowLimits, session = 0) {
    this.#limits = limits;
    this.session = session;
  }

  get waiting(): number {
    return this.offered - this.acked;
  }

  get hasUnsent(): boolean {
    return this.#unsent < this.#batches.length;
  }

  get isUnderWay(): boolean {
    return this.#inFlight > 0;
  }

  /** Whether what waits is at most this part of the limits: 2 for a half. */
  isWithin(part: number): boolean {
    return part * this.waiting <= this.#limits.items && part * this.waitingBytes <= this.#limits.bytes;
  }

  /**
   * @param beyond what may be queued beyond the limits
   * @returns whether there was room. An empty queue takes an item of any size
   */
  offer(kind: number, item: Uint8Array, beyond?: WindowLimits): boolean {
    const size = item.length;
    if (!this.hasRoom(size, beyond)) return false;
    if (size >= ITEM_BY_REFERENCE) this.#offerLarge(kind, item);
    else {
      const at = this.#append(kind, size);
      this.#memory.set(item, at);
    }
    this.offered += 1;
    return true;
  }

  /** A head and its data. @returns whether there was room */
  offerPublication(kind: number, { head, data, dataBytes }: Publication, beyond?: WindowLimits): boolean {
    const { bytes, at: headBytes } = head;
    const size = headBytes + dataBytes;
    if (!this.hasRoom(size, beyond)) return false;
    const at = this.#append(kind, size);
    const slab = this.#memory;
    // Faster than a native call for the few bytes of most heads.
    for (let i = 0; i < headBytes; i++) slab[at + i] = bytes[i] as number;
    writeData(slab, data, at + headBytes);
    this.offered += 1;
    return true;
  }

  hasRoom(size: number, beyond = NOTHING): boolean {
    const waiting = this.offered - this.acked;
    if (waiting === 0) return true;
    const { items, bytes } = this.#limits;
    return waiting < items + beyond.items && this.waitingBytes + size + ITEM_HEADER <= bytes + beyond.bytes;
  }

  /**
   * @param window bytes that may be in flight; one batch always may
   * @param isCopied whether the connection no longer reads memory that the peer has acknowledged
   * @returns the next message; `undefined` without one, without room, or for a partial batch to a peer that is behind
   */
  take(window: number, isCopied: boolean): readonly Uint8Array[] | undefined {
    if (!this.hasUnsent) return undefined;
    const batch = this.#batches.at(this.#unsent);
    if (this.#inFlight > 0 && this.#inFlight + batch.bytes > window) return undefined;
    // A write for the small batch of each turn: with 40 such peers the collector took a third of a publisher's time.
    if (batch === this.#open && this.#inFlight > LINK_BEHIND) return undefined;
    this.#unsent += 1;
    this.#inFlight += batch.bytes;
    if (batch === this.#open) this.#open = undefined;
    const { memory, slab, start, end, item, wasSent } = batch;
    if (wasSent) this.resent += batch.count;
    else this.everSent = batch.first + batch.count;
    batch.wasSent = true;
    // The acknowledgement may be for the batch as it was sent before, while this one waits in the connection.
    if ((wasSent || !isCopied) && slab !== undefined) slab.isPinned = true;
    writeUint16(memory, start + 7, batch.count);
    const bytes = memory.subarray(start, end);
    return item === undefined ? [bytes] : [bytes, item];
  }

  /** @param delivered items of this session. @returns whether that is possible */
  ack(delivered: number): boolean {
    if (delivered > this.everSent) return false;
    if (delivered <= this.acked) return true;
    this.delivered += delivered - this.acked;
    this.acked = delivered;
    const batches = this.#batches;
    for (let batch = batches.peek(); batch !== undefined; batch = batches.peek()) {
      if (batch.first + batch.count > delivered) break;
      batches.shift();
      this.waitingBytes -= batch.bytes;
      // Else it is unsent after a cut, and acknowledged by the greeting.
      if (this.#unsent > 0) {
        this.#unsent -= 1;
        this.#inFlight -= batch.bytes;
      }
      if (batch.slab !== undefined) this.#slabs.release(batch.slab);
    }
    return true;
  }

  disconnected(): void {
    this.#unsent = 0;
    this.#inFlight = 0;
  }

  /** The peer is gone or another life. */
  reset(): void {
    this.lost += this.waiting;
    this.session += 1;
    this.offered = 0;
    this.acked = 0;
    this.everSent = 0;
    this.disconnected();
    this.#open = undefined;
    this.waitingBytes = 0;
    this.releaseMemory();
  }

  /** The link is idle, or gives up what waits. */
  releaseMemory(): void {
    if (this.waiting > 0) return;
    this.#batches.clear();
    this.#slab = undefined;
    this.#memory = Buffer.alloc(0);
    this.#slabs.clear();
  }

  /** @returns where the item begins in the slab, behind its kind and length */
  #append(kind: number, size: number): number {
    let batch = this.#open;
    if (
      batch === undefined ||
      batch.end - batch.start + size + ITEM_HEADER > MAX_BATCH ||
      batch.end + size + ITEM_HEADER > this.#memory.length ||
      batch.count >= 0xffff
    )
      batch = this.#openBatch(size);
    let at = batch.end;
    const slab = this.#memory;
    const before = at;
    slab[at++] = kind;
    if (size < 128) slab[at++] = size;
    else at = writeUint(slab, at, size);
    const end = at + size;
    (this.#slab as WindowSlab).end = end;
    batch.end = end;
    batch.count += 1;
    batch.bytes += end - before;
    this.waitingBytes += end - before;
    return at;
  }

  #openBatch(size: number): Batch {
    const slab = this.#slabs.room(BATCH_HEADER + ITEM_HEADER + size);
    const { bytes, end: start } = slab;
    this.#slab = slab;
    this.#memory = bytes;
    bytes[start] = LinkFrame.BATCH;
    writeUint48(bytes, start + 1, this.offered);
    slab.end = start + BATCH_HEADER;
    slab.batches += 1;
    const batch = new Batch(this.offered, bytes, start, slab.end, undefined, slab);
    batch.bytes = BATCH_HEADER;
    this.waitingBytes += BATCH_HEADER;
    this.#batches.push(batch);
    this.#open = batch;
    return batch;
  }

  #offerLarge(kind: number, item: Uint8Array): void {
    const head = Buffer.allocUnsafe(BATCH_HEADER + ITEM_HEADER);
    head[0] = LinkFrame.BATCH;
    writeUint48(head, 1, this.offered);
    head[BATCH_HEADER] = kind;
    const end = writeUint(head, BATCH_HEADER + 1, item.length);
    const batch = new Batch(this.offered, head, 0, end, item, undefined);
    batch.count = 1;
    batch.bytes = end + item.length;
    this.waitingBytes += batch.bytes;
    this.#batches.push(batch);
    this.#open = undefined;
  }
}
