/**
 * What waits for room at other nodes: replies, parts and grants, in their order for each node. Who answers keeps a slot until its reply has gone,
 * and a caller grants no more than it has read, so what waits here is bounded by these.
 */

export type ItemResult = "sent" | "full" | "too-large" | "unreachable";

export interface NodeQueuesEffects {
  send(node: string, item: Buffer): ItemResult;
  /** Settles when there is room; rejects when the node is gone. */
  room(node: string): Promise<void>;
}

interface Waiting {
  readonly item: Buffer;
  readonly done: ((result: Exclude<ItemResult, "full">) => void) | undefined;
}

export class NodeQueues {
  readonly #effects: NodeQueuesEffects;
  readonly #queues = new Map<string, Waiting[]>();
  #closed = false;

  constructor(effects: NodeQueuesEffects) {
    this.#effects = effects;
  }

  /** Items that wait. */
  get size(): number {
    let size = 0;
    for (const queue of this.#queues.values()) size += queue.length;
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
    const begun: Waiting[] = [{ item, done }];
    this.#queues.set(node, begun);
    void this.#drain(node, begun);
  }

  close(): void {
    this.#closed = true;
  }

  async #drain(node: string, queue: Waiting[]): Promise<void> {
    let isGone = false;
    for (let at = 0; at < queue.length; at++) {
      const { item, done } = queue[at] as Waiting;
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
      // What has gone is not kept while the rest waits.
      if (at >= 64 && 2 * at > queue.length) {
        queue.splice(0, at);
        at = 0;
      }
      if (at === queue.length - 1) this.#queues.delete(node);
      done?.(result);
    }
  }
}
