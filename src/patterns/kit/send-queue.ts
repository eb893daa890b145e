/**
 * What a DEALER has no room for, in order: nothing that was handed in is refused, or lost while its socket is open.
 *
 *   send --room--> the socket            settled(true)
 *     |  mute                               ^
 *     +--> waits --the socket has room------+
 *            |  the socket is closed
 *            +--> settled(false)
 *
 * One send of the socket waits at a time, so that its own bound (`maxPendingSends`, ERR_TOO_MANY_PENDING) is never met.
 * How much waits is the caller's to bound: it hears of each message when it has left.
 */
import { RingBuffer } from "../../core/collections/ring-buffer.js";
import { checkMessage } from "../../sockets/internal.js";
import type { MessageLike } from "../../sockets/message.js";
import type { Dealer } from "../../sockets/request-reply.js";

/** Who handed in a message that had to wait. */
export interface SendTicket {
  /** Never called within the `send` that it was given to. @param sent `false`: the socket closed before there was room */
  settled(sent: boolean): void;
}

interface Waiting {
  readonly message: MessageLike[];
  readonly ticket: SendTicket | undefined;
}

const WITHOUT_LIMIT = { timeout: -1 } as const;

export class SendQueue {
  readonly #socket: Dealer;
  readonly #onEmpty: (() => void) | undefined;
  readonly #waiting = new RingBuffer<Waiting>();
  /** What waits is being sent. A message that a ticket hands in as it settles is sent by the same loop. */
  #pumping = false;
  #closed = false;
  #whenEmpty: (() => void) | undefined;

  /** @param onEmpty all that waited has left */
  constructor(socket: Dealer, onEmpty?: () => void) {
    this.#socket = socket;
    this.#onEmpty = onEmpty;
  }

  /** Messages that wait for room. */
  get length(): number {
    return this.#waiting.length;
  }

  /**
   * @returns `false`: it waits, and its ticket hears what becomes of it
   * @throws InvalidArgumentError `EINVAL` for a message that the socket does not take at all
   */
  send(message: MessageLike[], ticket?: SendTicket): boolean {
    if (this.#closed) {
      if (ticket !== undefined) queueMicrotask(() => ticket.settled(false));
      return false;
    }
    if (this.#waiting.length === 0) {
      if (this.#socket.trySend(message)) return true;
    } else this.check(message);
    this.#waiting.push({ message, ticket });
    if (!this.#pumping) void this.#pump();
    return false;
  }

  /** @throws InvalidArgumentError `EINVAL` for a message that {@link send} would not take */
  check(message: MessageLike[]): void {
    if (!this.#closed) checkMessage(this.#socket, message);
  }

  /** Settles when nothing waits any more, or after `limit` ms; -1: no limit. */
  drained(limit: number): Promise<void> {
    if (this.#waiting.length === 0 || this.#closed || limit === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = limit < 0 ? undefined : setTimeout(resolve, limit);
      this.#whenEmpty = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** What still waits is given up. The socket is its owner's to close. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (let each = this.#waiting.shift(); each !== undefined; each = this.#waiting.shift()) {
      each.ticket?.settled(false);
    }
    this.#whenEmpty?.();
  }

  async #pump(): Promise<void> {
    const socket = this.#socket;
    this.#pumping = true;
    // An engine with threads of its own may have room by now. That a message has left is not to be heard before that it waits.
    await Promise.resolve();
    for (let head = this.#waiting.peek(); head !== undefined; head = this.#waiting.peek()) {
      try {
        if (!socket.trySend(head.message)) await socket.send(head.message, WITHOUT_LIMIT);
      } catch {
        // It closed: nothing else ends a send without limit.
        this.close();
      }
      if (this.#closed) return;
      this.#waiting.shift();
      head.ticket?.settled(true);
    }
    if (this.#closed) return;
    this.#pumping = false;
    this.#whenEmpty?.();
    this.#whenEmpty = undefined;
    this.#onEmpty?.();
  }
}
