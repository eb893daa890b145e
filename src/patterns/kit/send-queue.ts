/**
 * Overflow queue of a DEALER, or of a PUB with `noDrop`: no message is refused or lost while the socket is open.
 *
 *   send --room--> the socket            settled(true)
 *     |  mute                               ^
 *     +--> waits --the socket has room------+
 *            |  the socket is closed
 *            +--> settled(false)
 *
 * One send of the socket is pending at a time, so `maxPendingSends` is never reached. The caller bounds the queue.
 */
import { RingBuffer } from "../../core/collections/ring-buffer.js";
import { checkMessage } from "../../sockets/internal.js";
import type { MessageLike } from "../../sockets/message.js";
import type { Publisher } from "../../sockets/pub-sub.js";
import type { Dealer } from "../../sockets/request-reply.js";

export interface SendTicket {
  /**
   * Never called within its `send`.
   * @param sent `false`: the socket closed before there was room
   */
  settled(sent: boolean): void;
}

interface Waiting {
  readonly message: MessageLike[];
  readonly ticket: SendTicket | undefined;
}

const WITHOUT_LIMIT = { timeout: -1 } as const;

export class SendQueue {
  readonly #socket: Dealer | Publisher;
  readonly #onEmpty: (() => void) | undefined;
  readonly #waiting = new RingBuffer<Waiting>();
  /** The loop also sends messages added by a ticket's callback. */
  #pumping = false;
  #closed = false;
  #whenEmpty: (() => void) | undefined;

  constructor(socket: Dealer | Publisher, onEmpty?: () => void) {
    this.#socket = socket;
    this.#onEmpty = onEmpty;
  }

  get length(): number {
    return this.#waiting.length;
  }

  /**
   * @returns `false` if queued
   * @throws InvalidArgumentError `EINVAL` for a message that the socket refuses
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

  /** @throws InvalidArgumentError `EINVAL` for a message that {@link send} would refuse */
  check(message: MessageLike[]): void {
    if (!this.#closed) checkMessage(this.#socket, message);
  }

  /** -1: no limit. */
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

  /** Drops the queue; the owner closes the socket. */
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
    // The ticket must not hear of the send before `send` returned `false`.
    await Promise.resolve();
    for (let head = this.#waiting.peek(); head !== undefined; head = this.#waiting.peek()) {
      try {
        if (!socket.trySend(head.message)) await socket.send(head.message, WITHOUT_LIMIT);
      } catch {
        // It fails only when the socket closes.
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
