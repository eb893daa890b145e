/**
 * Answers and what else waits for room at other nodes, in their order for each node.
 *
 *   item ──the link takes it──> sent
 *     └─full─> waits for room ──> sent      ──the node is lost or gone──> unreachable
 *
 * Who answers requests keeps a slot until its reply has gone, and a caller grants no more than it has read, so these are few. But a request that is over
 * leaves what it sent before, and the other end may begin and end any number of them, and acknowledge nothing: past a bound what comes further is dropped.
 * Answers that hold no slot, such as refusals, have lower bounds of their own, since a node may ask for any number of them and read none.
 */
import { MAX_QUEUED_BYTES, MAX_QUEUED_ITEMS, MAX_UNREAD_ANSWER_BYTES, MAX_UNREAD_ANSWERS } from "./bounds.js";
import type { SendResult } from "./parts.js";

/** `sent`: the link has it. `dropped`: too much waits already. */
export type QueueResult = Exclude<SendResult, "full"> | "dropped";

export interface NodeQueuesEffects {
  send(node: string, item: Buffer): SendResult;
  /** Settles when there is room; rejects when the node is lost or gone. */
  room(node: string): Promise<void>;
  /** An item was dropped. */
  unread(): void;
}

interface Waiting {
  readonly item: Buffer;
  readonly done: ((result: QueueResult) => void) | undefined;
}

/** What waits for a node. */
class Queue {
  readonly items: Waiting[] = [];
  /** Those that have not gone yet, and their bytes. */
  count = 0;
  bytes = 0;

  push(waiting: Waiting): void {
    this.items.push(waiting);
    this.count += 1;
    this.bytes += waiting.item.length;
  }
}

export class NodeQueues {
  readonly #effects: NodeQueuesEffects;
  readonly #queues = new Map<string, Queue>();
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
    return this.#queues.has(node) ? "full" : this.#effects.send(node, item);
  }

  /** Sends it, when there is room where the link is full. @param done called once */
  sendLater(node: string, item: Buffer, done?: (result: QueueResult) => void): void {
    const queue = this.#queues.get(node);
    if (queue !== undefined) {
      if (isFull(queue, item, MAX_QUEUED_ITEMS, MAX_QUEUED_BYTES)) this.#unread(done);
      else queue.push({ item, done });
      return;
    }
    const result = this.#closed ? "unreachable" : this.#effects.send(node, item);
    if (result !== "full") {
      done?.(result);
      return;
    }
    const begun = new Queue();
    begun.push({ item, done });
    this.#queues.set(node, begun);
    void this.#drain(node, begun);
  }

  /** As `sendLater`, of an answer that holds no slot: it is dropped where too much waits for the node. */
  answer(node: string, item: Buffer, done?: (result: QueueResult) => void): void {
    const queue = this.#queues.get(node);
    if (queue !== undefined && isFull(queue, item, MAX_UNREAD_ANSWERS, MAX_UNREAD_ANSWER_BYTES))
      this.#unread(done);
    else this.sendLater(node, item, done);
  }

  close(): void {
    this.#closed = true;
  }

  #unread(done: Waiting["done"]): void {
    this.#effects.unread();
    done?.("dropped");
  }

  async #drain(node: string, queue: Queue): Promise<void> {
    const { items } = queue;
    for (let at = 0; at < items.length; at++) {
      const { item, done } = items[at] as Waiting;
      let result: SendResult = this.#closed ? "unreachable" : this.#effects.send(node, item);
      while (result === "full") {
        // What has gone does not wait any more, whatever becomes of the node.
        items.splice(0, at);
        at = 0;
        try {
          await this.#effects.room(node);
        } catch {
          this.#queues.delete(node);
          for (const each of items.splice(0)) each.done?.("unreachable");
          return;
        }
        result = this.#closed ? "unreachable" : this.#effects.send(node, item);
      }
      queue.count -= 1;
      queue.bytes -= item.length;
      if (at === items.length - 1) this.#queues.delete(node);
      done?.(result);
    }
  }
}

function isFull({ count, bytes }: Queue, item: Buffer, maxCount: number, maxBytes: number): boolean {
  return count >= maxCount || bytes + item.length > maxBytes;
}
