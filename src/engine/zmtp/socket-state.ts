/** Types only, to avoid import cycles. */
import type { OptionValues } from "../../core/option-table.js";
import type { SocketTypeName } from "../../core/socket-type.js";
import type { EngineListener } from "../engine.js";
import type { SocketEvent } from "../events.js";
import type { PipeEffects } from "./pipe.js";
import type { Routing } from "./routing/routing.js";
import type { Platform } from "./transport/transports.js";
import type { ZapClient } from "./zap.js";

export interface SocketEffects extends PipeEffects {
  event(event: SocketEvent): void;
  changed(): void;
}

export interface SocketState {
  readonly type: SocketTypeName;
  /** Complete (options.ts); read at each bind, connect and handshake. */
  readonly options: Readonly<OptionValues>;
  readonly platform: Platform;
  /** Bound inproc names; `undefined` while the context has no inproc. */
  readonly names: { has(name: string): boolean } | undefined;
  readonly zap: ZapClient | undefined;
  /** Read at each handshake: a policy may replace it. */
  readonly listener: Pick<EngineListener, "engineAuthenticate" | "engineOnOver">;
  readonly routing: Routing;
  readonly effects: SocketEffects;
  /** While closing, pipes with an empty queue do not reconnect. */
  closing: boolean;
  /** Connections restored after a loss. */
  reconnects: number;
}
