/** A page makes few connections: nothing is kept between them; stands in for engine/zmtp/handshake-properties.ts. */
import { propertiesOf } from "../../engine/zmtp/options.js";
import { wireNameOf } from "../../engine/zmtp/routing/routing.js";
import type { SocketState } from "../../engine/zmtp/socket-state.js";

export class HandshakeProperties {
  readonly #state: SocketState;

  constructor(state: SocketState) {
    this.#state = state;
  }

  get bytes(): Uint8Array {
    const { options, type } = this.#state;
    return propertiesOf(options, wireNameOf(type));
  }
}
