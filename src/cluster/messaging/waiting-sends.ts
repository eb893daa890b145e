/**
 * Copies of messages that wait for room at a peer (`onFull: "wait"`), in order for each peer: while one waits there, what may be
 * dropped is dropped, and what may not waits behind it. This node's own subscriptions are a peer here, too. Bounded in counts and bytes over
 * all peers.
 */
import type { SendResult } from "./parts.js";

/** What became of a copy that waited. */
export type WaitResult = Exclude<SendResult, "full"> | "timeout";

/** ms between attempts where there is said to be room, and a copy does not find it. */
const RETRY = 10;

interface WaitingCopy {
  send(): SendResult;
  /** It waits no longer. */
  settle(result: WaitResult): void;
  fail(error: unknown): void;
}

export interface WaitingSendsEffects {
  /** Settles when a peer has room; rejects when it is gone. */
  room(peer: string): Promise<void>;
}

export class WaitingSends {
  readonly #effects: WaitingSendsEffects;
  readonly #most: number;
  readonly #mostBytes: number;
  /** Of each peer, the oldest first; as long as its room is waited for, also where all of them have timed out. */
  readonly #byPeer = new Map<string, Set<WaitingCopy>>();
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
    return this.#count === 0;
  }

  /** Whether copies wait for a peer. */
  has(peer: string): boolean {
    const copies = this.#byPeer.get(peer);
    return copies !== undefined && copies.size > 0;
  }

  /** Whether one more of so many bytes is too much. */
  isFull(copies: number, bytes: number): boolean {
    return this.#count + copies > this.#most || this.#bytes + copies * bytes > this.#mostBytes;
  }

  /**
   * @param timeout ms; -1: no limit
   * @param send attempts it; it answers `full` where there is still no room. What it throws, the promise rejects with
   */
  wait(peer: string, bytes: number, timeout: number, send: () => SendResult): Promise<WaitResult> {
    return new Promise((resolve, reject) => {
      let copies = this.#byPeer.get(peer);
      const isFirst = copies === undefined;
      copies ??= new Set();
      const waiting = copies;
      let timer: NodeJS.Timeout | undefined;
      const over = (): void => {
        clearTimeout(timer);
        // Nothing stays of it, its data least of all: a peer may have no room for as long as it likes.
        waiting.delete(copy);
        this.#count -= 1;
        this.#bytes -= bytes;
      };
      const copy: WaitingCopy = {
        send,
        settle: (result) => {
          over();
          resolve(result);
        },
        fail: (error) => {
          over();
          reject(error);
        },
      };
      if (timeout >= 0) timer = setTimeout(() => copy.settle("timeout"), timeout);
      waiting.add(copy);
      this.#count += 1;
      this.#bytes += bytes;
      if (!isFirst) return;
      this.#byPeer.set(peer, waiting);
      void this.#pump(peer, waiting);
    });
  }

  /** What waits was not sent. */
  close(): void {
    this.#closed = true;
    for (const copies of this.#byPeer.values()) giveUp(copies);
    this.#byPeer.clear();
  }

  async #pump(peer: string, copies: Set<WaitingCopy>): Promise<void> {
    let attempts = 0;
    while (copies.size > 0 && !this.#closed) {
      try {
        await this.#effects.room(peer);
      } catch {
        // The peer is gone: the callers get that as a result.
        giveUp(copies);
        break;
      }
      if (sendAll(copies)) attempts = 0;
      else if (++attempts > 1) await new Promise((resolve) => setTimeout(resolve, RETRY));
    }
    if (!this.#closed) this.#byPeer.delete(peer);
  }
}

function giveUp(copies: Set<WaitingCopy>): void {
  for (const copy of copies) copy.settle("unreachable");
}

/** @returns whether one was settled */
function sendAll(copies: Set<WaitingCopy>): boolean {
  let progress = false;
  for (const copy of copies) {
    try {
      const result = copy.send();
      if (result === "full") return progress;
      copy.settle(result);
    } catch (error) {
      copy.fail(error);
    }
    progress = true;
  }
  return progress;
}
