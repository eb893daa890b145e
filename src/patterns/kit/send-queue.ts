/**
 * Sends of a DEALER, or of a PUB with `noDrop`: no message is refused or lost while the socket is open.
 *
 *   send --room--> the socket            settled(true)
 *     |  mute                               ^
 *     +--> waits --the socket has room------+
 *            |  the socket is closed
 *            +--> settled(false)
 *
 * The socket has the queue (sockets/outbox.ts). It has no bound here: the caller bounds its messages.
 */
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

const WITHOUT_LIMIT = { timeout: -1 } as const;

export class SendQueue {
  readonly #socket: Dealer | Publisher;
  readonly #onEmpty: (() => void) | undefined;
  #waiting = 0;

  /** @param onEmpty called when no message waits any more, unless the socket is closed */
  constructor(socket: Dealer | Publisher, onEmpty?: () => void) {
    socket.maxPendingSends = 2_147_483_647;
    socket.maxPendingSendBytes = Number.MAX_SAFE_INTEGER;
    this.#socket = socket;
    this.#onEmpty = onEmpty;
  }

  get length(): number {
    return this.#waiting;
  }

  /**
   * @returns `false` if queued
   * @throws InvalidArgumentError `EINVAL` for a message that the socket refuses
   */
  send(message: MessageLike[], ticket?: SendTicket): boolean {
    const socket = this.#socket;
    if (socket.closed) {
      if (ticket !== undefined) queueMicrotask(() => ticket.settled(false));
      return false;
    }
    if (socket.trySend(message)) return true;
    this.#waiting += 1;
    socket.send(message, WITHOUT_LIMIT).then(
      () => this.#left(ticket, true),
      () => this.#left(ticket, false),
    );
    return false;
  }

  /** @throws InvalidArgumentError `EINVAL` for a message that {@link send} would refuse */
  check(message: MessageLike[]): void {
    if (!this.#socket.closed) checkMessage(this.#socket, message);
  }

  #left(ticket: SendTicket | undefined, sent: boolean): void {
    this.#waiting -= 1;
    ticket?.settled(sent);
    if (this.#waiting === 0 && !this.#socket.closed) this.#onEmpty?.();
  }
}
