/**
 * What stands behind every socket: the engine's socket, the two queues, the
 * events, the accounts, and the life-cycle.
 *
 *            close()                    engine done
 *   open ---------------> closing -----------------------> closed
 *           receives end,          linger: accepted messages
 *           sends refused          (and waiting ones, when a
 *                                  linger was given) leave
 */
import { ClosedError, InvalidArgumentError, TimeoutError } from "../core/errors.js";
import { SocketType, type SocketTypeName } from "../core/socket-type.js";
import type { EngineListener, EngineSocket, OutgoingMessage, PeerCredentials } from "../engine/engine.js";
import type { DropReason, SocketEvent } from "../engine/events.js";
import type { Context } from "./context.js";
import { checkEndpoint } from "./endpoint.js";
import { Inbox } from "./inbox.js";
import { Observer } from "./observer.js";
import { OPTIONS, type OptionName, type OptionSpec } from "./option-table.js";
import { checkOption, resolveOptions } from "./options.js";
import { Outbox } from "./outbox.js";
import { checkSecurity } from "./security/check.js";
import type { MessageShape } from "./shape.js";
import { Counters, type SocketStats } from "./stats.js";
import { Waiter, type WaitOptions } from "./waiter.js";

/** Judges a peer before it may talk; anything but `true` refuses it (27/ZAP). */
export type Authenticate = (peer: PeerCredentials) => boolean | Promise<boolean>;

/** How a socket's closing went, in messages that `send` or `trySend` was given. */
export interface CloseResult {
  /** Messages that left, over the socket's whole life. */
  readonly flushed: number;
  /** Messages that were refused or thrown away because the socket closed. */
  readonly discarded: number;
  /** Messages the engine cannot account for: it ran out of linger and does not count what it throws away. */
  readonly unknown: number;
}

export class SocketCore implements EngineListener {
  readonly typeName: SocketTypeName;
  readonly context: Context;
  readonly engine: EngineSocket;
  readonly counters = new Counters();
  readonly outbox: Outbox;
  readonly inbox: Inbox<unknown>;
  readonly engineAuthenticate: ((peer: PeerCredentials) => Promise<boolean>) | undefined;
  readonly #options: Record<string, unknown>;
  readonly #shape: MessageShape;
  readonly #transports: readonly string[];
  /** Endpoints this socket connects to; what `ready` counts. */
  readonly #connected = new Map<string, number>();
  readonly #handlers = new Set<(event: SocketEvent) => void>();
  #observer: Observer | undefined;
  #holds = 0;
  #lastEndpoint: string | null = null;
  #closing: Promise<CloseResult> | undefined;

  constructor(
    type: SocketTypeName,
    context: Context,
    given: Readonly<Record<string, unknown>>,
    shape: MessageShape,
    authenticate: Authenticate | undefined,
  ) {
    this.typeName = type;
    this.context = context;
    this.#shape = shape;
    this.#options = resolveOptions(type, given);
    if (authenticate !== undefined && typeof authenticate !== "function") {
      throw new InvalidArgumentError(`Option authenticate must be a function; got ${typeof authenticate}`);
    }
    this.engineAuthenticate =
      authenticate === undefined ? undefined : async (peer) => (await authenticate(peer)) === true;
    this.#transports = context.load().capabilities.transports;
    const engineOptions: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(this.#options)) {
      if ((OPTIONS[name as OptionName] as OptionSpec).local !== true) engineOptions[name] = value;
    }
    this.engine = context.open().open(SocketType[type], engineOptions, this);
    // The queues read the options anew at each use, since a program may change them at any time.
    const options = this.#options;
    this.outbox = new Outbox(
      this.engine,
      {
        get sendTimeout() {
          return options.sendTimeout as number;
        },
        get maxPendingSends() {
          return options.maxPendingSends as number;
        },
        get mandatory() {
          return options.mandatory === true;
        },
        dropped: (reason, message) => this.#dropped(reason, message),
      },
      this.counters,
    );
    this.inbox = new Inbox<unknown>(
      this.engine,
      {
        get receiveTimeout() {
          return options.receiveTimeout as number;
        },
        get maxPendingReceives() {
          return options.maxPendingReceives as number;
        },
        decode: (frames) => shape.decode(frames, this.#invalid),
      },
      this.counters,
    );
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  get lastEndpoint(): string | null {
    return this.#lastEndpoint;
  }

  get observer(): Observer {
    if (this.#observer === undefined) {
      this.#observer = new Observer((interested) => this.hold(interested ? 1 : -1));
      if (this.closed) this.#observer.close();
    }
    return this.#observer;
  }

  getOption(name: string): unknown {
    return this.#options[name];
  }

  setOption(name: string, value: unknown): void {
    this.assertOpen();
    checkOption(this.typeName, name, value);
    if ((OPTIONS[name as OptionName] as OptionSpec).local !== true) this.engine.setOption(name, value);
    this.#options[name] = value;
  }

  async bind(endpoint: string): Promise<void> {
    this.#checkBind(endpoint);
    const resolved = await this.engine.bind(endpoint);
    this.#lastEndpoint = resolved;
  }

  bindSync(endpoint: string): void {
    this.#checkBind(endpoint);
    this.#lastEndpoint = this.engine.bindSync(endpoint);
  }

  unbind(endpoint: string): Promise<void> {
    this.assertOpen();
    return this.engine.unbind(endpoint);
  }

  connect(endpoint: string, routingId: string | undefined): void {
    this.assertOpen();
    checkEndpoint(endpoint, "connect", this.#transports);
    checkSecurity(this.#options);
    this.engine.connect(endpoint, routingId);
    this.#connected.set(endpoint, (this.#connected.get(endpoint) ?? 0) + 1);
    this.#lastEndpoint = endpoint;
  }

  disconnect(endpoint: string): void {
    this.assertOpen();
    this.engine.disconnect(endpoint);
    this.#connected.delete(endpoint);
  }

  encode(value: unknown): OutgoingMessage {
    this.assertOpen();
    return this.#shape.encode(value);
  }

  /** Waits until `done` says so; it is asked now and after every event. */
  waitFor(
    done: (event: SocketEvent | undefined) => boolean,
    what: string,
    options: WaitOptions | undefined,
  ): Promise<void> {
    this.assertOpen();
    if (done(undefined)) return Promise.resolve();
    if (options?.signal?.aborted === true) options.signal.throwIfAborted();
    const stop = (): void => {
      this.#handlers.delete(handler);
      this.hold(-1);
    };
    const waiter = new Waiter<void>(
      options?.timeout ?? -1,
      options?.signal,
      () => new TimeoutError("ETIMEDOUT", `${what} did not happen within ${options?.timeout} ms`),
      stop,
    );
    const handler = (event: SocketEvent): void => {
      try {
        if (event.type === "end") throw new ClosedError("EAGAIN", `The socket closed before ${what}`);
        if (!done(event)) return;
        stop();
        waiter.resolve();
      } catch (error) {
        stop();
        waiter.reject(error as ClosedError);
      }
    };
    this.#handlers.add(handler);
    this.hold(1);
    return waiter.promise;
  }

  /** Connections that `ready` waits for: those whose engine reports handshakes. */
  expectedPeers(): number {
    const reported = this.context.load().capabilities.peerEvents;
    let expected = 0;
    for (const [endpoint, count] of this.#connected) {
      if (reported.includes(endpoint.slice(0, endpoint.indexOf(":")))) expected += count;
    }
    return expected;
  }

  /** Hears all events from now on, for the socket's own use. */
  listen(handler: (event: SocketEvent) => void): void {
    this.#handlers.add(handler);
  }

  hold(change: 1 | -1): void {
    const before = this.#holds > 0;
    this.#holds += change;
    const after = this.#holds > 0;
    if (before !== after && !this.closed) this.engine.hold(after);
  }

  stats(): SocketStats {
    const counters = this.counters;
    const engine = this.engine.stats();
    return {
      sent: counters.sent,
      bytesSent: counters.bytesSent,
      delivered: counters.delivered,
      queued: this.outbox.waiting,
      dropped: { ...counters.dropped },
      received: counters.received,
      bytesReceived: counters.bytesReceived,
      receiveQueued: engine.queuedIn,
      invalid: { ...counters.invalid },
      late: counters.late,
      pendingSends: this.outbox.waiting,
      pendingReceives: this.inbox.waiting,
      peers: engine.peers,
      reconnects: engine.reconnects,
      eventsLost: this.#observer?.lost ?? 0,
    };
  }

  close(linger: number | undefined): Promise<CloseResult> {
    this.#closing ??= this.#close(linger);
    return this.#closing;
  }

  assertOpen(): void {
    if (this.closed) throw new ClosedError("EBADF", `The ${this.typeName} socket is closed`);
  }

  engineOnReadable(): void {
    this.inbox.pump();
  }

  engineOnWritable(): void {
    this.outbox.pump();
  }

  engineOnEvent(event: SocketEvent): void {
    for (const handler of [...this.#handlers]) handler(event);
    this.#observer?.emit(event);
  }

  async #close(given: number | undefined): Promise<CloseResult> {
    // Everything up to the first await happens within the call, as in the package zeromq.
    const linger = given ?? (this.#options.linger as number);
    const started = performance.now();
    this.inbox.abandon();
    if (given !== undefined && linger !== 0 && this.outbox.waiting > 0) {
      await Promise.race([this.outbox.whenEmpty(), ...(linger > 0 ? [sleep(linger)] : [])]);
    }
    const refused = this.outbox.abandon();
    const left = linger < 0 ? linger : Math.max(0, Math.round(linger - (performance.now() - started)));
    const result = await this.engine.close(left);
    const { delivered } = this.counters;
    const unknown = result.drained || result.discarded !== undefined ? 0 : delivered;
    const discarded = result.discarded ?? 0;
    if (discarded > 0) this.#observer?.emit({ type: "drop", reason: "closed", messages: discarded });
    if (refused > 0) this.#observer?.emit({ type: "drop", reason: "closed", messages: refused });
    this.engineOnEvent({ type: "end" });
    this.#handlers.clear();
    this.#observer?.close();
    return { flushed: delivered - unknown - discarded, discarded: discarded + refused, unknown };
  }

  #checkBind(endpoint: string): void {
    this.assertOpen();
    checkEndpoint(endpoint, "bind", this.#transports);
    checkSecurity(this.#options);
  }

  #dropped(reason: DropReason, message: OutgoingMessage): void {
    const routes = this.typeName === "Router" || this.typeName === "Stream";
    const first =
      routes && typeof message !== "string" && !(message instanceof Uint8Array) ? message[0] : undefined;
    this.engineOnEvent({
      type: "drop",
      reason,
      messages: 1,
      ...(first === undefined ? {} : { routingId: Buffer.from(first as Uint8Array) }),
    });
  }

  #invalid = (reason: "frames" | "codec" | "schema", error: ClosedError): void => {
    this.counters.invalid[reason] += 1;
    this.engineOnEvent({ type: "invalid", reason, error });
  };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
