/**
 * Sends of a DEALER, or of a PUB with `noDrop`: no message is refused or lost while the socket is open.
 *
 *   send --room--> the socket            true
 *     |  mute                             ^
 *     +--> waits --the socket has room----+
 *            |  the socket is closed
 *            +--> false
 *
 * The socket has the queue (sockets/outbox.ts). It has no bound here: the caller bounds its messages.
 */
import { checkMessage } from "../sockets/internal.js";
import type { MessageLike } from "../sockets/message.js";
import type { Publisher } from "../sockets/pub-sub.js";
import type { Dealer } from "../sockets/request-reply.js";

/** A promise: the message waits. `false`: the socket closed before there was room. */
export type Sending = true | Promise<boolean>;

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

  /** @throws InvalidArgumentError `EINVAL` for a message that the socket refuses */
  send(message: MessageLike[]): Sending {
    const socket = this.#socket;
    if (socket.closed) return Promise.resolve(false);
    if (socket.trySend(message)) return true;
    this.#waiting += 1;
    return socket.send(message, WITHOUT_LIMIT).then(
      () => this.#left(true),
      () => this.#left(false),
    );
  }

  /** @throws InvalidArgumentError `EINVAL` for a message that {@link send} would refuse */
  check(message: MessageLike[]): void {
    if (!this.#socket.closed) checkMessage(this.#socket, message);
  }

  #left(sent: boolean): boolean {
    this.#waiting -= 1;
    if (this.#waiting === 0 && !this.#socket.closed) this.#onEmpty?.();
    return sent;
  }
}
