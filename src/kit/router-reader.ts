/**
 * Reads a broker's ROUTER on demand and reports disconnected peers.
 *
 * A disconnect is reported after the peer's last message, or when the peer is back: the event overtakes queued
 * messages, and a worker that replies and leaves must not count as lost with its request. The ROUTER's fair queueing
 * bounds the wait: a peer without a message in a full round has none left. A batch may also be in flight, not yet
 * handed over.
 */

import { keyOf } from "../core/memory.js";
import { IdleWaits } from "../core/waiter.js";
import type { Router } from "../sockets/request-reply.js";
import { CORE } from "../sockets/socket.js";

const BATCH = 256;

export interface RouterListener {
  /** 0: none until `resume`. */
  room(): number;
  /** Routing id first. */
  message(frames: Buffer[]): void;
  left(routingId: Buffer): void;
  /** A batch was handed over. */
  afterBatch(): void;
}

interface Disconnected {
  readonly routingId: Buffer;
  /** The read in flight at the disconnect, which may hold its messages. */
  readonly during: number;
  /** Messages of others read since its last one. */
  passed: number;
}

export class RouterReader {
  readonly #socket: Router;
  readonly #listener: RouterListener;
  /** By routing id. */
  readonly #disconnected = new Map<string, Disconnected>();
  #reads = 0;
  /** By the socket's counter. */
  #handedOver: number;
  readonly #room = new IdleWaits();
  #stopped = false;

  constructor(socket: Router, listener: RouterListener) {
    this.#socket = socket;
    this.#listener = listener;
    this.#handedOver = socket[CORE].counters.received;
    socket.events.on("peer:leave", this.#socketOnPeerLeave).on("peer:join", this.#socketOnPeerJoin);
    void this.#run();
  }

  /** There may be room. */
  resume(): void {
    this.#room.end();
  }

  stop(): void {
    this.#stopped = true;
    this.resume();
  }

  async #run(): Promise<void> {
    const socket = this.#socket;
    while (!this.#stopped && !socket.closed) {
      const room = Math.min(this.#listener.room(), BATCH);
      if (room <= 0) {
        await this.#room.wait(false);
        continue;
      }
      this.#reads += 1;
      let messages: Buffer[][];
      try {
        messages = await socket.receiveMany({ max: room, timeout: -1 });
      } catch {
        return; // It closed.
      }
      if (this.#disconnected.size > 0) this.#pass(messages);
      for (const frames of messages) this.#listener.message(frames);
      this.#handedOver += messages.length;
      if (this.#disconnected.size > 0) this.#report();
      this.#listener.afterBatch();
    }
  }

  #socketOnPeerLeave = ({ routingId }: { readonly routingId?: Buffer }): void => {
    if (routingId === undefined) return;
    this.#disconnected.set(keyOf(routingId), { routingId, during: this.#reads, passed: 0 });
    // Counting the peers at each of thousands of disconnects would take their square.
    if (!this.#hasMore) this.#report();
  };

  /** A peer's messages on its next connection come after it has left. */
  #socketOnPeerJoin = ({ routingId }: { readonly routingId?: Buffer }): void => {
    const key = routingId === undefined ? "" : keyOf(routingId);
    const peer = this.#disconnected.get(key);
    if (peer === undefined) return;
    this.#disconnected.delete(key);
    // The object that its messages had, by which a broker may know it.
    this.#listener.left(peer.routingId);
    this.#listener.afterBatch();
  };

  #pass(messages: readonly Buffer[][]): void {
    const senders = new Set(messages.map(([routingId]) => keyOf(routingId as Buffer)));
    for (const [key, peer] of this.#disconnected) {
      if (senders.has(key)) peer.passed = 0;
      else if (peer.during < this.#reads) peer.passed += messages.length;
    }
  }

  get #hasMore(): boolean {
    // Without reads queued messages wait, but the disconnect is reported. A batch in flight is still handed over.
    const isComing = this.#socket[CORE].counters.received > this.#handedOver;
    return isComing || (this.#socket.readable && !this.#stopped && !this.#room.isAwaited);
  }

  #report(): void {
    const round = this.#hasMore
      ? (this.#socket[CORE].engine.stats().peers ?? 0) + this.#disconnected.size
      : 0;
    const gone = [...this.#disconnected.values()].filter(({ passed }) => passed >= round);
    if (gone.length === 0) return;
    for (const { routingId } of gone) this.#disconnected.delete(keyOf(routingId));
    for (const { routingId } of gone) this.#listener.left(routingId);
    this.#listener.afterBatch();
  }
}
