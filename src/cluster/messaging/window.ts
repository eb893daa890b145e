/**
 * The rules of a stream of items to one peer, pure: what is kept until it was delivered, what is sent again after a
 * reconnection, and which of four counts each item is in.
 *
 *                      no room: dropped (counted by the caller, who knows its prefix)
 *                     /
 *   offer ──> waiting ──ack──> delivered
 *                     \
 *                      reset: lost
 *
 *   given = waiting + delivered + lost + dropped, at any time
 *
 * A session is the peer's life and a counter of this end. Within one, items are numbered from 0, arrive in order, and each
 * once: the receiver takes the number that it expects, skips what it has had, and calls a gap a fault. Over a new connection
 * the receiver says what it received, and the sender goes on from there. Where it does not have what it acknowledged before, it is
 * another life or has forgotten this end, so nobody knows what was delivered: what waits is lost, and a session begins. So `lost` is an upper bound:
 * what was sent and not acknowledged may have come.
 *
 *   queue of batches    | sent, not acknowledged | to be sent | open: takes more items
 *                       ^ head                   ^ #unsent
 */
import { ITEM_BY_REFERENCE, LINK_BEHIND, MAX_BATCH } from "./bounds.js";
import { writeData } from "./items.js";
import type { Publication } from "./publication.js";
import { writeUint, writeUint16, writeUint48 } from "./schema.js";
import { type WindowSlab, WindowSlabs } from "./window-slabs.js";
import { BATCH_HEADER, ITEM_HEADER, LinkFrame, MAX_BATCH_ITEMS } from "./wire.js";

/** Bytes around an item in a batch, at most: its kind and its length. */
const ITEM_OVERHEAD = 5;
const NO_MEMORY = Buffer.alloc(0);
/** Batches that were acknowledged and are still in the array. */
const MAX_GAP = 64;

/** What a window holds, at most. */
export interface WindowLimits {
  /** Items, and bytes with their headers, that wait or are on their way. */
  readonly items: number;
  readonly bytes: number;
}

/** What a peer's WELCOME has of what it was sent. */
export interface WindowWelcome {
  /** Of the peer. */
  readonly life: string;
  /** Items of this session. */
  readonly received: number;
  readonly delivered: number;
  /** 1: it has forgotten what it had of them. */
  readonly forgot: number;
}

/** What a WELCOME comes to. */
export interface WelcomeResult {
  /** Whether the session goes on; else what waited is lost, and another one begins, in which the peer is to be greeted. */
  readonly goesOn: boolean;
  /** `delivered` without what it has of this session. */
  readonly deliveredBefore: number;
}

/** Items that travel in one message. */
class Batch {
  readonly first: number;
  count = 0;
  /** With headers. */
  bytes = 0;
  /** Where it is in a slab; of an item by reference, the frames. */
  readonly memory: Buffer;
  readonly start: number;
  end: number;
  readonly item: Uint8Array | undefined;
  readonly slab: WindowSlab | undefined;
  /** Whether it was sent before, in this session. */
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

/** The sender's end. */
export class SendWindow {
  /** Items that were acknowledged, that were given up, and that were sent more than once. */
  delivered = 0;
  lost = 0;
  resent = 0;
  /** Of this session: the number of the next item. */
  #next = 0;
  #acked = 0;
  /** Of this session: items that were handed to any connection. */
  #everSent = 0;
  #session: number;
  readonly #limits: WindowLimits;
  readonly #batches: (Batch | undefined)[] = [];
  #head = 0;
  #unsent = 0;
  #open: Batch | undefined = undefined;
  /** Of the open batch, and its memory. */
  #slab: WindowSlab | undefined = undefined;
  #memory: Buffer = NO_MEMORY;
  readonly #slabs = new WindowSlabs();
  #bytes = 0;
  #inFlight = 0;

  /** @param session the first: above all that the receiver has met of this life */
  constructor(limits: WindowLimits, session = 0) {
    this.#limits = limits;
    this.#session = session;
  }

  /** Items that were not acknowledged, and their bytes with headers. */
  get waiting(): number {
    return this.#next - this.#acked;
  }

  get waitingBytes(): number {
    return this.#bytes;
  }

  get session(): number {
    return this.#session;
  }

  /** Items of this session that were offered, and of them those that were acknowledged. */
  get offered(): number {
    return this.#next;
  }

  get acked(): number {
    return this.#acked;
  }

  /** Whether there is something that was not sent over this connection. */
  get hasUnsent(): boolean {
    return this.#unsent < this.#batches.length;
  }

  /** Whether something was sent over this connection that is not acknowledged. */
  get isUnderWay(): boolean {
    return this.#inFlight > 0;
  }

  /** Items of this session that were handed to any connection. */
  get everSent(): number {
    return this.#everSent;
  }

  /** Whether nothing of this session was ever sent. */
  get isFresh(): boolean {
    return this.#everSent === 0;
  }

  /** Whether half of the room is there: after an offer that was refused it is time to offer again. */
  get isHalfEmpty(): boolean {
    return 2 * this.waiting <= this.#limits.items && 2 * this.#bytes <= this.#limits.bytes;
  }

  /** Whether three quarters of the room are there. */
  get isFarFromFull(): boolean {
    return 4 * this.waiting <= this.#limits.items && 4 * this.#bytes <= this.#limits.bytes;
  }

  /** @returns whether there was room. One item is always taken, whatever its size */
  offer(kind: number, item: Uint8Array): boolean {
    const size = item.length;
    if (!this.hasRoom(size)) return false;
    if (size >= ITEM_BY_REFERENCE) this.#offerLarge(kind, item);
    else {
      const at = this.#append(kind, size);
      this.#memory.set(item, at);
    }
    this.#next += 1;
    return true;
  }

  /**
   * The same with an item in two parts: what a publication has as its head, and its data.
   *
   * @returns whether there was room
   */
  offerPublication(kind: number, { head, headBytes, data, dataBytes }: Publication): boolean {
    const size = headBytes + dataBytes;
    if (!this.hasRoom(size)) return false;
    const at = this.#append(kind, size);
    const slab = this.#memory;
    // Mostly some bytes, for which a call into native code takes longer.
    for (let i = 0; i < headBytes; i++) slab[at + i] = head[i] as number;
    writeData(slab, data, at + headBytes);
    this.#next += 1;
    return true;
  }

  /** Whether an item of so many bytes is taken. */
  hasRoom(size: number): boolean {
    const waiting = this.#next - this.#acked;
    if (waiting === 0) return true;
    return waiting < this.#limits.items && this.#bytes + size + ITEM_OVERHEAD <= this.#limits.bytes;
  }

  /**
   * The next message for this connection.
   *
   * @param window bytes that may be on their way; one batch always may
   * @param isCopied whether the connection reads nothing any more of what the peer has acknowledged
   * @returns `undefined` where there is none, or no room for it, or it is not full and the peer is behind: an `ack` may make it leave
   */
  take(window: number, isCopied: boolean): readonly Uint8Array[] | undefined {
    const batch = this.#batches[this.#unsent];
    if (batch === undefined) return undefined;
    if (this.#inFlight > 0 && this.#inFlight + batch.bytes > window) return undefined;
    // A peer that is behind gets full batches, or the rest when it acknowledges: the small ones of each turn would be a write each, and
    // be copied again by the engine while they wait. With 40 such peers that was a third of a publisher's time, the collector's.
    if (batch === this.#open && this.#inFlight > LINK_BEHIND) return undefined;
    this.#unsent += 1;
    this.#inFlight += batch.bytes;
    if (batch === this.#open) this.#open = undefined;
    if (batch.wasSent) this.resent += batch.count;
    else this.#everSent = batch.first + batch.count;
    batch.wasSent = true;
    const { memory, slab, start, end, item } = batch;
    if (item !== undefined) return [memory, item];
    if (!isCopied && slab !== undefined) slab.isPinned = true;
    writeUint16(memory, start + 7, batch.count);
    return [memory.subarray(start, end)];
  }

  /** @param delivered items of this session that the peer's program has had @returns whether that can be */
  ack(delivered: number): boolean {
    if (delivered > this.#everSent) return false;
    if (delivered <= this.#acked) return true; // An older one.
    this.delivered += delivered - this.#acked;
    this.#acked = delivered;
    const batches = this.#batches;
    let head = this.#head;
    for (; head < batches.length; head++) {
      const batch = batches[head] as Batch;
      if (batch.first + batch.count > delivered) break;
      this.#bytes -= batch.bytes;
      // After a cut they are to be sent again, and were acknowledged by the greeting.
      if (head < this.#unsent) this.#inFlight -= batch.bytes;
      if (batch.slab !== undefined) this.#slabs.release(batch.slab);
      batches[head] = undefined;
    }
    this.#head = head;
    if (this.#unsent < head) this.#unsent = head;
    if (head === batches.length) this.#forgetBatches();
    else if (head > MAX_GAP && 2 * head > batches.length) {
      batches.splice(0, head);
      this.#unsent -= head;
      this.#head = 0;
    }
    return true;
  }

  /** The connection is gone: what it carried may not have come. */
  disconnected(): void {
    this.#unsent = this.#head;
    this.#inFlight = 0;
  }

  /**
   * A WELCOME came, in this session.
   *
   * @param lifeBefore the peer's, in its WELCOME before this one; empty: there was none
   * @param isBound whether what waits is for that life, though it was not sent: it has aliases that only that one knows
   */
  welcome(lifeBefore: string, welcome: WindowWelcome, isBound: boolean): WelcomeResult {
    const deliveredBefore = this.delivered;
    const isOther = lifeBefore !== "" && welcome.life !== lifeBefore;
    // To go on from the beginning would repeat what it had.
    const hasForgotten = welcome.forgot > 0 && !this.isFresh;
    const goesOn =
      !(isOther && (isBound || !this.isFresh)) &&
      !hasForgotten &&
      this.resume(welcome.received, welcome.delivered);
    // Another life, or one that forgot: nobody knows what it had.
    if (!goesOn) this.reset();
    return { goesOn, deliveredBefore };
  }

  /**
   * A connection begins.
   *
   * @param received items of this session that the peer has @param delivered of them, those that its program has had
   * @returns whether the session goes on; `false`: the peer lost what it acknowledged, or has what was never sent
   */
  resume(received: number, delivered: number): boolean {
    this.disconnected();
    if (received < this.#acked || received > this.#everSent || delivered > received) return false;
    if (!this.ack(delivered)) return false;
    // What it has and has not delivered stays until it is acknowledged, and is not sent again.
    const batches = this.#batches;
    let next = this.#head;
    for (; next < batches.length; next++) {
      const batch = batches[next] as Batch;
      if (batch.first + batch.count > received) break;
      this.#inFlight += batch.bytes;
    }
    this.#unsent = next;
    return true;
  }

  /** Gives up what waits: the peer is gone, or another life. A session begins. */
  reset(): void {
    this.lost += this.waiting;
    this.#session += 1;
    this.#next = 0;
    this.#acked = 0;
    this.#everSent = 0;
    this.#forgetBatches();
    this.#slabs.forget();
  }

  /** Nothing waits: the memory goes. */
  releaseSlabs(): void {
    if (this.waiting === 0) this.#slabs.clear();
  }

  #forgetBatches(): void {
    this.#batches.length = 0;
    this.#head = 0;
    this.#unsent = 0;
    this.#open = undefined;
    this.#bytes = 0;
    this.#inFlight = 0;
  }

  /** Room for an item in a batch, with its kind and its length before it. @returns where it begins in the slab */
  #append(kind: number, size: number): number {
    let batch = this.#open;
    if (
      batch === undefined ||
      batch.end - batch.start + size + ITEM_OVERHEAD > MAX_BATCH ||
      batch.end + size + ITEM_OVERHEAD > this.#memory.length ||
      batch.count >= MAX_BATCH_ITEMS
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
    this.#bytes += end - before;
    return at;
  }

  #openBatch(size: number): Batch {
    const slab = this.#slabs.room(BATCH_HEADER + ITEM_OVERHEAD + size);
    const { bytes, end: start } = slab;
    this.#slab = slab;
    this.#memory = bytes;
    bytes[start] = LinkFrame.BATCH;
    writeUint48(bytes, start + 1, this.#next);
    slab.end = start + BATCH_HEADER;
    slab.batches += 1;
    const batch = new Batch(this.#next, bytes, start, slab.end, undefined, slab);
    batch.bytes = BATCH_HEADER;
    this.#bytes += BATCH_HEADER;
    this.#batches.push(batch);
    this.#open = batch;
    return batch;
  }

  #offerLarge(kind: number, item: Uint8Array): void {
    const head = Buffer.allocUnsafe(ITEM_HEADER);
    head[0] = LinkFrame.ITEM;
    writeUint48(head, 1, this.#next);
    head[7] = kind;
    const batch = new Batch(this.#next, head, 0, ITEM_HEADER, item, undefined);
    batch.count = 1;
    batch.bytes = ITEM_HEADER + item.length;
    this.#bytes += batch.bytes;
    this.#batches.push(batch);
    this.#open = undefined;
  }
}

/** The receiver's end. */
export class ReceiveWindow {
  /** Of the sender; empty: none was heard of. */
  life = "";
  session = 0;
  /** Items of this session that came, that the program has had, and that were acknowledged, as each WELCOME does. */
  received = 0;
  delivered = 0;
  acked = 0;
  /** Whether items of this session may have come that this end has forgotten. */
  forgot = false;

  /**
   * A connection begins.
   *
   * @param sent items of this session that its sender has handed to a connection
   * @returns `stale`: of a session that the sender gave up already
   */
  hello(life: string, session: number, sent = 0): "new" | "resumed" | "stale" {
    if (life === this.life) {
      if (session === this.session) return "resumed";
      if (session < this.session) return "stale";
    }
    this.forgot = life !== this.life && sent > 0;
    this.life = life;
    this.session = session;
    this.received = 0;
    this.delivered = 0;
    return "new";
  }

  /**
   * A data frame came.
   *
   * @param first number of its first item @param count of items
   * @returns how many items at its beginning came already: they are skipped; -1: items before it are missing
   */
  accept(first: number, count: number): number {
    const had = this.received - first;
    if (had < 0) return -1;
    if (had >= count) return count;
    this.received = first + count;
    return had;
  }
}
