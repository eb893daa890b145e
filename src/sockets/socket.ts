/** The base of the socket classes: endpoints, options, events, statistics, closing. */

import { checkCallOptions, checkInteger, describe, refuseExtra } from "../core/arguments.js";
import { InvalidArgumentError, NotSupportedError } from "../core/errors.js";
import { OPTIONS } from "../core/option-table.js";
import type { HttpServerEndpoint } from "../core/schemes/http-server.js";
import { SocketType, type SocketTypeName, socketTypeName } from "../core/socket-type.js";
import type { WaitOptions } from "../core/waiter.js";
import type { PeerCredentials } from "../engine/engine.js";
import { Context, context as globalContext } from "./context.js";
import { defineGeneric } from "./define.js";
import { singleFrameShape } from "./draft/single-frame.js";
import { type EndpointSource, isEndpointSource } from "./endpoint-source.js";
import { SocketByNumber } from "./numbered-socket.js";
import { OBSERVABLE } from "./observation.js";
import { Observer } from "./observer.js";
import { FRAMES, type MessageShape } from "./shape.js";
import { type CloseResult, CORE, SocketCore } from "./socket-core.js";
import type { Authenticate, CommonOptions, KeyProperties, Properties } from "./socket-options.js";
import type { SocketStats } from "./stats.js";
import { STREAM_FRAMES } from "./stream-shape.js";

/** @internal */
export { CORE } from "./socket-core.js";

/** What `close` takes. */
export interface CloseOptions {
  /**
   * ms to wait for messages to leave, those of sends that still wait for room included; 0 throws them away, -1 waits
   * without limit. Sends that wait when it is over reject with `EAGAIN`. Default: the socket's option `linger`.
   */
  readonly linger?: number;
}

/** What `ready` takes. */
export interface ReadyOptions extends WaitOptions {
  /** Peers to wait for. Default: one for each endpoint connected to, or 1 without any endpoint; a socket that is only bound waits for nobody. */
  readonly peers?: number;
}

const MAX_LINGER = OPTIONS.linger.max as number;
const READY_OPTIONS: readonly (keyof ReadyOptions)[] = ["peers", "signal", "timeout"];
const CLOSE_OPTIONS: readonly (keyof CloseOptions)[] = ["linger"];

type Given = Readonly<Record<string, unknown>> & {
  readonly context?: Context;
  readonly authenticate?: Authenticate;
};

/**
 * Every socket is one of these; use the class of the type you want. A class of the program's own that extends it
 * directly names its type: `super(SocketType.Dealer, options)`. Such a socket sends and receives frames as they are,
 * as its type allows, and has the type's options as properties.
 *
 * @example
 * ```ts
 * import { Pull, Push, type Socket } from "shoal";
 *
 * const report = (socket: Socket) => console.log(socket.stats().sent);
 * const [pull, push] = [new Pull(), new Push()];
 * push.connect(await pull.bind("tcp://127.0.0.1:*"));
 * await push.send("one");
 * await pull.receive();
 * report(push); // 1
 * await Promise.all([push.close(), pull.close()]);
 * ```
 */
export interface Socket extends Properties<CommonOptions>, KeyProperties {}
export abstract class Socket extends SocketByNumber {
  /** @internal */
  declare readonly [CORE]: SocketCore;
  #observer: Observer | undefined = undefined;

  /**
   * @param type the socket type's number
   * @throws InvalidArgumentError `EINVAL` for another number, an unknown option or a bad value
   */
  protected constructor(type: SocketType, options?: object);
  /**
   * @internal
   * @param shape given by the classes of the package alone, which bring their methods themselves
   * @param extra arguments that their constructors do not take
   */
  protected constructor(
    type: SocketType,
    options: object | undefined,
    shape: MessageShape,
    extra: readonly unknown[],
  );
  protected constructor(
    type: SocketType,
    options: object | undefined,
    shape?: MessageShape,
    extra: readonly unknown[] = [],
  ) {
    super();
    const name = checkArguments(type, options, shape);
    refuseExtra(name, "options", extra);
    const {
      context = globalContext,
      authenticate,
      codec,
      ...given
    } = { ...(options as Given & { codec?: unknown }) };
    if (!(context instanceof Context)) {
      throw new InvalidArgumentError(`Option context of ${name} must be a Context; got ${typeof context}`);
    }
    const own = shape ?? (name === "Stream" ? STREAM_FRAMES : (singleFrameShape(name, undefined) ?? FRAMES));
    if (codec !== undefined && (shape === undefined || own === FRAMES || own === STREAM_FRAMES)) {
      throw new InvalidArgumentError(`${name} has no option codec: its messages are frames as they are`);
    }
    const core = new SocketCore(name, context, given, own, authenticate);
    if (OBSERVABLE) core.owner = new WeakRef(this);
    Object.defineProperty(this, CORE, { value: core }); // Nothing for those who look at the socket.
    if (shape === undefined) defineGeneric(this, name);
    // A misspelt option would otherwise be set without a word. Classes of the program may add fields of their own.
    const base = Object.getPrototypeOf(this);
    if (
      base === Socket.prototype ||
      (shape !== undefined && Object.getPrototypeOf(base) === Socket.prototype)
    )
      Object.preventExtensions(this);
  }

  /**
   * Listens at an endpoint.
   *
   * @param endpoint `tcp://HOST:PORT` (`*` for every address or any free port), `ws://HOST:PORT/PATH`, `ipc://PATH`,
   *   `inproc://NAME`, `udp://HOST:PORT` of a Dish or Datagram; or an HTTP server of the program's own with a path of it, for
   *   WebSocket
   * @returns the endpoint as resolved, with wildcards filled in: what peers connect to, and `lastEndpoint`
   * @throws InvalidArgumentError `EINVAL` for an invalid endpoint, or an argument that `bind` does not take
   * @throws TransportError `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, `ENODEV`, `EPROTONOSUPPORT`, `ENOCOMPATPROTO` (udp)
   * @throws ClosedError `EBADF` when the socket is closed
   */
  bind(endpoint: string | HttpServerEndpoint): Promise<string>;
  bind(endpoint: string | HttpServerEndpoint, ...extra: unknown[]): Promise<string> {
    const { calls, endpoints } = this[CORE];
    return calls.run(() =>
      endpoints.settled(async () => {
        refuseExtra("bind", "an endpoint", extra);
        return endpoints.bind(endpoint);
      }),
    );
  }

  /**
   * The same as {@link bind}, done when it returns.
   *
   * @returns the endpoint as resolved
   * @throws the errors with which `bind` rejects
   */
  bindSync(endpoint: string): string;
  bindSync(endpoint: string, ...extra: unknown[]): string {
    refuseExtra("bindSync", "an endpoint", extra);
    return this[CORE].endpoints.bindSync(endpoint);
  }

  /**
   * Stops listening at an endpoint. Settles when it can be bound again. Over tcp and ipc the connections
   * accepted there may end with it (libzmq ends them); their peers connect again to the next socket that binds.
   *
   * @param endpoint as it was given to `bind`, or as `bind` returned it
   * @throws InvalidArgumentError `EINVAL` for an invalid endpoint
   * @throws TransportError `ENOENT` when the socket is not bound to it
   * @throws ClosedError `EBADF` when the socket is closed
   */
  unbind(endpoint: string): Promise<void>;
  unbind(endpoint: string, ...extra: unknown[]): Promise<void> {
    const { calls, endpoints } = this[CORE];
    return calls.run(() =>
      endpoints.settled(async () => {
        refuseExtra("unbind", "an endpoint", extra);
        return endpoints.unbind(endpoint);
      }),
    );
  }

  /** The same as {@link unbind} without waiting until the endpoint is free; throws where that rejects. */
  unbindSync(endpoint: string): void;
  unbindSync(endpoint: string, ...extra: unknown[]): void {
    refuseExtra("unbindSync", "an endpoint", extra);
    // What is wrong with the call was thrown; the promise is the wait until the endpoint is free.
    this[CORE].endpoints.unbind(endpoint).catch(() => undefined);
  }

  /**
   * Connects to an endpoint, now or as soon as its peer is there; a lost
   * connection is made again. Returns at once: {@link ready} waits for the connection.
   *
   * A source has endpoints that come and go: the socket connects to each, and leaves those that the source has no more.
   * What waits for one of these moves to the others (Push, Dealer, Request), or leaves within the linger; replies of it are
   * received for up to 30 s, and what a Pull or Subscriber was sent comes whole (docs/sockets.md). The events are
   * `source:changed`, `source:failed` and `endpoint:refused`. `close` ends the source by its signal.
   *
   * @param endpoint `tcp://HOST:PORT`, `tcp://SOURCE:PORT;HOST:PORT`, `ipc://PATH`, `inproc://NAME`; or a source
   * @throws InvalidArgumentError `EINVAL` for an invalid endpoint, or an argument that `connect` does not take
   * @throws TransportError `EPROTONOSUPPORT`; ClosedError `EBADF` when the socket is closed
   * @throws NotSupportedError `NOT_SUPPORTED` for an inproc name that another thread has bound, where the engine's
   *   inproc does not reach there (docs/engines.md)
   */
  connect(endpoint: string | EndpointSource): void;
  connect(endpoint: string | EndpointSource, ...extra: unknown[]): void {
    refuseExtra("connect", "an endpoint", extra);
    const { endpoints } = this[CORE];
    if (isEndpointSource(endpoint)) endpoints.connectSource(endpoint);
    else endpoints.connect(endpoint, undefined);
  }

  /**
   * Ends the connection to an endpoint given to `connect`, and its reconnecting. New messages go to other peers from now
   * on; those accepted for this one leave within the socket's linger, even if its connection has yet to be made.
   *
   * Of a source all endpoints are left, and it is read no more.
   *
   * @param endpoint as it was given to `connect`
   * @throws InvalidArgumentError `EINVAL` for an invalid endpoint
   * @throws TransportError `ENOENT` when the socket is not connected to it; ClosedError `EBADF` when it is closed
   */
  disconnect(endpoint: string | EndpointSource): void;
  disconnect(endpoint: string | EndpointSource, ...extra: unknown[]): void {
    refuseExtra("disconnect", "an endpoint", extra);
    const { endpoints } = this[CORE];
    if (isEndpointSource(endpoint)) endpoints.disconnectSource(endpoint);
    else endpoints.disconnect(endpoint);
  }

  /**
   * Waits until connections stand: handshakes done, subscriptions on their way.
   * Counts transports whose connections the engine reports (docs/engines.md).
   *
   * @throws InvalidArgumentError `EINVAL` for an unknown option or an invalid value
   * @throws TimeoutError `ETIMEDOUT` after `timeout` ms, whose `cause` is what the last attempt to connect failed with, where
   *   several endpoints failed an `AggregateError` with that of each, the latest last (16 at most)
   * @throws HandshakeError, ProtocolError when a peer refuses for good
   * @throws AbortedError `ABORT_ERR`; ClosedError `EAGAIN` when the socket closes meanwhile, `EBADF` when it is closed
   */
  ready(options?: ReadyOptions): Promise<void>;
  ready(options: ReadyOptions = {}, ...extra: unknown[]): Promise<void> {
    return this[CORE].calls.run(async () => {
      refuseExtra("ready", "options", extra);
      checkCallOptions("ready", options, READY_OPTIONS);
      await this.#ready(options);
    });
  }

  async #ready(options: ReadyOptions): Promise<void> {
    const core = this[CORE];
    if (options.peers !== undefined) checkInteger("peers", options.peers);
    const wanted = options.peers ?? core.endpoints.expectedPeers();
    if (options.peers === undefined && wanted === 0 && this.lastEndpoint !== null) return;
    const enough = Math.max(1, wanted);
    core.assertOpen();
    await core.events.waitFor(
      (event) => {
        // A peer that this side refuses does not end the wait for the others.
        if (
          (event?.type === "handshake:error:auth" || event?.type === "handshake:error:protocol") &&
          !core.endpoints.isBound(event.address)
        )
          throw event.error;
        return (core.engine.stats().peers ?? 0) >= enough;
      },
      { count: enough, noun: "peer", verb: "became ready" },
      options,
    );
  }

  /**
   * Disconnects every peer that `match` picks by its credentials, for instance
   * after its key was revoked; `authenticate` decides when it comes back.
   *
   * @returns how many were disconnected
   * @throws InvalidArgumentError `EINVAL` when `match` is not a function
   * @throws NotSupportedError `NOT_SUPPORTED` on the engine `libzmq`
   */
  revoke(match: (peer: PeerCredentials) => boolean): number {
    this[CORE].assertOpen();
    if (typeof match !== "function")
      throw new InvalidArgumentError(`revoke takes a function; got ${describe(match)}`);
    const { policing } = this[CORE].engine;
    if (policing === undefined) {
      throw new NotSupportedError(
        `The ${this.context.engine} engine cannot disconnect a single peer; a refused peer stays out at its next handshake`,
      );
    }
    return policing.disconnectPeers(match);
  }

  /**
   * Closes the socket: it takes no more calls, waiting receives end with `EAGAIN`, loops over it end. What `send` was
   * given leaves within the linger, what waits for room, too, as long as the socket is bound, connected or has a peer.
   * An error that closing causes is never an unhandled rejection. Closing twice is closing once.
   *
   * @returns what left and what was thrown away
   * @throws InvalidArgumentError `EINVAL` for an invalid linger or an unknown option; nothing has changed then
   */
  close(options?: CloseOptions): Promise<CloseResult>;
  close(options?: CloseOptions, ...extra: unknown[]): Promise<CloseResult> {
    try {
      refuseExtra("close", "options", extra);
      checkCallOptions("close", options, CLOSE_OPTIONS);
      const linger = options?.linger;
      if (linger !== undefined) checkInteger("linger", linger, -1, MAX_LINGER);
      return this[CORE].close(linger);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Lets the process end although the socket is bound, as `unref` of a server of Node.js. Calls that wait still hold it. */
  unref(): this {
    this[CORE].engine.eventLoop.holdBound(false);
    return this;
  }

  /** The opposite of {@link unref}: a bound socket holds the process, as by default. */
  ref(): this {
    this[CORE].engine.eventLoop.holdBound(true);
    return this;
  }

  /** Closes with the socket's own linger; for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The socket's counters at this moment. */
  stats(): SocketStats {
    return this[CORE].stats();
  }

  /** What happens to the socket and its peers. */
  get events(): Observer {
    this.#observer ??= new Observer(this);
    return this.#observer;
  }

  /** The context the socket belongs to. */
  get context(): Context {
    return this[CORE].context;
  }

  /**
   * Whether the socket is closed: from `close` on, or, if it was called while a `bind` or `unbind` was under way, from
   * that call's end on, as in the package `zeromq`. It takes no more calls from `close` on in either case.
   */
  get closed(): boolean {
    return this[CORE].closed && this[CORE].endpoints.settling === 0;
  }

  /** Whether a message can be received at once. */
  get readable(): boolean {
    return !this[CORE].closed && this[CORE].engine.readable;
  }

  /** Whether a message can be sent at once. */
  get writable(): boolean {
    return !this[CORE].closed && this[CORE].outbox.waiting === 0 && this[CORE].engine.writable;
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

  /** @internal What `console.log` shows: endpoints, and options but for secrets and defaults. */
  [Symbol.for("nodejs.util.inspect.custom")](
    _depth: number,
    options: object,
    inspect: (value: unknown, options: object) => string,
  ): string {
    return `${this.constructor.name} ${inspect({ ...this, ...this[CORE].describe() }, options)}`;
  }

  /** Always false: a socket belongs to the thread that made it. */
  get threadSafe(): boolean {
    return false;
  }
}

/** @returns the type's name */
function checkArguments(type: unknown, options: unknown, shape: unknown): SocketTypeName {
  if (typeof type !== "number") {
    throw new InvalidArgumentError(`A socket's type is a number, such as 5 for a DEALER; got ${typeof type}`);
  }
  const name = socketTypeName(type);
  if (name === undefined) throw new InvalidArgumentError(`No socket type has the number ${type}`);
  if (options !== undefined && (typeof options !== "object" || options === null)) {
    throw new InvalidArgumentError(`The options of ${name} are an object; got ${String(options)}`);
  }
  if (shape !== undefined && typeof (shape as Partial<MessageShape>).encode !== "function") {
    throw new InvalidArgumentError(`Socket takes a type and options; got a third argument: ${typeof shape}`);
  }
  return name;
}
