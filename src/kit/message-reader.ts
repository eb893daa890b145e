/** Loops that read a socket until it closes. */

import { ClosedError } from "../core/errors.js";
import type { Dealer } from "../sockets/request-reply.js";

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
