/** A socket's handshake properties (37/ZMTP, Connection Metadata), cached in encoded form. */
import type { OptionValues } from "../../core/option-table.js";
import type { HandshakeProperty } from "../engine.js";
import { propertiesOf } from "./options.js";
import { wireNameOf } from "./routing/routing.js";
import type { SocketState } from "./socket-state.js";

/** Shared by sockets without a routing id and an announced property; one entry per type. */
const usual = new Map<string, Uint8Array>();

function usualProperties(wireName: string, options: Readonly<OptionValues>): Uint8Array {
  const bytes = usual.get(wireName) ?? propertiesOf(options, wireName);
  usual.set(wireName, bytes);
  return bytes;
}

interface Encoded {
  readonly routingId: OptionValues["routingId"];
  readonly property: HandshakeProperty | undefined;
  readonly bytes: Uint8Array;
}

export class HandshakeProperties {
  readonly #state: SocketState;
  #last: Encoded | undefined = undefined;

  constructor(state: SocketState) {
    this.#state = state;
  }

  get bytes(): Uint8Array {
    const { options, type, property } = this.#state;
    const { routingId } = options;
    const last = this.#last;
    if (last?.routingId === routingId && last.property === property) return last.bytes;
    const wireName = wireNameOf(type);
    const isUsual = routingId === null && property === undefined;
    const bytes = isUsual ? usualProperties(wireName, options) : propertiesOf(options, wireName, property);
    this.#last = { routingId, property, bytes };
    return bytes;
  }
}
