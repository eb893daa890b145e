/**
 * Answers and what else waits for room at other nodes, in their order for each node; and answers to nodes that are lost and may come back.
 *
 *   item ──the link takes it──> sent ──acknowledged──> over
 *     │ full: waits for room      │ the node is lost, what its link had is given up
 *     └──the node is lost──> kept <┘ ──it is back──> given again         ──it is gone──> dropped
 *
 * A node that stood still for longer than others believed in it does not know that they gave up what was on its way to it, and waits for its
 * answers. What it had without this node's knowing comes twice then: an answer has to be one that is recognized by its number.
 *
 * Who answers requests keeps a slot until its reply has gone, and a caller grants no more than it has read, so these are few. But a request that is over
 * leaves what it sent before, and the other end may begin and end any number of them, and acknowledge nothing: past a bound what comes further is dropped.
 * Answers that hold no slot, such as refusals, have lower bounds of their own, since a node may ask for any number of them and read none.
 */
import {
  MAX_KEPT_ANSWER_BYTES,
  MAX_QUEUED_BYTES,
  MAX_QUEUED_ITEMS,
  MAX_UNREAD_ANSWER_BYTES,
  MAX_UNREAD_ANSWERS,
} from "./bounds.js";
import type { SendResult } from "./parts.js";

/** `sent`: the link has it, or it is kept for a node that is lost. `dropped`: too much waits already. */
export type QueueResult = Exclude<SendResult, "full"> | "dropped";

export interface NodeQueuesEffects {
  send(node: string, item: Buffer): SendResult;
  /** Settles when there is room; rejects when the node is gone, or its link was given up. */
  room(node: string): Promise<void>;
  /** Whether a node is lost, and may come back. */
  mayReturn(node: string): boolean;
  /** Whether it may come twice: an answer that is recognized by its number. */
  isAnswer(item: Buffer): boolean;
  /** An item was dropped. */
  unread(): void;
}

interface Waiting {
  readonly item: Buffer;
  readonly done: ((result: QueueResult) => void) | undefined;
  /** It was kept for a node that was lost, and reported as sent. */
  readonly isKept: boolean;
}

/** What waits for a node. */
class Queue {
  items: Waiting[] = [];
  /** Those that have not gone yet, and their bytes. */
  count = 0;
  bytes = 0;
  /** Its node is lost: nothing is sent. */
  isHeld = false;
  /** Another number for each time that its node was lost or back: what waits for room since before concerns nobody. */
  turn = 0;

  push(waiting: Waiting): void {
    this.items.push(waiting);
    this.count += 1;
    this.bytes += waiting.item.length;
  }
}

export class NodeQueues {
  readonly #effects: NodeQueuesEffects;
  readonly #queues = new Map<string, Queue>();
  /** Bytes that are kept for nodes that are lost. */
  #keptBytes = 0;
  #closed = false;

  constructor(effects: NodeQueuesEffects) {
    this.#effects = effects;
  }

  /** Items that wait. */
  get size(): number {
    let size = 0;
    for (const { items } of this.#queues.values()) size += items.length;
    return size;
  }

  /** Sends it now. What waits for that node is not overtaken. */
  send(node: string, item: Buffer): SendResult {
    const queue = this.#queues.get(node);
    if (queue === undefined) return this.#effects.send(node, item);
    return queue.isHeld ? "unreachable" : "full";
  }

  /** Sends it, when there is room where the link is full. @param done called once */
  sendLater(node: string, item: Buffer, done?: (result: QueueResult) => void): void {
    const queue = this.#queues.get(node);
    if (queue !== undefined) {
      if (queue.isHeld) this.#keep(queue, item, done);
      else if (isFull(queue, item, MAX_QUEUED_ITEMS, MAX_QUEUED_BYTES)) this.#unread(done);
      else queue.push({ item, done, isKept: false });
      return;
    }
    const result = this.#closed ? "unreachable" : this.#effects.send(node, item);
    if (result === "full") {
      const begun = new Queue();
      begun.push({ item, done, isKept: false });
      this.#queues.set(node, begun);
      void this.#drain(node, begun);
    } else if (result === "unreachable" && !this.#closed && this.#effects.mayReturn(node)) {
      const held = this.#hold(node);
      this.#keep(held, item, done);
      if (held.items.length === 0) this.#queues.delete(node);
    } else done?.(result);
  }

  /** As `sendLater`, of an answer that holds no slot: it is dropped where too much waits for the node. */
  answer(node: string, item: Buffer, done?: (result: QueueResult) => void): void {
    const queue = this.#queues.get(node);
    if (
      queue !== undefined &&
      !queue.isHeld &&
      isFull(queue, item, MAX_UNREAD_ANSWERS, MAX_UNREAD_ANSWER_BYTES)
    )
      this.#unread(done);
    else this.sendLater(node, item, done);
  }

  #unread(done: Waiting["done"]): void {
    this.#effects.unread();
    done?.("dropped");
  }

  // --- Nodes that are lost ---------------------------------------------------------------------------------------------

  /** A node was lost, and its link was given up. @param items that it has not acknowledged, in their order */
  lost(node: string, items: readonly Buffer[]): void {
    if (this.#closed) return;
    const held = this.#hold(node);
    const waiting = held.items;
    this.#keptBytes -= held.bytes;
    held.items = [];
    held.count = 0;
    held.bytes = 0;
    for (const item of items) this.#keep(held, item, undefined);
    for (const { item, done } of waiting) this.#keep(held, item, done);
    if (held.items.length === 0) this.#queues.delete(node);
  }

  /** A node is there: it gets what was kept for it. */
  back(node: string): void {
    const queue = this.#queues.get(node);
    if (queue?.isHeld !== true) return;
    queue.isHeld = false;
    this.#keptBytes -= queue.bytes;
    void this.#drain(node, queue);
  }

  /** A node is gone for good. */
  gone(node: string): void {
    const queue = this.#queues.get(node);
    if (queue?.isHeld === true) this.#drop(node, queue);
  }

  close(): void {
    this.#closed = true;
    for (const [node, queue] of this.#queues) if (queue.isHeld) this.#drop(node, queue);
  }

  #hold(node: string): Queue {
    const queue = this.#queues.get(node) ?? new Queue();
    if (!queue.isHeld) this.#keptBytes += queue.bytes;
    queue.isHeld = true;
    queue.turn += 1;
    this.#queues.set(node, queue);
    return queue;
  }

  /** For when the node is back. What is no answer concerns nobody then: its other end has given up as well. */
  #keep(queue: Queue, item: Buffer, done: Waiting["done"]): void {
    if (!this.#effects.isAnswer(item)) {
      done?.("unreachable");
      return;
    }
    if (
      isFull(queue, item, MAX_UNREAD_ANSWERS, MAX_UNREAD_ANSWER_BYTES) ||
      this.#keptBytes + item.length > MAX_KEPT_ANSWER_BYTES
    ) {
      this.#unread(done);
      return;
    }
    queue.push({ item, done: undefined, isKept: true });
    this.#keptBytes += item.length;
    // Its slot is for others meanwhile.
    done?.("sent");
  }

  #drop(node: string, queue: Queue): void {
    this.#queues.delete(node);
    if (queue.isHeld) this.#keptBytes -= queue.bytes;
    queue.count = 0;
    queue.bytes = 0;
    for (const { done } of queue.items.splice(0)) done?.("unreachable");
  }

  async #drain(node: string, queue: Queue): Promise<void> {
    const { items } = queue;
    queue.turn += 1;
    const { turn } = queue;
    for (let at = 0; at < items.length; at++) {
      const { item, done, isKept } = items[at] as Waiting;
      let result: SendResult = this.#closed ? "unreachable" : this.#effects.send(node, item);
      while (result === "full") {
        // What has gone does not wait any more, whatever becomes of the node.
        items.splice(0, at);
        at = 0;
        try {
          await this.#effects.room(node);
        } catch {
          if (queue.turn === turn) this.#drop(node, queue);
          return;
        }
        if (queue.turn !== turn) return;
        result = this.#closed ? "unreachable" : this.#effects.send(node, item);
      }
      queue.count -= 1;
      queue.bytes -= item.length;
      // It is back and takes no messages, as one does that came back without them.
      if (isKept && result === "unreachable" && !this.#closed) this.#effects.unread();
      if (at === items.length - 1) this.#queues.delete(node);
      done?.(result);
    }
  }
}

function isFull({ count, bytes }: Queue, item: Buffer, maxCount: number, maxBytes: number): boolean {
  return count >= maxCount || bytes + item.length > maxBytes;
}
