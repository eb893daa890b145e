/**
 * Copies of messages that wait for room at a peer (`onFull: "wait"`), in order for each peer: while one waits there, what may be
 * dropped is dropped, and what may not waits behind it. This node's own subscriptions are a peer here, too. Bounded in counts and bytes over
 * all peers.
 */
import { RingBuffer } from "../../core/collections/ring-buffer.js";
import type { SendResult } from "./parts.js";

/** What became of a copy that waited. */
export type WaitResult = "sent" | "unreachable" | "timeout";

/** ms between attempts where there is said to be room, and a copy does not find it. */
const RETRY = 10;

interface WaitingCopy {
  readonly bytes: number;
  send(): SendResult;
  done: ((result: WaitResult) => void) | undefined;
}

export interface WaitingSendsEffects {
  /** Settles when a peer has room; rejects when it is gone. */
  room(peer: string): Promise<void>;
}

export class WaitingSends {
  readonly #effects: WaitingSendsEffects;
  readonly #most: number;
  readonly #mostBytes: number;
  readonly #byPeer = new Map<string, RingBuffer<WaitingCopy>>();
  #count = 0;
  #bytes = 0;
  #closed = false;

  constructor(most: number, mostBytes: number, effects: WaitingSendsEffects) {
    this.#most = most;
    this.#mostBytes = mostBytes;
    this.#effects = effects;
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether no copy waits at all. */
  get isEmpty(): boolean {
    return this.#byPeer.size === 0;
  }

  /** Whether copies wait for a peer. */
  has(peer: string): boolean {
    return this.#byPeer.has(peer);
  }

  /** Whether one more of so many bytes is too much. */
  isFull(copies: number, bytes: number): boolean {
    return this.#count + copies > this.#most || this.#bytes + copies * bytes > this.#mostBytes;
  }

  /** @param timeout ms; -1: no limit @param send attempts it; it answers `full` where there is still no room */
  wait(peer: string, bytes: number, timeout: number, send: () => SendResult): Promise<WaitResult> {
    return new Promise((resolve) => {
      this.#count += 1;
      this.#bytes += bytes;
      let timer: NodeJS.Timeout | undefined;
      const copy: WaitingCopy = {
        bytes,
        send,
        done: (result) => {
          copy.done = undefined;
          clearTimeout(timer);
          this.#count -= 1;
          this.#bytes -= bytes;
          resolve(result);
        },
      };
      if (timeout >= 0) timer = setTimeout(() => copy.done?.("timeout"), timeout);
      let copies = this.#byPeer.get(peer);
      if (copies === undefined) {
        copies = new RingBuffer(2);
        this.#byPeer.set(peer, copies);
        copies.push(copy);
        void this.#pump(peer, copies);
      } else copies.push(copy);
    });
  }

  /** What waits was not sent. */
  close(): void {
    this.#closed = true;
    for (const copies of this.#byPeer.values())
      for (let copy = copies.shift(); copy !== undefined; copy = copies.shift()) copy.done?.("unreachable");
    this.#byPeer.clear();
  }

  async #pump(peer: string, copies: RingBuffer<WaitingCopy>): Promise<void> {
    let attempts = 0;
    while (copies.length > 0 && !this.#closed) {
      try {
        await this.#effects.room(peer);
      } catch {
        for (let copy = copies.shift(); copy !== undefined; copy = copies.shift()) copy.done?.("unreachable");
        break;
      }
      if (this.#sendAll(copies)) attempts = 0;
      else if (++attempts > 1) await new Promise((resolve) => setTimeout(resolve, RETRY));
    }
    if (!this.#closed) this.#byPeer.delete(peer);
  }

  /** @returns whether one was settled */
  #sendAll(copies: RingBuffer<WaitingCopy>): boolean {
    let progress = false;
    for (let copy = copies.peek(); copy !== undefined; copy = copies.peek()) {
      if (copy.done !== undefined) {
        const result = copy.send();
        if (result === "full") return progress;
        copy.done(result);
      }
      copies.shift();
      progress = true;
    }
    return progress;
  }
}
