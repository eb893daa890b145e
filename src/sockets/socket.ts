/** The base of the socket classes: endpoints, options, events, statistics, closing. */

import { InvalidArgumentError, NotSupportedError } from "../core/errors.js";
import { SocketType, type SocketTypeName } from "../core/socket-type.js";
import { encodeZ85 } from "../core/z85.js";
import type { PeerCredentials } from "../engine/engine.js";
import { Context, context as globalContext } from "./context.js";
import { OBSERVE, type Observation, type Observer } from "./observer.js";
import { hasOption, OPTIONS, type OptionName } from "./option-table.js";
import { FRAMES, type MessageShape, STREAM_FRAMES } from "./shape.js";
import { type Authenticate, type CloseResult, SocketCore } from "./socket-core.js";
import type { CommonOptions, KeyProperties, Properties } from "./socket-options.js";
import type { SocketStats } from "./stats.js";
import type { WaitOptions } from "./waiter.js";

/** @internal The way to a socket's inner works for its own methods. */
export const CORE: unique symbol = Symbol("shoal.core");

/** What `close` takes. */
export interface CloseOptions {
  /**
   * ms to wait for messages to leave; 0 throws them away, -1 waits without limit.
   * Given here it covers the sends that still wait for room, too. Default: the
   * socket's option `linger`, for accepted messages only; waiting sends are then
   * refused with `EAGAIN`, as the package `zeromq` does.
   */
  readonly linger?: number;
}

/** What `ready` takes. */
export interface ReadyOptions extends WaitOptions {
  /** Peers to wait for. Default: one for each endpoint connected to, at least 1. */
  readonly peers?: number;
}

const MAX_LINGER = OPTIONS.linger.max as number;

type Given = Readonly<Record<string, unknown>> & {
  readonly context?: Context;
  readonly authenticate?: Authenticate;
};

/** Every socket is one of these; use the class of the type you want. */
export interface Socket extends Properties<CommonOptions>, KeyProperties {}
export abstract class Socket {
  /** @internal */
  readonly [CORE]: SocketCore;

  /** @internal */
  protected constructor(type: SocketTypeName, options: object | undefined, shape: MessageShape) {
    const {
      context = globalContext,
      authenticate,
      codec,
      ...given
    } = { ...(options as Given & { codec?: unknown }) };
    if (!(context instanceof Context)) {
      throw new InvalidArgumentError(`Option context of ${type} must be a Context; got ${typeof context}`);
    }
    if (codec !== undefined && (shape === FRAMES || shape === STREAM_FRAMES)) {
      throw new InvalidArgumentError(`${type} has no option codec: its messages are frames as they are`);
    }
    this[CORE] = new SocketCore(type, context, given, shape, authenticate);
    // A misspelt option would otherwise be set without a word. Classes of the program may add fields of their own.
    if (Object.getPrototypeOf(Object.getPrototypeOf(this)) === Socket.prototype)
      Object.preventExtensions(this);
  }

  /**
   * Listens at an endpoint.
   *
   * @param endpoint `tcp://HOST:PORT` (`*` for every address or any free port), `ipc://PATH`, `inproc://NAME`;
   *   `lastEndpoint` tells what became of wildcards
   * @throws InvalidArgumentError `EINVAL` for a bad endpoint
   * @throws TransportError `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, `ENODEV`, `EPROTONOSUPPORT`
   */
  async bind(endpoint: string): Promise<void> {
    await this[CORE].endpoints.bind(endpoint);
  }

  /** The same as {@link bind}, done when it returns. Engines without it throw `NOT_SUPPORTED`. */
  bindSync(endpoint: string): void {
    this[CORE].endpoints.bindSync(endpoint);
  }

  /**
   * Stops listening at an endpoint. Settles when it can be bound again. Over tcp and ipc the connections
   * accepted there may end with it (libzmq ends them); their peers connect again to whoever binds next.
   *
   * @param endpoint as it was given to `bind`, or as `lastEndpoint` told it
   * @throws InvalidArgumentError `EINVAL` for a bad endpoint
   * @throws TransportError `ENOENT` when the socket is not bound to it
   */
  async unbind(endpoint: string): Promise<void> {
    await this[CORE].endpoints.unbind(endpoint);
  }

  /** The same without waiting until the endpoint is free. */
  unbindSync(endpoint: string): void {
    this[CORE].endpoints.unbind(endpoint).catch(() => undefined);
  }

  /**
   * Connects to an endpoint, now or whenever its peer is there; a lost
   * connection is made again. Returns at once.
   *
   * @throws InvalidArgumentError `EINVAL` for a bad endpoint
   */
  connect(endpoint: string): void {
    this[CORE].endpoints.connect(endpoint, undefined);
  }

  /**
   * Ends the connection to an endpoint given to `connect`, and its reconnecting.
   *
   * @throws TransportError `ENOENT` when the socket is not connected to it
   */
  disconnect(endpoint: string): void {
    this[CORE].endpoints.disconnect(endpoint);
  }

  /**
   * Waits until connections stand: handshakes done, subscriptions on their way.
   * Counts transports whose connections the engine reports (docs/engines.md).
   *
   * @throws TimeoutError `ETIMEDOUT`; HandshakeError or ProtocolError when a peer refuses for good
   */
  async ready(options: ReadyOptions = {}): Promise<void> {
    const core = this[CORE];
    if (options.peers !== undefined && (!Number.isSafeInteger(options.peers) || options.peers < 1))
      throw new InvalidArgumentError(
        `peers is a whole number of peers, at least 1; got ${String(options.peers)}`,
      );
    const wanted = options.peers ?? core.endpoints.expectedPeers();
    if (options.peers === undefined && wanted === 0 && this.lastEndpoint !== null) return;
    const enough = Math.max(1, wanted);
    core.assertOpen();
    await core.events.waitFor(
      (event) => {
        if (event?.type === "handshake:error:auth" || event?.type === "handshake:error:protocol")
          throw event.error;
        return (core.engine.stats().peers ?? 0) >= enough;
      },
      `${enough} ready ${enough === 1 ? "peer" : "peers"}`,
      options,
    );
  }

  /**
   * Disconnects every peer that `match` picks by its credentials, for instance
   * after its key was revoked; `authenticate` decides when it comes back.
   *
   * @returns how many were disconnected
   * @throws NotSupportedError `NOT_SUPPORTED` where the engine cannot (capability `disconnectPeer`)
   */
  revoke(match: (peer: PeerCredentials) => boolean): number {
    this[CORE].assertOpen();
    const engine = this[CORE].context.load();
    const disconnect = this[CORE].engine.disconnectPeers;
    if (!engine.capabilities.disconnectPeer || disconnect === undefined) {
      throw new NotSupportedError(
        `The ${engine.name} engine cannot disconnect a single peer; a refused peer stays out at its next handshake`,
      );
    }
    return disconnect.call(this[CORE].engine, match);
  }

  /**
   * Closes the socket: it takes no more calls, waiting receives end with
   * `EAGAIN`, loops over it end. Closing twice is closing once.
   *
   * @returns what left and what was thrown away; never rejects
   * @throws InvalidArgumentError `EINVAL` for a linger that is none; nothing has changed then
   */
  close(options?: CloseOptions): Promise<CloseResult> {
    const linger = options?.linger;
    if (linger !== undefined && (!Number.isInteger(linger) || linger < -1 || linger > MAX_LINGER)) {
      throw new InvalidArgumentError(
        `linger is a whole number of ms up to ${MAX_LINGER}, or -1; got ${String(linger)}`,
      );
    }
    return this[CORE].close(linger);
  }

  /** Closes with the socket's own linger; for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The socket's accounts at this moment. */
  stats(): SocketStats {
    return this[CORE].stats();
  }

  /** @internal */
  [OBSERVE](observer: Observer): Observation {
    return this[CORE].events[OBSERVE](observer);
  }

  /** What happens to the socket and its peers. */
  get events(): Observer {
    return this[CORE].events.observer;
  }

  /** The context the socket belongs to. */
  get context(): Context {
    return this[CORE].context;
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this[CORE].closed;
  }

  /** Whether a message can be received at once. */
  get readable(): boolean {
    return !this.closed && this[CORE].engine.readable;
  }

  /** Whether a message can be sent at once. */
  get writable(): boolean {
    return !this.closed && this[CORE].outbox.waiting === 0 && this[CORE].engine.writable;
  }

  /** The socket type's number, as libzmq has it. */
  get type(): SocketType {
    return SocketType[this[CORE].typeName];
  }

  /** The endpoint of the last `bind` (wildcards filled in) or `connect`. */
  get lastEndpoint(): string | null {
    return this[CORE].endpoints.last;
  }

  /** The mechanism that the security options choose. */
  get securityMechanism(): null | "plain" | "curve" | "gssapi" {
    if (this.curveServer || this.curveServerKey !== null) return "curve";
    if (this.plainServer || this.plainUsername !== null) return "plain";
    if (this.gssapiServer || this.gssapiPrincipal !== null) return "gssapi";
    return null;
  }

  /** Always false: a socket belongs to the thread that made it. */
  get threadSafe(): boolean {
    return false;
  }
}

/** Gives a socket class a property for each of its options. @internal */
export function defineOptions(socketClass: { readonly prototype: Socket }, type: SocketTypeName): void {
  for (const name of Object.keys(OPTIONS)) {
    if (!hasOption(type, name)) continue;
    Object.defineProperty(socketClass.prototype, name, {
      configurable: true,
      get(this: Socket) {
        return asText(name, this[CORE].getOption(name));
      },
      set(this: Socket, value: unknown) {
        this[CORE].setOption(name, value);
      },
    });
  }
}

/** Keys and ids that were given as bytes are read back as text, as in the package `zeromq`. */
function asText(name: string, value: unknown): unknown {
  if (!(value instanceof Uint8Array)) return value;
  return OPTIONS[name as OptionName].kind === "key" ? encodeZ85(value) : Buffer.from(value).toString();
}
