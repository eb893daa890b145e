/** The base of all sockets, and the observer of a socket's events. */
import { checkCallOptions, checkInteger, invalidArgument, isThenable } from "../core/arguments.js";
import { InvalidArgumentError, NotSupportedError, type ShoalError } from "../core/errors.js";
import { EventStream } from "../core/event-stream.js";
import { OPTIONS } from "../core/option-table.js";
import type { HttpServerEndpoint } from "../core/schemes/grammar.js";
import { SocketType, type SocketTypeName, socketTypeName } from "../core/socket-type.js";
import { ignore, type WaitOptions } from "../core/waiter.js";
import type { PeerCredentials } from "../engine/engine.js";
import { type EventOfType, type EventType, SOCKET_EVENTS, type SocketEvent } from "../engine/events.js";
import { readableOptions } from "./check-options.js";
import { Context, context as globalContext } from "./context.js";
import { type EndpointSource, isEndpointSource } from "./endpoint-source.js";
import type { MessageShape } from "./message.js";
import { type CloseResult, CORE, type HasCore, SocketCore } from "./socket-core.js";
import type { SocketEvents } from "./socket-events.js";
import type { Authenticate, CommonOptions, KeyProperties, Properties } from "./socket-options.js";
import type { SocketStats } from "./stats.js";

/** @internal */
export { CORE } from "./socket-core.js";

export interface CloseOptions {
  /**
   * ms for messages to leave, including waiting sends, which then reject with `EAGAIN`. 0 discards them; -1: no limit.
   * Default: the option `linger`.
   */
  readonly linger?: number;
}

export interface ReadyOptions extends WaitOptions {
  /**
   * Number of peers. Default: one per connected endpoint, or 1 without endpoints; a socket that is only bound does not
   * wait.
   */
  readonly peers?: number;
}

const MAX_LINGER = OPTIONS.linger.max as number;
const READY_OPTIONS: readonly (keyof ReadyOptions)[] = ["peers", "signal", "timeout"];
const CLOSE_OPTIONS: readonly (keyof CloseOptions)[] = ["linger"];

const WITHOUT_CODEC: readonly SocketTypeName[] = ["XPublisher", "XSubscriber", "Stream", "Datagram"];

type Given = Readonly<Record<string, unknown>> & {
  readonly context?: Context;
  readonly authenticate?: Authenticate;
};

/**
 * The base of all sockets; use or extend the class of your type.
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
export abstract class Socket {
  /** @internal */
  declare readonly [CORE]: SocketCore;
  #observer: Observer | undefined = undefined;

  /** @internal */
  protected constructor(type: SocketType, options: object | undefined, shape: MessageShape) {
    if (shape === undefined)
      throw new InvalidArgumentError(
        "A socket must be of a class of its type, such as Dealer; got Socket itself",
      );
    const name = socketTypeName(type) as SocketTypeName;
    if (options !== undefined && (typeof options !== "object" || options === null || Array.isArray(options)))
      throw invalidArgument(`The options of ${name} must be an object`, options);
    const {
      context = globalContext,
      authenticate,
      codec,
      ...given
    } = { ...(options as Given & { codec?: unknown }) };
    if (!(context instanceof Context)) {
      throw invalidArgument(`Option context of ${name} must be a Context`, context);
    }
    if (codec !== undefined && WITHOUT_CODEC.includes(name)) {
      throw new InvalidArgumentError(`${name} has no option codec: its messages are frames as they are`);
    }
    const core = new SocketCore(name, context, given, shape, authenticate);
    Object.defineProperty(this, CORE, { value: core });
    // A program's classes may add fields.
    if (Object.getPrototypeOf(Object.getPrototypeOf(this)) === Socket.prototype)
      Object.preventExtensions(this);
  }

  /**
   * Listens at an endpoint.
   *
   * @param endpoint `tcp://HOST:PORT` (`*` for every address or any free port), `ws://HOST:PORT/PATH`, `ipc://PATH`,
   *   `inproc://NAME`, `udp://HOST:PORT` (Dish, Datagram); or the program's HTTP server with a path, for WebSocket
   * @returns the endpoint without wildcards, also in `lastEndpoint`
   * @throws InvalidArgumentError `EINVAL`; ClosedError `EBADF`
   * @throws TransportError `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, `ENODEV`, `ENAMETOOLONG` (ipc), `EPROTONOSUPPORT`,
   *   `ENOCOMPATPROTO` (udp)
   */
  bind(endpoint: string | HttpServerEndpoint): Promise<string> {
    const core = this[CORE];
    return core.run(() => core.endpoints.settled(async () => core.endpoints.bind(endpoint)));
  }

  /** Binds synchronously; otherwise as {@link bind}. */
  bindSync(endpoint: string): string {
    return this[CORE].endpoints.bindSync(endpoint);
  }

  /**
   * Stops listening; settles when the endpoint can be bound again. Accepted tcp and ipc connections may end (on libzmq
   * they do), and their peers reconnect to the next binder.
   *
   * @param endpoint as given to `bind`, or returned by it
   * @throws InvalidArgumentError `EINVAL`; TransportError `ENOENT` when not bound; ClosedError `EBADF`
   */
  unbind(endpoint: string): Promise<void> {
    const core = this[CORE];
    return core.run(() => core.endpoints.settled(async () => core.endpoints.unbind(endpoint)));
  }

  /** Unbinds without waiting until the endpoint is free; `close:error` reports a failure. Otherwise as {@link unbind}. */
  unbindSync(endpoint: string): void {
    const { endpoints, events } = this[CORE];
    // Invalid calls throw at once.
    endpoints
      .unbind(endpoint)
      .catch((error: ShoalError) => events.emit({ type: "close:error", address: endpoint, error }));
  }

  /**
   * Connects now or as soon as the peer is reachable, and reconnects after a loss; {@link ready} waits for the
   * connection.
   *
   * A source connects the socket to its current endpoints and releases others. Messages queued for a released endpoint
   * move to others (Push, Dealer, Request) or leave within the linger; replies are received for up to 30 s, and
   * messages sent to a Pull or Subscriber arrive (docs/sockets.md). Events: `source:changed`, `source:failed`,
   * `endpoint:refused`. `close` aborts the source's signal.
   *
   * @param endpoint `tcp://HOST:PORT`, `tcp://SOURCE:PORT;HOST:PORT`, `ipc://PATH`, `inproc://NAME`; or a source
   * @throws InvalidArgumentError `EINVAL`; TransportError `EPROTONOSUPPORT`, `ENAMETOOLONG` (ipc); ClosedError `EBADF`
   */
  connect(endpoint: string | EndpointSource): void {
    const { endpoints } = this[CORE];
    if (isEndpointSource(endpoint)) endpoints.connectSource(endpoint);
    else endpoints.connect(endpoint, undefined);
  }

  /**
   * Ends an endpoint's connection and reconnecting. New messages go to other peers; accepted ones leave within the
   * linger, also once it connects.
   *
   * For a source, releases all its endpoints.
   * @throws InvalidArgumentError `EINVAL`; TransportError `ENOENT` when not connected; ClosedError `EBADF`
   */
  disconnect(endpoint: string | EndpointSource): void {
    const { endpoints } = this[CORE];
    if (isEndpointSource(endpoint)) endpoints.disconnectSource(endpoint);
    else endpoints.disconnect(endpoint);
  }

  /**
   * Waits for completed handshakes, after which subscriptions are sent; only for transports whose connections the
   * engine reports (docs/engines.md).
   *
   * @throws InvalidArgumentError `EINVAL`; AbortedError `ABORT_ERR`; ClosedError `EAGAIN` when the socket closes
   *   meanwhile, `EBADF` when closed
   * @throws TimeoutError `ETIMEDOUT`, with the last attempt's error as `cause`
   * @throws HandshakeError, ProtocolError when a peer refuses permanently; TransportError when the last endpoint is not
   *   dialled again (`reconnectInterval` -1)
   */
  ready(options: ReadyOptions = {}): Promise<void> {
    return this[CORE].run(async () => {
      checkCallOptions("ready", options, READY_OPTIONS);
      const core = this[CORE];
      if (options.peers !== undefined) checkInteger("peers", options.peers);
      const wanted = options.peers ?? core.endpoints.expectedPeers();
      if (options.peers === undefined && wanted === 0 && this.lastEndpoint !== null) return;
      const enough = Math.max(1, wanted);
      core.assertOpen();
      await core.events.waitFor(
        (event) => {
          // Others are still awaited if this side refuses a peer.
          if (
            (event?.type === "handshake:error:auth" || event?.type === "handshake:error:protocol") &&
            !core.endpoints.isBound(event.address)
          )
            throw event.error;
          if (event?.type === "disconnect" && event.error !== undefined && core.endpoints.areOver)
            throw event.error;
          return (core.engine.stats().peers ?? 0) >= enough;
        },
        { count: enough, noun: "peer", verb: "became ready" },
        options,
      );
    });
  }

  /**
   * Disconnects peers whose credentials `match`, such as a revoked key, also while `authenticate` still decides about
   * them. It decides again when they reconnect.
   *
   * @returns their number
   * @throws InvalidArgumentError `EINVAL` for anything but a function, or if it returns a promise: no peer is
   *   disconnected then; NotSupportedError `NOT_SUPPORTED` on the engine `libzmq`
   */
  revoke(match: (peer: PeerCredentials) => boolean): number {
    this[CORE].assertOpen();
    if (typeof match !== "function") throw invalidArgument("revoke takes a function", match);
    const { policing } = this[CORE].engine;
    if (policing === undefined) {
      throw new NotSupportedError(
        `The ${this.context.engine} engine cannot disconnect a single peer; a refused peer stays out at its next handshake`,
      );
    }
    return policing.disconnectPeers((peer) => {
      const matches: unknown = match(peer);
      if (!isThenable(matches)) return Boolean(matches);
      Promise.resolve(matches).catch(ignore);
      throw new InvalidArgumentError("match of revoke must return true or false at once; got a promise");
    });
  }

  /**
   * Closes the socket: further calls fail, waiting receives end with `EAGAIN`, loops end. Messages given to `send`
   * leave within the linger, waiting ones only if the socket has an endpoint or a peer. Closing causes no unhandled
   * rejections. Further calls return the same result.
   * @throws InvalidArgumentError `EINVAL`, without effect
   */
  close(options?: CloseOptions): Promise<CloseResult> {
    try {
      checkCallOptions("close", options, CLOSE_OPTIONS);
      const linger = options?.linger;
      if (linger !== undefined) checkInteger("linger", linger, -1, MAX_LINGER);
      return this[CORE].close(linger);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Lets the process end while the socket is bound, like a Node.js server's `unref`. Waiting calls still hold it. No
   * effect on the engine `libzmq`.
   */
  unref(): this {
    this[CORE].engine.eventLoop.holdBound(false);
    return this;
  }

  /** Undoes {@link unref}. */
  ref(): this {
    this[CORE].engine.eventLoop.holdBound(true);
    return this;
  }

  /** Closes with the option `linger`; for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  stats(): SocketStats {
    return this[CORE].stats();
  }

  get events(): Observer {
    this.#observer ??= new Observer(this);
    return this.#observer;
  }

  get context(): Context {
    return this[CORE].context;
  }

  /**
   * Whether the socket is closed: from `close` on, or once a `bind` or `unbind` in flight ends, as in the package
   * `zeromq`.
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

  /** The socket type's number, as in libzmq. */
  get type(): SocketType {
    return SocketType[this[CORE].typeName];
  }

  /** The endpoint of the last `bind`, without wildcards, or `connect`. */
  get lastEndpoint(): string | null {
    return this[CORE].endpoints.last;
  }

  /** Chosen by the security options. */
  get securityMechanism(): null | "plain" | "curve" | "gssapi" {
    if (this.curveServer || this.curveServerKey !== null) return "curve";
    if (this.plainServer || this.plainUsername !== null) return "plain";
    if (this.gssapiServer || this.gssapiPrincipal !== null) return "gssapi";
    return null;
  }

  /** @internal For `console.log`, without secrets and defaults. */
  [Symbol.for("nodejs.util.inspect.custom")](
    _depth: number,
    options: object,
    inspect: (value: unknown, options: object) => string,
  ): string {
    const { endpoints, closed, options: own } = this[CORE];
    const shown = { ...this, ...endpoints.all, closed, options: readableOptions(own) };
    return `${this.constructor.name} ${inspect(shown, options)}`;
  }

  /** Always false: a socket belongs to the thread that made it. */
  get threadSafe(): boolean {
    return false;
  }
}

// --- Events ----------------------------------------------------------------------------------------------------------

/** A socket to observe. */
export interface Observed {
  readonly events: Observer;
  readonly closed: boolean;
}

/** Takes listeners for a socket's events. */
export interface EventSubscriber {
  on<E extends EventType>(type: E, listener: (event: EventOfType<E>) => void): EventSubscriber;
  off<E extends EventType>(type: E, listener: (event: EventOfType<E>) => void): EventSubscriber;
}

/**
 * A socket's events, as listeners and as an async iterable. A listener keeps the process alive. Events are kept for `receive`
 * and `for await` from the first use of `socket.events`, unless there are only listeners.
 *
 * @example
 * ```ts
 * import { Pull, Push } from "shoal";
 *
 * const pull = new Pull();
 * const push = new Push();
 * push.events.on("handshake", ({ type }) => console.log(type)); // handshake
 * push.connect(await pull.bind("tcp://127.0.0.1:*"));
 * await push.ready();
 * await Promise.all([push.close(), pull.close()]);
 * ```
 */
export class Observer extends EventStream<SocketEvent> implements EventSubscriber {
  readonly #source: SocketEvents;

  /** Makes another observer of a socket; `socket.events` is the first and usually enough. */
  constructor(socket: Observed) {
    super({ names: SOCKET_EVENTS, keepsUnread: true });
    const source = (socket as Partial<HasCore> | undefined)?.[CORE]?.events;
    if (source === undefined)
      throw new InvalidArgumentError(`An observer observes a socket; got ${typeof socket}`);
    this.#source = source;
    source.observe(this);
    if (source.closed) this.close();
  }

  /** Stops observing; the socket continues. */
  override close(): void {
    if (this.closed) return;
    super.close();
    this.#source.unobserve(this);
  }

  /** @internal */
  protected override onInterest(interested: boolean): void {
    this.#source.hold(interested ? 1 : -1);
  }
}
