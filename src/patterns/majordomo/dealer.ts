/** A DEALER at one broker, of a client or a worker. */

import type { ShoalError } from "../../core/errors.js";
import { connected, readMessages, type Sending, SendQueue } from "../../kit/sockets.js";
import { listen } from "../../sockets/internal.js";
import { Dealer, type DealerOptions } from "../../sockets/request-reply.js";
import { ANSWERS, Batcher, type Layout, messagesAt, REQUESTS, takingBatches } from "./batch.js";
import {
  type Answer,
  encode,
  type FromClient,
  type FromWorker,
  type Received,
  type Request,
  type Role,
} from "./protocol.js";

export interface DealerEvents<R extends Role> {
  /** `read` calls `take` with each message, valid during the call, even if one of them closes the connection. */
  arrived(read: (take: (message: Received[R]) => void) => void): void;
  /** The connection ended. The socket reconnects. */
  ended(): void;
  refused?(error: ShoalError | undefined): void;
  /** No message waits for room any more. */
  writable?(): void;
}

/** Sends messages in order: small ones of a turn in batches, and those without room later. */
export class BatchingDealer<R extends Role> {
  readonly #role: R;
  readonly #events: DealerEvents<R>;
  readonly #dealer: Dealer;
  readonly #queue: SendQueue;
  readonly #batches: Batcher<undefined, Request | Answer>;
  /** The connection ended; messages may be unread. */
  #hasEnded = false;

  /** @throws InvalidArgumentError `EINVAL`, and as a Dealer and its `connect` */
  constructor(role: R, endpoint: string, options: DealerOptions | undefined, events: DealerEvents<R>) {
    const dealer = takingBatches(new Dealer(options));
    this.#role = role;
    this.#events = events;
    this.#dealer = dealer;
    this.#queue = new SendQueue(dealer, () => events.writable?.());
    const layout = (role === "client" ? REQUESTS : ANSWERS) as Layout<Request | Answer>;
    this.#batches = new Batcher(role, layout, (_, message) => void this.#queue.send(message));
    // The event overtakes messages read in this turn or still queued.
    dealer.events.on("disconnect", () =>
      setImmediate(() => {
        this.#hasEnded = true;
        this.#reportEnd();
      }),
    );
    // Not `events.on`: the socket still warns of an unreachable endpoint.
    listen(dealer, (event) => {
      if (event.type === "connect:retry" && !dealer.closed) events.refused?.(event.error);
    });
    connected(dealer, endpoint);
    void readMessages(dealer, (messages) => this.#receive(messages));
  }

  /** Messages that wait for room. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** @throws InvalidArgumentError `EINVAL` for a message that the socket refuses */
  send(message: FromClient | FromWorker): Sending {
    const joins = message.kind === "request" || message.kind === "answer";
    if (joins && this.#queue.length === 0 && this.#batches.add(undefined, message)) return true;
    const frames = encode(this.#role, message);
    this.#batches.flush();
    return this.#queue.send(frames);
  }

  /** @param linger ms for queued messages */
  async close(linger: number): Promise<void> {
    await this.#dealer.close({ linger });
  }

  #receive(messages: readonly Buffer[][]): void {
    if (this.#dealer.closed) return;
    this.#events.arrived((take) => {
      for (const frames of messages) messagesAt(this.#role, frames, take);
    });
    if (this.#hasEnded) this.#reportEnd();
  }

  /** A client's answers come before the end. The broker gives a worker's unread requests to others. */
  #reportEnd(): void {
    const { closed, readable } = this.#dealer;
    if (closed || (readable && this.#role === "client")) return;
    this.#hasEnded = false;
    this.#events.ended();
  }
}
