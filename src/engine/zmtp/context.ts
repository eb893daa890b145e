/** Contexts of the TypeScript engine. */
import { InvalidArgumentError } from "../../core/errors.js";
import { CONTEXT_OPTIONS } from "../../core/option-table.js";
import { SocketType } from "../../core/socket-type.js";
import type {
  EngineCapabilities,
  EngineContext,
  EngineListener,
  EngineOptions,
  EngineSocket,
} from "../engine.js";
import type { InprocNames } from "./inproc-names.js";
import { UNSUPPORTED_OPTIONS } from "./options.js";
import type { EngineParts } from "./parts.js";
import { type SocketContext, ZmtpSocket } from "./socket.js";
import type { Platform } from "./transport/transports.js";
import type { ZapClient } from "./zap.js";

export const ZMTP_CAPABILITIES: EngineCapabilities = {
  transports: [],
  peerEvents: [],
  peerRoutingIds: true,
  publisherDrops: true,
  conflatedSubscriptions: true,
  queueDepth: true,
  unsupportedOptions: UNSUPPORTED_OPTIONS,
};

const MAX_SOCKETS_LIMIT = 65_535;

/** Those about native threads have no effect. */
const DEFAULTS: Readonly<Record<string, unknown>> = Object.fromEntries(
  Object.entries(CONTEXT_OPTIONS).map(([name, spec]) => [name, spec.default]),
);

export class ZmtpContext implements EngineContext, SocketContext {
  readonly platform: Platform;
  readonly parts: EngineParts;
  readonly zap: ZapClient | undefined;
  readonly #shared: boolean;
  #names: InprocNames | undefined = undefined;
  readonly #options: Record<string, unknown> = { ...DEFAULTS };

  constructor(options: EngineOptions, shared: boolean, platform: Platform, parts: EngineParts) {
    this.#shared = shared;
    this.platform = platform;
    this.parts = parts;
    this.zap = parts.zap?.((listener) => this.open(SocketType.Dealer, { linger: 0 }, listener));
    for (const [name, value] of Object.entries(options)) this.setOption(name, value);
  }

  /** A page can add inproc later. */
  get names(): InprocNames | undefined {
    this.#names ??= this.parts.inproc?.names(this.#shared);
    return this.#names;
  }

  get blocky(): boolean {
    return this.#options.blocky === true;
  }

  open(type: SocketType, options: EngineOptions, listener: EngineListener): EngineSocket {
    const socket = new ZmtpSocket(this, type, options, listener);
    if (this.#options.lowLatency === true) socket.spin = this.platform.spin?.();
    return socket;
  }

  getOption(name: string): unknown {
    return name === "maxSocketsLimit" ? MAX_SOCKETS_LIMIT : this.#options[name];
  }

  setOption(name: string, value: unknown): void {
    if (name === "maxSockets" && Number(value) > MAX_SOCKETS_LIMIT) {
      throw new InvalidArgumentError(`maxSockets must be at most ${MAX_SOCKETS_LIMIT}; got ${String(value)}`);
    }
    this.#options[name] = value;
  }
}
