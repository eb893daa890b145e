/**
 * Parts that a page adds with separate imports, so that other pages do not load them. The files
 * `x.browser.ts` read this.
 */
import type { SocketTypeName } from "../core/socket-type.js";
import type { InprocPeers } from "../engine/zmtp/inproc.js";
import type { InprocNames } from "../engine/zmtp/inproc-names.js";
import type { Listening, ListeningParts } from "../engine/zmtp/listening.js";
import type { FrameCipher, Mechanism, MechanismOptions } from "../engine/zmtp/mechanism/mechanism.js";
import type { Peers } from "../engine/zmtp/peers.js";
import type { Routing, RoutingEffects } from "../engine/zmtp/routing/routing.js";
import type { Sealer } from "../engine/zmtp/sealer.js";
import type { SocketState } from "../engine/zmtp/socket-state.js";

/** CURVE: both sides of the handshake, and frames through its cipher. */
export interface CurveParts {
  server(options: MechanismOptions): Mechanism;
  client(options: MechanismOptions): Mechanism;
  sealer(cipher: FrameCipher): Sealer;
}

/** Inproc: names of a context, and peers of a socket. */
export interface InprocParts {
  /** @param shared whether the names belong to the process-wide context */
  names(shared: boolean): InprocNames;
  peers(state: SocketState, peers: Peers): InprocPeers;
  /** Binds inproc endpoints. */
  listening(parts: ListeningParts): Listening;
}

export type RoutingOf = (effects: RoutingEffects) => Routing;

interface Additions {
  curve: CurveParts | undefined;
  inproc: InprocParts | undefined;
  /** Set by the definitions of socket classes. */
  readonly routings: Partial<Record<SocketTypeName, RoutingOf | undefined>>;
}

export const ADDITIONS: Additions = { curve: undefined, inproc: undefined, routings: {} };
