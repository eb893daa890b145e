/** Questions to the program about peers, so many at once as handshakes may be under way. */
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
 */
export class AuthenticationQueue {
  readonly #limit: () => number;
  readonly #authenticate: Authenticate;
  #asked = 0;
  /** Peers that wait for a place, by their connections; the first came first. */
  readonly #waiting = new Map<object, Question>();

  constructor(limit: () => number, authenticate: Authenticate) {
    this.#limit = limit;
    this.#authenticate = authenticate;
  }

  ask(connection: object, peer: PeerCredentials): Promise<Verdict> {
    if (this.#asked < this.#limit()) return this.#ask(peer);
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
    try {
      return await this.#authenticate(peer);
    } finally {
      this.#asked -= 1;
      this.#next();
    }
  }

  #next(): void {
    for (const [connection, { peer, settle }] of this.#waiting) {
      if (this.#asked >= this.#limit()) return;
      this.#waiting.delete(connection);
      settle(this.#ask(peer));
    }
  }
}
