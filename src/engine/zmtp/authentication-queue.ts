import type { OptionValues } from "../../core/option-table.js";
import type { PeerCredentials } from "../engine.js";
import type { Verdict } from "./mechanism/mechanism.js";

export type Authenticate = (peer: PeerCredentials) => Promise<Verdict>;

interface Question {
  readonly peer: PeerCredentials;
  readonly settle: (answer: Promise<Verdict>) => void;
}

/**
 * Bounds the authentications in progress by `maxPendingHandshakes`. A peer that disconnects keeps its place
 * until the program has answered, or for `handshakeInterval`, so that repeated connects cannot start more.
 */
export class AuthenticationQueue {
  readonly #options: Readonly<Pick<OptionValues, "maxPendingHandshakes" | "handshakeInterval">>;
  readonly #authenticate: Authenticate;
  #asked = 0;
  readonly #waiting = new Map<object, Question>();

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
