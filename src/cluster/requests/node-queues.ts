/**
 * What waits for room at other nodes: replies, parts and grants, in their order for each node. Who answers keeps a slot until its reply has gone,
 * and a caller grants no more than it has read, so these are bounded. Answers that hold no slot, such as refusals, have bounds of their own, since a
 * node may ask for any number of them and read none: past these they are dropped, and an honest caller asks after its request.
 */
import { MAX_UNREAD_ANSWERS, MAX_UNREAD_BYTES } from "./bounds.js";

export type ItemResult = "sent" | "full" | "too-large" | "unreachable";

export interface NodeQueuesEffects {
  send(node: string, item: Buffer): ItemResult;
  /** Settles when there is room; rejects when the node is gone. */
  room(node: string): Promise<void>;
  /** An answer was dropped. */
  unread(): void;
}

interface Waiting {
  readonly item: Buffer;
  readonly done: ((result: Exclude<ItemResult, "full">) => void) | undefined;
}

/** What waits for a node. */
class Queue {
  readonly items: Waiting[] = [];
  bytes = 0;

  push(waiting: Waiting): void {
    this.items.push(waiting);
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
  send(node: string, item: Buffer): ItemResult {
    return this.#queues.has(node) ? "full" : this.#effects.send(node, item);
  }

  /** Sends it, when there is room where the link is full. @param done called once */
  sendLater(node: string, item: Buffer, done?: (result: Exclude<ItemResult, "full">) => void): void {
    const queue = this.#queues.get(node);
    if (queue !== undefined) {
      queue.push({ item, done });
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
  answer(node: string, item: Buffer): void {
    const queue = this.#queues.get(node);
    if (
      queue !== undefined &&
      (queue.items.length >= MAX_UNREAD_ANSWERS || queue.bytes + item.length > MAX_UNREAD_BYTES)
    ) {
      this.#effects.unread();
      return;
    }
    this.sendLater(node, item);
  }

  close(): void {
    this.#closed = true;
  }

  async #drain(node: string, queue: Queue): Promise<void> {
    const { items } = queue;
    let isGone = false;
    for (let at = 0; at < items.length; at++) {
      const { item, done } = items[at] as Waiting;
      let result: ItemResult = isGone || this.#closed ? "unreachable" : this.#effects.send(node, item);
      while (result === "full") {
        try {
          await this.#effects.room(node);
          result = this.#closed ? "unreachable" : this.#effects.send(node, item);
        } catch {
          // The node is gone, and so is who waited for it.
          isGone = true;
          result = "unreachable";
        }
      }
      queue.bytes -= item.length;
      // What has gone is not kept while the rest waits.
      if (at >= 64 && 2 * at > items.length) {
        items.splice(0, at);
        at = 0;
      }
      if (at === items.length - 1) this.#queues.delete(node);
      done?.(result);
    }
  }
}
