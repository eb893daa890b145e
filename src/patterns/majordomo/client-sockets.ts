/** A client's connections: a DEALER each, by number. */
import { Dealer, type DealerOptions } from "../../sockets/request-reply.js";
import { SendQueue } from "../kit/send-queue.js";
import type { Frames } from "./messages-broker.js";

/** Messages taken from a socket at once. */
const BATCH = 1_000;

/** Who hears of what happens on the connections. */
export interface ClientSocketsHost {
  /** @param open whether the connection is still wanted */
  received(connection: number, messages: readonly Buffer[][], open: () => boolean): void;
  /** There is room again after `send` said `false`. */
  writable(connection: number): void;
  /** It stood and has ended, and all that came over it was heard. The socket tries to make it again. */
  lost(connection: number): void;
  /** An attempt to make it failed; the socket tries again. */
  refused(connection: number): void;
}

export class ClientSockets {
  readonly #options: DealerOptions | undefined;
  readonly #host: ClientSocketsHost;
  readonly #dealers = new Map<number, Dealer>();
  readonly #queues = new Map<number, SendQueue>();
  /** Those that have ended while messages of theirs were still to be read. */
  readonly #ended = new Set<number>();

  constructor(options: DealerOptions | undefined, host: ClientSocketsHost) {
    this.#options = options;
    this.#host = host;
  }

  open(connection: number, endpoint: string): void {
    const dealer = new Dealer({ ...this.#options });
    this.#dealers.set(connection, dealer);
    this.#queues.set(connection, new SendQueue(dealer, () => this.#host.writable(connection)));
    dealer.events.on("disconnect", () => this.#left(connection, dealer));
    dealer.events.on("connect:retry", () => {
      if (this.#isOpen(connection, dealer)) this.#host.refused(connection);
    });
    dealer.connect(endpoint);
    void this.#receive(connection, dealer);
  }

  shut(connection: number): void {
    const dealer = this.#dealers.get(connection);
    this.#dealers.delete(connection);
    this.#queues.get(connection)?.close();
    this.#queues.delete(connection);
    this.#ended.delete(connection);
    void dealer?.close({ linger: 0 });
  }

  /** Takes the message in any case. @returns `false`: no more until the host hears `writable` */
  send(connection: number, message: Frames): boolean {
    return this.#queues.get(connection)?.send(message) ?? true;
  }

  async close(): Promise<void> {
    const dealers = [...this.#dealers.values()];
    this.#dealers.clear();
    for (const queue of this.#queues.values()) queue.close();
    this.#queues.clear();
    this.#ended.clear();
    await Promise.all(dealers.map((dealer) => dealer.close({ linger: 0 })));
  }

  async #receive(connection: number, dealer: Dealer): Promise<void> {
    const open = (): boolean => this.#isOpen(connection, dealer);
    try {
      for (;;) {
        this.#host.received(connection, await dealer.receiveMany({ max: BATCH, timeout: -1 }), open);
        if (this.#ended.has(connection)) this.#tellLost(connection, dealer);
      }
    } catch (error) {
      if (!dealer.closed) throw error;
    }
  }

  /** The event overtakes what came before it: messages that are read in this turn, or wait to be. */
  #left(connection: number, dealer: Dealer): void {
    setImmediate(() => {
      if (!this.#isOpen(connection, dealer)) return;
      this.#ended.add(connection);
      this.#tellLost(connection, dealer);
    });
  }

  #tellLost(connection: number, dealer: Dealer): void {
    if (dealer.readable) return;
    this.#ended.delete(connection);
    this.#host.lost(connection);
  }

  #isOpen(connection: number, dealer: Dealer): boolean {
    return this.#dealers.get(connection) === dealer;
  }
}
