/**
 * The receiving end of a link: passes one peer's items, in order, to the program, and acknowledges them.
 *
 *   data frame ──window.accept──> items ──onItem──> received ──some ms, half of what the sender keeps, 256 KiB──> ACK
 *
 * Nothing holds a link: a slow reader loses messages at the bound of its own queue.
 *
 * An acknowledgement costs a system call at both ends, as much as a message, and only makes room. It waits for enough
 * items by the sender's marks, for an item with a waiting caller, or for items to the peer in the same write; else for
 * 20 ms. While items keep coming, it goes at the end of a turn, since a timer costs more than the call.
 *
 * The object outlives its connections.
 */
import type { Alias } from "./addresses.js";
import { ACK_BYTES, ACK_DELAY, ACK_FLOW, ACK_FLOW_DELAY, LINK_IDLE_LOOKS } from "./bounds.js";
import { type IncomingLink, MessageKind } from "./parts.js";
import type { MessageConnection } from "./protocol.js";
import { TopicAliases } from "./topic-aliases.js";
import { ReceiveWindow } from "./window.js";
import {
  BATCH_HEADER,
  BatchReader,
  countOf,
  encodeAck,
  type Hello,
  ITEM_HEADER,
  LinkFrame,
  sequenceOf,
} from "./wire.js";

export interface ReceivingEffects {
  /** Never throws. */
  onItem(from: Receiving, kind: number, item: Buffer): void;
  /** Never throws. */
  onPublish(from: Receiving, bytes: Buffer, start: number, end: number): void;
  /** `acknowledge` is to be called at the end of this turn, or at `ackAt`. */
  acknowledgeSoon(receiving: Receiving): void;
  acknowledgeLater(receiving: Receiving): void;
}

export type FrameFault = "malformed" | "sequence" | "too-large";

export class Receiving implements IncomingLink {
  readonly id: string;
  /** 0: the main link. */
  readonly lane: number;
  readonly window = new ReceiveWindow();
  connection: MessageConnection | undefined = undefined;
  protocol = "";
  readonly topics = new TopicAliases();
  ownClient: Alias | undefined = undefined;
  /** In the lists of soon and of later acknowledgements. */
  isDue = false;
  isDueLater = false;
  ackAt = 0;
  readonly #effects: ReceivingEffects;
  readonly #maxItem: number;
  #unackedBytes = 0;
  /** Of the first unacknowledged item, -1: none; and of the last items. */
  #unackedSince = -1;
  #cameAt = Number.NEGATIVE_INFINITY;
  /** Checks without items in between. */
  #quietLooks = 0;
  #isAwaited = false;
  /** Acknowledged at once from these on. */
  #ackItems = 1;
  #ackBytes = 0;
  /** Changes when the rest of a frame is not to be handled: with a connection, a session, and the end. */
  #epoch = 0;
  #isStopped = false;

  constructor(id: string, maxItem: number, effects: ReceivingEffects, lane = 0) {
    this.id = id;
    this.lane = lane;
    this.#maxItem = maxItem;
    this.#effects = effects;
  }

  hello({
    life,
    session,
    sent,
  }: Pick<Hello, "life" | "session" | "sent">): ReturnType<ReceiveWindow["hello"]> {
    const result = this.window.hello(life, session, sent);
    if (result === "new") this.restart();
    return result;
  }

  /** Forgets the previous session. */
  restart(): void {
    this.#epoch += 1;
    this.#unackedBytes = 0;
    this.#unackedSince = -1;
    this.#isAwaited = false;
    this.topics.clear();
  }

  /** Further items are neither handled nor acknowledged: the sender counts them as lost. */
  stop(): void {
    this.#epoch += 1;
    this.#isStopped = true;
  }

  connected(connection: MessageConnection, protocol: string): void {
    this.#epoch += 1;
    this.connection = connection;
    this.protocol = protocol;
    this.#quietLooks = 0;
    this.#unackedSince = -1;
  }

  /** The other end would have closed it, or has vanished. */
  closeIfIdle(): void {
    const { connection } = this;
    if (connection === undefined) return;
    this.#quietLooks += 1;
    if (this.#quietLooks <= 2 * LINK_IDLE_LOOKS) return;
    this.connection = undefined;
    connection.close();
  }

  /** What the sender keeps for this node. */
  setMarks(items: number, bytes: number): void {
    this.#ackItems = Math.max(1, Math.floor(items / 2));
    this.#ackBytes = Math.min(ACK_BYTES, Math.floor(bytes / 2));
  }

  onData(frame: Buffer): FrameFault | undefined {
    this.#quietLooks = 0;
    if (this.#isStopped) return undefined;
    const first = sequenceOf(frame);
    const count = first < 0 ? 0 : countOf(frame);
    if (count === 0) return "malformed";
    if (frame.length > this.#maxItem + BATCH_HEADER + ITEM_HEADER) return "too-large";
    const skip = this.window.accept(first, count);
    if (skip < 0) return "sequence";
    if (skip === count) return undefined;
    this.#unackedBytes += frame.length;
    const fault =
      frame[0] === LinkFrame.ITEM ? this.#takeItem(frame) : this.#takeBatch(frame, skip, count - skip);
    this.#acknowledgeInTime();
    return fault;
  }

  acknowledge(): void {
    const { window, connection } = this;
    if (connection === undefined || window.acked === window.received) return;
    if (connection.isFull === true) {
      this.#unackedSince = performance.now();
      this.#acknowledgeLater(ACK_FLOW_DELAY);
      return;
    }
    window.acked = window.received;
    this.#unackedBytes = 0;
    this.#unackedSince = -1;
    this.#isAwaited = false;
    connection.send([encodeAck(window.session, window.received)]);
  }

  #acknowledgeLater(delay: number): void {
    this.ackAt = this.#unackedSince + delay;
    this.#effects.acknowledgeLater(this);
  }

  #acknowledgeInTime(): void {
    const { window } = this;
    if (this.#unackedBytes >= ACK_BYTES) this.acknowledge();
    else if (
      this.#isAwaited ||
      window.received - window.acked >= this.#ackItems ||
      this.#unackedBytes >= this.#ackBytes
    ) {
      if (!this.isDue) this.#effects.acknowledgeSoon(this);
    } else if (window.received > window.acked) this.#acknowledgeWithMore();
  }

  #acknowledgeWithMore(): void {
    const now = performance.now();
    if (this.#unackedSince < 0) {
      this.#unackedSince = now;
      this.#acknowledgeLater(now - this.#cameAt < ACK_FLOW ? ACK_FLOW_DELAY : ACK_DELAY);
    } else if (!this.isDue && now - this.#unackedSince >= ACK_DELAY / 2) this.#effects.acknowledgeSoon(this);
    this.#cameAt = now;
  }

  #takeBatch(frame: Buffer, skip: number, count: number): FrameFault | undefined {
    const { window } = this;
    const effects = this.#effects;
    const epoch = this.#epoch;
    const reader = new BatchReader(frame);
    for (let i = 0; i < skip; i++) reader.next();
    for (let left = count; left > 0; left--) {
      if (!reader.next()) return "malformed";
      window.received += 1;
      if (reader.kind === MessageKind.PUBLISH)
        effects.onPublish(this, reader.frame, reader.start, reader.end);
      else this.#onItem(reader.kind, reader.item());
      if (epoch !== this.#epoch) return undefined;
    }
    return reader.isWhole ? undefined : "malformed";
  }

  #takeItem(frame: Buffer): undefined {
    const kind = frame[7] as number;
    this.window.received += 1;
    if (kind === MessageKind.PUBLISH) this.#effects.onPublish(this, frame, ITEM_HEADER, frame.length);
    else this.#onItem(kind, frame.subarray(ITEM_HEADER));
  }

  #onItem(kind: number, item: Buffer): void {
    // A caller waits for the acknowledgement.
    if (kind === MessageKind.DIRECT || kind === MessageKind.ROUTES) this.#isAwaited = true;
    this.#effects.onItem(this, kind, item);
  }
}
