/** The sockets of a driver: opened all or none, read until they close, and sent to without losing a message. */
import { ClosedError } from "../core/errors.js";
import type { MessageLike } from "../sockets/message.js";
import type { Publisher } from "../sockets/pub-sub.js";
import type { Dealer } from "../sockets/request-reply.js";
import { CORE } from "../sockets/socket.js";

interface Closable {
  close(options: { readonly linger: number }): Promise<unknown>;
}

interface Connectable extends Closable {
  connect(endpoint: string): void;
}

/** Connects a new socket, and closes it if that throws. */
export function connected<S extends Connectable>(socket: S, endpoint: string): S {
  try {
    socket.connect(endpoint);
    return socket;
  } catch (error) {
    void socket.close({ linger: 0 });
    throw error;
  }
}

/** Sockets of a constructor: when one cannot be opened, those before it are closed. */
export class OpenedSockets {
  readonly #opened: Closable[] = [];

  /** @throws as `make`; everything opened so far is closed then */
  open<T extends Closable>(make: () => T): T {
    try {
      const opened = make();
      this.#opened.push(opened);
      return opened;
    } catch (error) {
      for (const each of this.#opened) void each.close({ linger: 0 });
      throw error;
    }
  }
}

/** Yields messages until the driver is closed. */
export async function* untilClosed<M>(receive: () => Promise<M>): AsyncGenerator<M, undefined> {
  for (;;) {
    try {
      yield await receive();
    } catch (error) {
      if (error instanceof ClosedError) return undefined;
      throw error;
    }
  }
}

/** Passes a socket's messages on in batches until it closes. */
export async function readMessages(
  socket: Pick<Dealer, "closed" | "receiveMany" | "receiveTimeout">,
  take: (messages: Buffer[][]) => void,
): Promise<void> {
  try {
    socket.receiveTimeout = -1;
    for (;;) take(await socket.receiveMany());
  } catch (error) {
    if (!socket.closed && !(error instanceof ClosedError)) throw error;
  }
}

/** A promise: the message waits. `false`: the socket closed before there was room. */
export type Sending = true | Promise<boolean>;

export const WITHOUT_LIMIT = { timeout: -1 } as const;

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
    if (!this.#socket.closed) this.#socket[CORE].encode(message);
  }

  #left(sent: boolean): boolean {
    this.#waiting -= 1;
    if (this.#waiting === 0 && !this.#socket.closed) this.#onEmpty?.();
    return sent;
  }
}
