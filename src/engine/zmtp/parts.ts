/**
 * The parts of a context that not every program needs: Node.js has all (engine.ts), a page those it
 * imports (browser/parts.ts).
 */
import type { EngineListener, EngineSocket } from "../engine.js";
import type { Datagrams } from "./datagrams.js";
import type { InprocNames } from "./inproc.js";
import type { CurveParts } from "./mechanism/mechanism.js";
import type { Peers } from "./peers.js";
import type { EventLoopHold, ProcessEnd } from "./process-hold.js";
import type { Relays } from "./routing/relaying.js";
import type { SocketState } from "./socket-state.js";
import type { RawParts } from "./transport/transport.js";
import type { ZapClient } from "./zap.js";

export interface EngineParts {
  /** @throws NotSupportedError if the program has to add it first */
  readonly curve: CurveParts;
  /** @param shared whether the names belong to the process-wide context */
  readonly inproc: ((shared: boolean) => InprocNames) | undefined;
  readonly datagrams?: (state: SocketState, peers: Peers) => Datagrams;
  readonly raw?: RawParts;
  readonly relays?: Relays;
  /** Asks ZAP services (27/ZAP). */
  readonly zap?: (open: (listener: EngineListener) => EngineSocket) => ZapClient;
  eventLoop(reasons: (bound: boolean) => boolean): EventLoopHold;
  /** Without it, accepted messages are dropped. */
  readonly processEnd?: ((...of: ConstructorParameters<typeof ProcessEnd>) => ProcessEnd) | undefined;
}
