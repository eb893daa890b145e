/**
 * Messages that wait for room at other nodes, in order for each, and at this node's own subscriptions. Bounded in counts
 * and bytes over all of them.
 */
import type { SendResult } from "./parts.js";

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

export class WaitingSends {
  readonly #room: (peer: string) => Promise<boolean>;
  readonly #most: number;
  readonly #mostBytes: number;
  /** A queue stays while its room is awaited. */
  readonly #queues = new Map<string, Queue>();
  count = 0;
  bytes = 0;
  isClosed = false;

  /** @param room `false`: the peer is gone */
  constructor(most: number, mostBytes: number, room: (peer: string) => Promise<boolean>) {
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
    return new Promise((resolve) => {
      const copy = this.queue(peer, bytes, send, resolve);
      if (timeout >= 0) copy.timer = setTimeout(() => this.#settle(copy, "timeout"), timeout);
    });
  }

  /** As `wait`, without a limit. @param done called once, also when this is closed */
  queue(
    peer: string,
    bytes: number,
    send: () => SendResult,
    done: (result: WaitResult) => void,
  ): WaitingCopy {
    const known = this.#queues.get(peer);
    const queue = known ?? new Queue();
    const copy: WaitingCopy = { queue, bytes, send, done, timer: undefined };
    queue.copies.add(copy);
    queue.bytes += bytes;
    this.count += 1;
    this.bytes += bytes;
    if (known === undefined) {
      this.#queues.set(peer, queue);
      void this.#pump(peer, queue);
    }
    return copy;
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
    while (queue.copies.size > 0 && !this.isClosed) {
      if (!(await this.#room(peer))) {
        if (!this.isClosed) this.#queues.delete(peer);
        this.#giveUp(queue);
        return;
      }
      if (this.#sendAll(queue)) attempts = 0;
      // A copy may be larger than the reported room.
      else if (++attempts > 1) await new Promise((resolve) => setTimeout(resolve, 10));
    }
    if (!this.isClosed) this.#queues.delete(peer);
  }

  #giveUp(queue: Queue): void {
    for (const copy of queue.copies) this.#settle(copy, "unreachable");
  }

  /** @returns whether one was settled */
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
