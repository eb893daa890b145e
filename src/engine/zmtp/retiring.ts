/** A socket that takes no further peers, and goes on receiving: what patterns ask of it before they end. */
import type { Retirement } from "../engine.js";
import type { SocketParts } from "./closing.js";

/** No further peers, for good, while the socket goes on receiving. */
class Retiring implements Retirement {
  readonly #parts: SocketParts;

  constructor(parts: SocketParts) {
    this.#parts = parts;
  }

  stopAccepting(): void {
    const { state, connections, endpoints } = this.#parts;
    endpoints.stopListening();
    endpoints.stopDialling(false);
    connections.endHandshakes(() => false);
    state.effects.changed();
  }

  halfClose(): void {
    this.stopAccepting();
    this.#parts.peers.halfClose();
    this.#parts.state.effects.changed();
  }
}

/** `undefined`: the platform has no patterns. */
export function retirementOf(parts: SocketParts): Retirement | undefined {
  return new Retiring(parts);
}
