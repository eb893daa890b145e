/** Queues of what waits for room at other nodes, in order for each of them. */
import {
  MAX_HANDLING,
  MAX_HANDLING_BYTES,
  MAX_QUEUED_BYTES,
  MAX_QUEUED_ITEMS,
  MAX_UNREAD_ANSWER_BYTES,
  MAX_UNREAD_ANSWERS,
} from "./bounds.js";
import type { NodeLinks } from "./links.js";
import type { MessageKind, SendResult } from "./parts.js";

export type WaitResult = Exclude<SendResult, "full"> | "timeout";

interface WaitingCopy {
  readonly queue: Queue;
  readonly bytes: number;
  send(): SendResult;
  done(result: WaitResult): void;
  timer: NodeJS.Timeout | undefined;
}

class Queue {
  readonly copies = new Set<WaitingCopy>();
  bytes = 0;
}

/**
 * Messages that wait for room at other nodes, in order for each, and at this node's own subscriptions. Bounded in counts
 * and bytes over all of them.
 */
export class WaitingSends {
  readonly #room: (peer: string, bytes: number) => Promise<boolean>;
  readonly #most: number;
  readonly #mostBytes: number;
  /** A queue stays while its room is awaited. */
  readonly #queues = new Map<string, Queue>();
  count = 0;
  bytes = 0;
  isClosed = false;

  /** @param room of an item; `false`: the peer is gone */
  constructor(most: number, mostBytes: number, room: (peer: string, bytes: number) => Promise<boolean>) {
    this.#most = most;
    this.#mostBytes = mostBytes;
    this.#room = room;
  }

  has(peer: string): boolean {
    return (this.#queues.get(peer)?.copies.size ?? 0) > 0;
  }

  isFull(copies: number, bytes: number): boolean {
    return this.count + copies > this.#most || this.bytes + copies * bytes > this.#mostBytes;
  }

  /** One may wait, whatever its size. */
  isFullAt(peer: string, bytes: number, most: number, mostBytes: number): boolean {
    const queue = this.#queues.get(peer);
    if (queue === undefined || queue.copies.size === 0) return false;
    return queue.copies.size >= most || queue.bytes + bytes > mostBytes;
  }

  /**
   * @param timeout ms; -1: no limit
   * @param send attempts it; `full`: still no room
   */
  wait(peer: string, bytes: number, timeout: number, send: () => SendResult): Promise<WaitResult> {
    return new Promise((resolve) => this.queue(peer, bytes, send, resolve, timeout));
  }

  /** As `wait`. @param done called once, also when this is closed */
  queue(
    peer: string,
    bytes: number,
    send: () => SendResult,
    done: (result: WaitResult) => void,
    timeout = -1,
  ): void {
    const known = this.#queues.get(peer);
    const queue = known ?? new Queue();
    const copy: WaitingCopy = { queue, bytes, send, done, timer: undefined };
    queue.copies.add(copy);
    queue.bytes += bytes;
    this.count += 1;
    this.bytes += bytes;
    if (timeout >= 0) copy.timer = setTimeout(() => this.#settle(copy, "timeout"), timeout);
    if (known !== undefined) return;
    this.#queues.set(peer, queue);
    void this.#pump(peer, queue);
  }

  /** Waiting copies count as not sent. */
  close(): void {
    this.isClosed = true;
    const queues = [...this.#queues.values()];
    this.#queues.clear();
    for (const queue of queues) this.#giveUp(queue);
  }

  async #pump(peer: string, queue: Queue): Promise<void> {
    let attempts = 0;
    for (;;) {
      const [first] = queue.copies;
      if (first === undefined || this.isClosed || !(await this.#room(peer, first.bytes))) break;
      if (this.#sendAll(queue)) attempts = 0;
      // Another subscription of this node had room.
      else if (++attempts > 1) await new Promise((resolve) => setTimeout(resolve, 10));
    }
    this.#queues.delete(peer);
    this.#giveUp(queue);
  }

  #giveUp(queue: Queue): void {
    for (const copy of queue.copies) this.#settle(copy, "unreachable");
  }

  #sendAll(queue: Queue): boolean {
    let progress = false;
    for (const copy of queue.copies) {
      const result = copy.send();
      if (result === "full") return progress;
      this.#settle(copy, result);
      progress = true;
    }
    return progress;
  }

  /** Frees a copy's data: a peer may have no room for long. */
  #settle(copy: WaitingCopy, result: WaitResult): void {
    const { queue, bytes, timer } = copy;
    if (!queue.copies.delete(copy)) return;
    clearTimeout(timer);
    queue.bytes -= bytes;
    this.count -= 1;
    this.bytes -= bytes;
    copy.done(result);
  }
}

/** `sent`: the link has it. `dropped`: too much waits already. */
export type QueueResult = Exclude<SendResult, "full"> | "dropped";

/** Gets items that this node sends to itself. */
export interface OwnItems {
  readonly id: string;
  onItem(from: string, item: Buffer): void;
}

/**
 * Items of requests, and answers to members, that wait for room at other nodes.
 *
 * A peer may begin and end requests, or ask for refusals, without reading: above a bound items are dropped.
 */
export class NodeQueues extends WaitingSends {
  /** Items that the bounds did not admit. */
  dropped = 0;
  readonly #links: Pick<NodeLinks, "send" | "room" | "maxItem">;
  readonly #kind: MessageKind;
  readonly #own: OwnItems | undefined;
  #ownItems: Buffer[] = [];
  #ownBytes = 0;

  constructor(links: Pick<NodeLinks, "send" | "room" | "maxItem">, kind: MessageKind, own?: OwnItems) {
    super(Infinity, Infinity, (node, bytes) => links.room(node, bytes));
    this.#links = links;
    this.#kind = kind;
    this.#own = own;
  }

  /** Whether as many items to this node itself wait as handlers may take. */
  get isOwnFull(): boolean {
    return this.#ownItems.length >= MAX_HANDLING || this.#ownBytes >= MAX_HANDLING_BYTES;
  }

  #sendNow(node: string, item: Buffer): SendResult {
    if (node === this.#own?.id) {
      if (item.length > this.#links.maxItem) return "too-large";
      // Deferred, so that other work gets turns.
      this.#ownItems.push(item);
      this.#ownBytes += item.length;
      if (this.#ownItems.length === 1) setImmediate(this.#takeOwn);
      return "sent";
    }
    return this.#links.send(node, this.#kind, item);
  }

  #takeOwn = (): void => {
    const items = this.#ownItems;
    this.#ownItems = [];
    this.#ownBytes = 0;
    for (const item of items) this.#own?.onItem(this.#own.id, item);
  };

  /** Sends it now, behind the node's waiting items. */
  send(node: string, item: Buffer): SendResult {
    return this.has(node) ? "full" : this.#sendNow(node, item);
  }

  /** Waits for room if the link is full. @param done called once @param most items that may wait at the node */
  sendLater(
    node: string,
    item: Buffer,
    done?: (result: QueueResult) => void,
    most: number = MAX_QUEUED_ITEMS,
    mostBytes: number = MAX_QUEUED_BYTES,
  ): void {
    const result = this.isClosed ? "unreachable" : this.send(node, item);
    if (result !== "full") done?.(result);
    else if (this.isFullAt(node, item.length, most, mostBytes)) {
      this.dropped += 1;
      done?.("dropped");
    } else
      this.queue(
        node,
        item.length,
        () => this.#sendNow(node, item),
        (left) => done?.(left as QueueResult),
      );
  }

  /** Like `sendLater`, with the bound of answers without a slot. */
  answer(node: string, item: Buffer, done?: (result: QueueResult) => void): void {
    this.sendLater(node, item, done, MAX_UNREAD_ANSWERS, MAX_UNREAD_ANSWER_BYTES);
  }
}
