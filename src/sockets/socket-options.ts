/** Option types of sockets, from the rows of option-table.ts. */

import type { OptionName, OptionsFor, READABLE, WRITABLE } from "../core/option-table.js";
import type { SocketTypeName } from "../core/socket-type.js";
import type { PeerCredentials } from "../engine/engine.js";
import type { Codec } from "./codec.js";
import type { Context } from "./context.js";

/** Options of every socket, with libzmq's names. */
export interface CommonOptions extends OptionsFor<SocketTypeName> {}

/** Options of sending sockets. */
export interface WritableOptions extends Omit<OptionsFor<(typeof WRITABLE)[number]>, keyof CommonOptions> {}

/** Options of receiving sockets. */
export interface ReadableOptions extends Omit<OptionsFor<(typeof READABLE)[number]>, keyof CommonOptions> {}

/** Authenticates a peer before it may talk; anything but `true` refuses it (27/ZAP). */
export type Authenticate = (peer: PeerCredentials) => boolean | Promise<boolean>;

/** Construction options that are not properties. */
export interface ConstructionOptions {
  /** Default: the process-wide context. */
  context?: Context;
  /** Anything but `true`, and a throw, refuses the peer. `NOT_SUPPORTED` on the engine `libzmq`, which asks a ZAP handler. */
  authenticate?: Authenticate;
}

/** Options of a socket class: `SocketOptions<Dealer>`. */
export type SocketOptions<S> = Partial<Pick<S, keyof S & OptionName>> & ConstructionOptions;

/** Option for typed values. */
export interface CodecOptions<T> {
  /** Encodes and decodes the last frame of each message, and types the socket. Default: plain frames. */
  codec?: Codec<T>;
}

/** Options that accept bytes but are read as text. */
type TextProperty = "curvePublicKey" | "curveSecretKey" | "curveServerKey" | "routingId" | "welcomeMessage";

/** Properties for options that are read as they are set. */
export type Properties<O> = Required<Omit<O, TextProperty>>;

/** CURVE keys as properties: set as Z85 or bytes, read as Z85. */
export interface KeyProperties {
  get curvePublicKey(): string | null;
  set curvePublicKey(value: string | Uint8Array | null);
  get curveSecretKey(): string | null;
  set curveSecretKey(value: string | Uint8Array | null);
  get curveServerKey(): string | null;
  set curveServerKey(value: string | Uint8Array | null);
}

/** Routing id as a property: set as text or bytes, read as UTF-8 text. */
export interface RoutingIdProperty {
  get routingId(): string | null;
  set routingId(value: string | Uint8Array | null);
}
