/** Questions to the program about peers, so many at once as handshakes may be under way. */
import type { OptionValues } from "../../core/option-table.js";
import type { PeerCredentials } from "../engine.js";
import type { Verdict } from "./mechanism/mechanism.js";

export type Authenticate = (peer: PeerCredentials) => Promise<Verdict>;

interface Question {
  readonly peer: PeerCredentials;
  readonly settle: (answer: Promise<Verdict>) => void;
}

/**
 * Asks the program about peers, about no more of them at once than handshakes may be under way. A peer that leaves
 * meanwhile does not take its question back: it runs on, and keeps its place until the program has answered. So a client
 * that connects and leaves, again and again, makes the program do no more than that at once.
 *
 * A question keeps its place for as long as a handshake may take, and no longer: its peer is gone by then, and questions
 * that are never answered would keep everybody out for good.
 */
export class AuthenticationQueue {
  readonly #options: Readonly<Pick<OptionValues, "maxPendingHandshakes" | "handshakeInterval">>;
  readonly #authenticate: Authenticate;
  #asked = 0;
  /** Peers that wait for a place, by their connections; the first came first. */
  readonly #waiting = new Map<object, Question>();

  /** @param options as they are now */
  constructor(
    options: Readonly<Pick<OptionValues, "maxPendingHandshakes" | "handshakeInterval">>,
    authenticate: Authenticate,
  ) {
    this.#options = options;
    this.#authenticate = authenticate;
  }

  ask(connection: object, peer: PeerCredentials): Promise<Verdict> {
    if (this.#asked < this.#options.maxPendingHandshakes) return this.#ask(peer);
    return new Promise((settle) => {
      this.#waiting.set(connection, { peer, settle });
    });
  }

  /** The peer is gone: its question, if it still waits, is not asked. */
  forget(connection: object): void {
    this.#waiting.delete(connection);
  }

  async #ask(peer: PeerCredentials): Promise<Verdict> {
    this.#asked += 1;
    let hasPlace = true;
    const leavePlace = (): void => {
      if (!hasPlace) return;
      hasPlace = false;
      this.#asked -= 1;
      this.#next();
    };
    const { handshakeInterval } = this.#options;
    const timer = handshakeInterval > 0 ? setTimeout(leavePlace, handshakeInterval).unref() : undefined;
    try {
      return await this.#authenticate(peer);
    } finally {
      clearTimeout(timer);
      leavePlace();
    }
  }

  #next(): void {
    for (const [connection, { peer, settle }] of this.#waiting) {
      if (this.#asked >= this.#options.maxPendingHandshakes) return;
      this.#waiting.delete(connection);
      settle(this.#ask(peer));
    }
  }
}
