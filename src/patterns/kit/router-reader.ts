/**
 * Reads a broker's ROUTER: messages as long as they are wanted, and peers that leave.
 *
 * A peer's departure is reported after its last message: the event overtakes what is
 * queued, and a worker that replies and goes must not count as lost with its request.
 */
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

export class RouterReader {
  readonly #socket: Router;
  readonly #listener: RouterListener;
  readonly #departed: Buffer[] = [];
  #resume: (() => void) | undefined;
  #stopped = false;
  readonly done: Promise<void>;

  constructor(socket: Router, listener: RouterListener) {
    this.#socket = socket;
    this.#listener = listener;
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
      let messages: Buffer[][];
      try {
        messages = await socket.receiveMany({ max: room, timeout: -1 });
      } catch {
        return; // It closed: nothing else ends a receive without limit.
      }
      for (const frames of messages) this.#listener.message(frames);
      this.#bury();
      this.#listener.afterBatch();
    }
  }

  #socketOnPeerLeave = (event: { readonly routingId?: Buffer }): void => {
    if (event.routingId === undefined) return;
    this.#departed.push(event.routingId);
    this.#bury();
  };

  #bury(): void {
    if (this.#departed.length === 0) return;
    // While nothing is read, what the departed left behind has to wait; its departure has not.
    if (this.#socket.readable && !this.#stopped && this.#resume === undefined) return;
    for (const routingId of this.#departed.splice(0)) this.#listener.left(routingId);
    this.#listener.afterBatch();
  }
}
