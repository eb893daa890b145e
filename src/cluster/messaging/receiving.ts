/**
 * The receiving end of a link: passes one peer's items, in order, to the program, and acknowledges them.
 *
 *   BATCH ──skips what it had──> items ──onItem──> delivered ──some ms, half of what the sender keeps, 256 KiB──> ACK
 *                             │ a promise: the rest waits in the queue, bounded by the peer's window
 *
 * An acknowledgement costs a system call at both ends, as much as a message, and only makes room. It waits for enough
 * items by the sender's marks, or for 20 ms, by one timer of all links. One that a caller waits for leaves with the next
 * items to the peer, or at the end of the turn: without the former, one-to-one messages to and fro take 15 % more
 * processor time.
 *
 * The object outlives its streams.
 */
import { RingBuffer } from "../../core/collections/queues.js";
import { HELD_BYTES, LINK_MESSAGES, LINK_WINDOW } from "./bounds.js";
import type { PairStream, ReceivingEnd } from "./pair-streams.js";
import { type IncomingLink, type LinksNamespace, MessageKind } from "./parts.js";
import type { TopicPlan } from "./publication.js";
import {
  BATCH_HEADER,
  BatchReader,
  countOf,
  encodeAck,
  type Hello,
  ITEM_HEADER,
  type PlacedItem,
  sequenceOf,
} from "./wire.js";

export interface ReceivingEffects {
  readonly namespace: Pick<LinksNamespace, "codec">;
  /** A frame arrived. Must be cheap. */
  onHeard(id: string): void;
  /** Never throws. */
  onItem(from: Receiving, item: PlacedItem): void | Promise<void>;
  /** `acknowledge` is to be called at the end of this turn, or within `HELD_TIME`. */
  acknowledgeSoon(receiving: Receiving): void;
  acknowledgeLater(receiving: Receiving): void;
  onFault(receiving: Receiving, fault: FrameFault): void;
}

export type FrameFault = "malformed" | "sequence" | "flood" | "too-large";

interface Queued {
  readonly frame: Buffer;
  readonly skip: number;
}

export class Receiving implements IncomingLink, ReceivingEnd {
  readonly id: string;
  /** The sender's; empty: unknown. */
  life = "";
  session = 0;
  /** Items of this session. */
  received = 0;
  delivered = 0;
  acked = 0;
  stream: PairStream | undefined = undefined;
  /** Of its last stream. */
  protocol = "";
  topics: (TopicPlan | undefined)[] = [];
  readonly #links: ReceivingEffects;
  readonly #maxItem: number;
  readonly #queue = new RingBuffer<Queued>(2);
  #queuedBytes = 0;
  /** Frames are being delivered, or wait for a pending handler. */
  #isBusy = false;
  #isPending = false;
  #unackedBytes = 0;
  #isAwaited = false;
  /** Acknowledged at once from these on. */
  #ackItems = 1;
  #ackBytes = 0;
  /** Counts sessions: what a handler of an earlier one had is not counted as delivered. */
  #epoch = 0;
  #reader: BatchReader | undefined = undefined;
  #left = 0;

  constructor(id: string, maxItem: number, links: ReceivingEffects) {
    this.id = id;
    this.#maxItem = maxItem;
    this.#links = links;
  }

  /** @returns `stale`: the sender gave up the session. `forgotten`: items of it may be forgotten */
  hello({
    life,
    session,
    sent,
  }: Pick<Hello, "life" | "session" | "sent">): "new" | "resumed" | "stale" | "forgotten" {
    if (life === this.life) {
      if (session === this.session) return "resumed";
      if (session < this.session) return "stale";
    }
    if (sent > 0) return "forgotten";
    this.life = life;
    this.session = session;
    this.received = 0;
    this.delivered = 0;
    this.restart();
    return "new";
  }

  /** Drops undelivered items of the previous session. Its handler still holds the items of the next one. */
  restart(): void {
    this.#epoch += 1;
    this.#drop();
    this.#left = 0;
    this.#unackedBytes = 0;
    this.#isAwaited = false;
    this.topics = [];
  }

  #drop(): void {
    this.#queue.clear();
    this.#queuedBytes = 0;
    this.#reader = undefined;
  }

  /** What the sender keeps for this node. */
  setMarks(items: number, bytes: number): void {
    this.#ackItems = Math.max(1, Math.floor(items / 2));
    this.#ackBytes = Math.min(HELD_BYTES, Math.floor(bytes / 2));
  }

  onFrame(frame: Buffer): void {
    const fault = this.onData(frame);
    if (fault === undefined) this.#links.onHeard(this.id);
    else this.#links.onFault(this, fault);
  }

  onData(frame: Buffer): FrameFault | undefined {
    const first = sequenceOf(frame);
    const count = first < 0 ? 0 : countOf(frame);
    if (count === 0) return "malformed";
    const bytes = frame.length;
    if (bytes > this.#maxItem + BATCH_HEADER + ITEM_HEADER) return "too-large";
    // They came by an earlier stream, perhaps into the queue.
    if (first + count <= this.received) return undefined;
    if (this.#queuedBytes > 0 && this.#queuedBytes + bytes > LINK_WINDOW + this.#maxItem) return "flood";
    if (this.#queue.length >= LINK_MESSAGES) return "flood";
    const skip = this.received - first;
    if (skip < 0) return "sequence";
    this.received = first + count;
    // A smaller frame that waits would keep the memory of its whole read, many times its own bytes.
    const isCopied = this.#isBusy && bytes < 16_384;
    this.#queue.push({ frame: isCopied ? Buffer.from(frame) : frame, skip });
    this.#queuedBytes += bytes;
    return this.#isBusy ? undefined : this.#deliver();
  }

  /** Items to the peer leave: their write takes an acknowledgement along that a caller waits for. */
  acknowledgeAlong(): void {
    if (this.#isAwaited) this.acknowledge();
  }

  acknowledge(): void {
    const { stream } = this;
    if (stream === undefined || this.acked === this.delivered) return;
    if (stream.isFull) {
      this.#links.acknowledgeLater(this);
      return;
    }
    this.acked = this.delivered;
    this.#unackedBytes = 0;
    this.#isAwaited = false;
    stream.sendMessages(this.#links.namespace.codec, [encodeAck(this.session, this.delivered)]);
  }

  /** Until a handler is pending. A stream in memory may bring frames within a handler. */
  #deliver(): FrameFault | undefined {
    let fault: FrameFault | undefined;
    this.#isBusy = true;
    while (fault === undefined && !this.#isPending) {
      this.#reader ??= this.#nextFrame();
      if (this.#reader === undefined) break;
      fault = this.#read(this.#reader);
    }
    this.#isBusy = this.#isPending;
    this.#acknowledgeInTime();
    return fault;
  }

  #nextFrame(): BatchReader | undefined {
    const queued = this.#queue.shift();
    if (queued === undefined) return undefined;
    const { frame, skip } = queued;
    this.#queuedBytes -= frame.length;
    this.#unackedBytes += frame.length;
    this.#left = countOf(frame) - skip;
    const reader = new BatchReader(frame);
    for (let i = 0; i < skip; i++) reader.next();
    return reader;
  }

  #read(reader: BatchReader): FrameFault | undefined {
    const links = this.#links;
    const epoch = this.#epoch;
    while (this.#left > 0) {
      if (!reader.next()) return this.#malformed();
      this.#left -= 1;
      const { kind } = reader;
      // A caller waits for the acknowledgement.
      if (kind === MessageKind.DIRECT || kind === MessageKind.ROUTES) this.#isAwaited = true;
      const done = links.onItem(this, reader);
      if (done !== undefined) {
        this.#isPending = true;
        const go = (): void => this.#onHandled(epoch);
        done.then(go, go);
        return undefined;
      }
      // The handler may have closed everything, or a session began.
      if (epoch !== this.#epoch) return undefined;
      this.delivered += 1;
    }
    this.#reader = undefined;
    return reader.isWhole ? undefined : this.#malformed();
  }

  #onHandled(epoch: number): void {
    this.#isPending = false;
    if (epoch === this.#epoch) this.delivered += 1;
    const fault = this.#deliver();
    if (fault !== undefined) this.#links.onFault(this, fault);
  }

  /** The sender gives it again by its next stream, and it must not count as received then. */
  #malformed(): FrameFault {
    this.#drop();
    this.received = this.delivered;
    return "malformed";
  }

  #acknowledgeInTime(): void {
    if (this.#unackedBytes >= HELD_BYTES) this.acknowledge();
    else if (
      this.#isAwaited ||
      this.delivered - this.acked >= this.#ackItems ||
      this.#unackedBytes >= this.#ackBytes
    )
      this.#links.acknowledgeSoon(this);
    else if (this.delivered > this.acked) this.#links.acknowledgeLater(this);
  }
}
