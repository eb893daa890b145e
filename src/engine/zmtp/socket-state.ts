/** What the parts of one socket share: types only, so that no part has to import another for them. */
import type { ShoalError } from "../../core/errors.js";
import type { OptionValues } from "../../core/option-table.js";
import type { SocketTypeName } from "../../core/socket-type.js";
import type { EngineListener, HandshakeProperty } from "../engine.js";
import type { SocketEvent } from "../events.js";
import type { InprocNames } from "./inproc-names.js";
import type { Link, Pipe, PipeEffects } from "./pipe.js";
import type { Routing } from "./routing/routing.js";
import type { Platform } from "./transport/transports.js";
import type { ZapClient } from "./zap.js";

/** What the parts of a socket report to it. */
export interface SocketEffects extends PipeEffects {
  /** Something happened to the socket or to a peer. */
  event(event: SocketEvent): void;
  /** Accepted messages were lost with a connection or a pipe. */
  dropped(messages: number): void;
  /** What holds the process, or what a close waits for, may have changed. */
  changed(): void;
}

export interface SocketState {
  readonly type: SocketTypeName;
  /** Complete (options.ts); read again at each bind, connect and handshake. */
  readonly options: Readonly<OptionValues>;
  /** What the engine stands on. */
  readonly platform: Platform;
  /** The inproc names of its context. */
  readonly names: InprocNames;
  /** Asks the authentication service of its context. */
  readonly zap: ZapClient;
  /** Has the program's own hook; read again for each handshake, since a policy may set another. */
  readonly listener: Pick<EngineListener, "engineAuthenticate">;
  readonly routing: Routing;
  readonly effects: SocketEffects;
  /** The property that each handshake carries in addition to the socket's type and identity. */
  property: HandshakeProperty | undefined;
  /** The socket closes: a pipe that has sent everything waits for no further link. */
  closing: boolean;
}

/** The connecting side of an endpoint (endpoints.ts), whose streams become connections one after the other. */
export interface Dialling {
  readonly endpoint: string;
  /** The name that a ROUTER gives the peer. */
  readonly routingId: string | undefined;
  /** The one pipe of this endpoint; with `immediate` only while connected. */
  pipe: Pipe | undefined;
  connection: Pick<Link, "close"> | undefined;
  /** The handshake is complete. */
  connected(): void;
  /** The connection is gone, or did not come about. @param error made where another attempt follows: an error has a stack */
  lost(error: () => ShoalError): void;
}
