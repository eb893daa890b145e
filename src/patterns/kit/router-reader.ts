/**
 * Reads a broker's ROUTER: messages as long as they are wanted, and peers that leave.
 *
 * A peer's departure is reported after its last message: the event overtakes what is
 * queued, and a worker that replies and goes must not count as lost with its request.
 * Another peer may send without end meanwhile, so it is not waited for that nothing is
 * queued: a ROUTER takes one message of each peer in turn, and one that has none in a
 * round has sent all that it will. A batch may also be on its way, taken from the socket and not handed over: after long
 * reading its promise settles a turn of the event loop later.
 */
import { keyOf } from "../../core/memory.js";
import { countersOf, engineStats } from "../../sockets/internal.js";
import type { Router } from "../../sockets/request-reply.js";

/** Messages read at once, at most. */
const BATCH = 256;

/** What a reader calls. */
export interface RouterListener {
  /** How many messages it takes now; 0: none until `resume`. */
  room(): number;
  /** The routing id first. */
  message(frames: Buffer[]): void;
  left(routingId: Buffer): void;
  /** A batch has been handed over. */
  afterBatch(): void;
}

/** A peer whose departure is not reported yet. */
interface Departed {
  readonly routingId: Buffer;
  /** The read under way then, which may have taken its messages before the peer's last one came. */
  readonly during: number;
  /** Messages of others that were read since its last one. */
  passed: number;
}

export class RouterReader {
  readonly #socket: Router;
  readonly #listener: RouterListener;
  #departed: Departed[] = [];
  #reads = 0;
  /** Messages that the listener has had, by the count of those that the socket gave out. */
  #handedOver: number;
  #resume: (() => void) | undefined;
  #stopped = false;
  readonly done: Promise<void>;

  constructor(socket: Router, listener: RouterListener) {
    this.#socket = socket;
    this.#listener = listener;
    this.#handedOver = countersOf(socket).received;
    socket.events.on("peer:leave", this.#socketOnPeerLeave);
    this.done = this.#run();
  }

  /** There may be room again. */
  resume(): void {
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  }

  /** Reads nothing more; departures are still reported. */
  stop(): void {
    this.#stopped = true;
    this.resume();
  }

  async #run(): Promise<void> {
    const socket = this.#socket;
    while (!this.#stopped && !socket.closed) {
      const room = Math.min(this.#listener.room(), BATCH);
      if (room <= 0) {
        await new Promise<void>((resolve) => {
          this.#resume = resolve;
        });
        continue;
      }
      this.#reads += 1;
      let messages: Buffer[][];
      try {
        messages = await socket.receiveMany({ max: room, timeout: -1 });
      } catch {
        return; // It closed: nothing else ends a receive without limit.
      }
      if (this.#departed.length > 0) this.#pass(messages);
      for (const frames of messages) this.#listener.message(frames);
      this.#handedOver += messages.length;
      this.#bury();
      this.#listener.afterBatch();
    }
  }

  #socketOnPeerLeave = (event: { readonly routingId?: Buffer }): void => {
    if (event.routingId === undefined) return;
    this.#departed.push({ routingId: event.routingId, during: this.#reads, passed: 0 });
    this.#bury();
  };

  /** Counts for the departed the messages that are handed over now. */
  #pass(messages: readonly Buffer[][]): void {
    const senders = new Set(messages.map(([routingId]) => keyOf(routingId as Buffer)));
    for (const departed of this.#departed) {
      if (senders.has(keyOf(departed.routingId))) departed.passed = 0;
      else if (departed.during < this.#reads) departed.passed += messages.length;
    }
  }

  #bury(): void {
    if (this.#departed.length === 0) return;
    // While nothing is read, what the departed left behind has to wait; its departure has not. A batch on its way is handed over.
    const isComing = countersOf(this.#socket).received > this.#handedOver;
    const isRead = isComing || (this.#socket.readable && !this.#stopped && this.#resume === undefined);
    const round = isRead ? (engineStats(this.#socket).peers ?? 0) + this.#departed.length : 0;
    const gone = this.#departed.filter(({ passed }) => passed >= round);
    if (gone.length === 0) return;
    this.#departed = this.#departed.filter(({ passed }) => passed < round);
    for (const { routingId } of gone) this.#listener.left(routingId);
    this.#listener.afterBatch();
  }
}
