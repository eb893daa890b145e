/**
 * What a page adds to its sockets by imports of their own, so that pages without them do not load them. Stand-ins of
 * src/browser/absent look here.
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

/** CURVE: both sides of its handshake, and frames through its cipher. */
export interface CurveParts {
  server(options: MechanismOptions): Mechanism;
  client(options: MechanismOptions): Mechanism;
  sealer(cipher: FrameCipher): Sealer;
}

/** Inproc: the names of a context, and the peers of a socket. */
export interface InprocParts {
  /** @param shared they are those of the process-wide context */
  names(shared: boolean): InprocNames;
  peers(state: SocketState, peers: Peers): InprocPeers;
  /** What binds. */
  listening(parts: ListeningParts): Listening;
}

/** The routing of a socket type. */
export type RoutingOf = (effects: RoutingEffects) => Routing;

interface Additions {
  curve: CurveParts | undefined;
  inproc: InprocParts | undefined;
  /** Of each socket type, from the definition of its class on. */
  readonly routings: Partial<Record<SocketTypeName, RoutingOf | undefined>>;
}

export const ADDITIONS: Additions = { curve: undefined, inproc: undefined, routings: {} };
