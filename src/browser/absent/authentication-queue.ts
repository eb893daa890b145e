/** Nobody connects to a page, so no peers wait for each other; stands in for engine/zmtp/authentication-queue.ts. */
import type { PeerCredentials } from "../../engine/engine.js";
import type { Authenticate } from "../../engine/zmtp/authentication-queue.js";
import type { Verdict } from "../../engine/zmtp/mechanism/mechanism.js";

export class AuthenticationQueue {
  readonly #authenticate: Authenticate;

  constructor(_: object, authenticate: Authenticate) {
    this.#authenticate = authenticate;
  }

  ask(_: object, peer: PeerCredentials): Promise<Verdict> {
    return this.#authenticate(peer);
  }

  forget(): void {}
}
