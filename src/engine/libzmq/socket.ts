/** A socket of the engine `libzmq`: one of the package `zeromq`, read and written in turns. */
import { InvalidArgumentError, NotSupportedError } from "../../core/errors.js";
import { type OptionValues, optionValues, setOption } from "../../core/option-table.js";
import { SocketType, type SocketTypeName, socketTypeName } from "../../core/socket-type.js";
import { ignore, MAX_TIMEOUT } from "../../core/waiter.js";
import {
  type EngineCloseResult,
  type EngineEndpoints,
  type EngineEventLoop,
  type EngineListener,
  type EngineOptions,
  type EngineSocket,
  type EngineStats,
  type EngineSubscriptions,
  type MessageMemory,
  OfferResult,
  type OutgoingMessage,
} from "../engine.js";
import { Endpoints } from "./endpoints.js";
import { startMonitor, startTicking, type Ticking, touchUntilDone } from "./monitor.js";
import {
  assertSupported,
  calling,
  isNativeOption,
  type Native,
  type NativeContext,
  type NativeEvent,
  type NativeSocket,
  nativeClassOf,
  nativeOptions,
  nativeValue,
  optionNames,
  toShoalError,
} from "./native.js";
import { PeerTable } from "./peers.js";
import { MAX_BATCH, Receiver } from "./receiver.js";
import { Sender } from "./sender.js";

export interface Shared {
  readonly native: Native;
  readonly context: NativeContext;
}

/**
 * ms beyond the linger; libzmq then continues in the background:
 *
 * - inproc: a peer that does not read or has not arrived, or a REQ whose turn it is to send
 * - a disconnected endpoint with queued messages, which later lingers do not affect
 */
const CLOSE_TIMEOUT = 20;
/** ms instead of CLOSE_TIMEOUT if an inproc name must become free, or the linger is unlimited. */
const INPROC_CLOSE_TIMEOUT = 500;

/** ms instead of an XSUB's unlimited linger: it would wait for the next publisher. */
const XSUB_LINGER = 500;

export class LibzmqSocket implements EngineSocket, EngineEndpoints, EngineEventLoop, Ticking {
  readonly endpoints: EngineEndpoints = this;
  readonly eventLoop: EngineEventLoop = this;
  readonly subscriptions: EngineSubscriptions | undefined;
  readonly #shared: Shared;
  readonly #native: NativeSocket;
  readonly #listener: EngineListener;
  readonly #options: OptionValues;
  readonly #peers: PeerTable;
  readonly #receiver: Receiver;
  readonly #nativeEndpoints: Endpoints;
  readonly #sender: Sender;
  /** A PUB is opened as XPUB, to receive subscriptions. */
  readonly #isPublisher: boolean;
  readonly #requests: boolean;
  readonly #answers: boolean;
  /** The end of the monitor; missing before the first endpoint. */
  #gone: Promise<void> | undefined;
  #stopTicking: () => void = ignore;
  #inproc = false;
  #hasDisconnected = false;
  #closed = false;

  constructor(shared: Shared, type: SocketType, options: EngineOptions, listener: EngineListener) {
    this.#isPublisher = type === SocketType.Publisher && options.conflate !== true;
    const nativeType = this.#isPublisher ? "XPublisher" : (socketTypeName(type) as SocketTypeName);
    const NativeClass = nativeClassOf(shared.native, nativeType);
    for (const name of optionNames(type)) assertSupported(name, options[name]);
    if (listener.engineAuthenticate !== undefined) throw noAuthenticate();
    this.#shared = shared;
    this.#listener = listener;
    this.#options = optionValues(options);
    this.#requests = type === SocketType.XSubscriber;
    this.#answers = type === SocketType.Reply || type === SocketType.Router;
    const publishes = type === SocketType.Publisher || type === SocketType.XPublisher;
    const noDrop = publishes && options.noDrop === true;
    const routes = type === SocketType.Router || type === SocketType.Stream;

    const chosen = nativeOptions(options, type);
    if (this.#isPublisher) chosen.verbosity = "allSubsUnsubs";
    if (noDrop) chosen.noDrop = true;
    if (type === SocketType.Router) chosen.mandatory = true;
    for (const name of ["sendTimeout", "receiveTimeout"]) if (name in NativeClass.prototype) chosen[name] = 0;
    this.#native = calling(() => new NativeClass({ ...chosen, context: shared.context }), "open a socket");
    this.subscriptions = type === SocketType.Subscriber ? this.#native : undefined;
    // REQ and REP alternate: no reads ahead, no unchecked sends.
    const alternates = type === SocketType.Request || type === SocketType.Reply;
    this.#receiver = new Receiver(
      this.#native,
      alternates ? 1 : MAX_BATCH,
      this.#isPublisher
        ? this.#receiverOnSubscription
        : alternates
          ? this.#receiverOnTurn
          : this.#receiverOnMessage,
      Number(options.receiveHighWaterMark ?? 0),
    );
    const drops = publishes || type === SocketType.XSubscriber;
    this.#sender = new Sender(
      this.#native,
      noDrop ? "looks" : drops ? "drops" : routes ? "routes" : "waits",
      Number(options.sendHighWaterMark ?? 0),
      this.#senderOnWritable,
      alternates ? 0 : undefined,
    );
    this.#peers = new PeerTable(type === SocketType.Stream);
    this.#nativeEndpoints = new Endpoints(this.#native);
  }

  async bind(endpoint: string): Promise<string> {
    return this.bindSync(endpoint);
  }

  bindSync(endpoint: string): string {
    this.#prepare(endpoint);
    return this.#nativeEndpoints.bind(endpoint);
  }

  unbind(endpoint: string): Promise<void> {
    return this.#nativeEndpoints.unbind(endpoint);
  }

  connect(endpoint: string, routingId: string | undefined): undefined {
    this.#prepare(endpoint);
    const options = routingId === undefined ? [] : [{ routingId }];
    calling(() => this.#native.connect(endpoint, ...options), "connect to", endpoint);
    this.#peers.connecting(endpoint);
  }

  disconnect(endpoint: string): void {
    calling(() => this.#native.disconnect(endpoint), "disconnect from", endpoint);
    this.#hasDisconnected = true;
    for (const event of this.#peers.disconnecting(endpoint)) this.#listener.engineOnEvent(event);
  }

  offer(message: OutgoingMessage, memory?: MessageMemory): OfferResult {
    const result = this.#sender.offer(message, memory?.copy === true);
    if (result === OfferResult.Mute) this.#wakeReader();
    return result;
  }

  wantWritable(on: boolean): void {
    if (on) this.#sender.want();
  }

  take(): Buffer[] | undefined {
    return this.#receiver.take();
  }

  discard(): number {
    return this.#receiver.discard();
  }

  wantReadable(max: number): void {
    this.#receiver.want(max > 0);
  }

  get readable(): boolean {
    return this.#receiver.length > 0 || (!this.#closed && !this.#receiver.busy && this.#native.readable);
  }

  get writable(): boolean {
    if (this.#closed) return false;
    const writable = this.#sender.writable;
    this.#wakeReader();
    return writable;
  }

  setOption(name: string, value: unknown): void {
    assertSupported(name, value);
    if (name === "noDrop") this.#setNoDrop(value === true);
    else if (isNativeOption(name)) this.#setNative(name, nativeValue(name, value, this.#options));
    setOption(this.#options, name, value);
    if (name === "heartbeatInterval" && this.#options.heartbeatTimeout === -1)
      this.#setNative("heartbeatTimeout", nativeValue("heartbeatTimeout", -1, this.#options));
    if (name === "sendHighWaterMark") this.#sender.highWaterMark = Number(value);
    else if (name === "receiveHighWaterMark") this.#receiver.highWaterMark = Number(value);
  }

  ref(): void {
    // A program may wait for events before the first endpoint.
    this.#observe();
  }

  /** The monitor holds the process in any case. */
  unref(): void {}

  holdBound(): void {}

  stats(): EngineStats {
    return {
      peers: this.#peers.connected,
      reconnects: undefined,
      queuedIn: this.#receiver.length,
      queuedOut: this.#sender.queued === 0 ? undefined : this.#sender.queued,
    };
  }

  close(linger: number): Promise<EngineCloseResult> {
    this.#closed = true;
    this.#receiver.close();
    return this.#close(linger < 0 && this.#requests ? XSUB_LINGER : linger);
  }

  /** Settles when the native socket is gone. @param linger ms; -1 for no limit */
  #close(linger: number): Promise<EngineCloseResult> {
    const native = this.#native;
    const endpoints = this.#nativeEndpoints;
    const inproc = this.#inproc;
    /** Accepted messages that libzmq never took. */
    const refused = this.#sender.close();
    // A SUB's subscriptions would wait for the next publisher forever.
    native.linger = "sendTimeout" in native ? linger : 0;
    const started = performance.now();
    const bound = endpoints.bound > 0;
    const stopTouching = inproc ? touchUntilDone() : undefined;
    return new Promise((resolve) => {
      let finished = false;
      const finish = (isGone: boolean): void => {
        if (finished) return; // The native socket may end after it is given up.
        finished = true;
        clearTimeout(limit);
        stopTouching?.();
        endpoints.end();
        this.#stopTicking();
        const inTime = linger < 0 ? isGone : linger > 0 && performance.now() - started < linger;
        resolve({ drained: refused === 0 && inTime, discarded: undefined });
      };
      const giveUp = (): void => finish(false);
      const timeout = inproc && (bound || linger < 0) ? INPROC_CLOSE_TIMEOUT : CLOSE_TIMEOUT;
      // Disconnected endpoints keep the linger of that time.
      const bounded = linger >= 0 ? inproc || this.#hasDisconnected : inproc && this.#answers;
      const limit = bounded
        ? setTimeout(giveUp, Math.min(MAX_TIMEOUT, Math.max(0, linger) + timeout))
        : undefined;
      native.close();
      if (this.#gone === undefined) finish(true);
      else void this.#gone.then(() => finish(true));
    });
  }

  touch(): void {
    if (this.#inproc) this.#listen();
  }

  tick(): void {
    if (this.#closed) return;
    this.#listen();
    if (this.#isPublisher) this.#receiver.poll();
  }

  /** Makes libzmq process commands of other threads. */
  #listen(): void {
    if (!this.#closed && !this.#receiver.busy && !this.#sender.waiting) void this.#native.readable;
  }

  /** A check may have consumed a waiting read's edge. */
  #wakeReader(): void {
    if (this.#receiver.busy && !this.#sender.waiting) this.#native.send([]).catch(ignore);
  }

  #setNoDrop(on: boolean): void {
    this.#setNative("noDrop", on);
    this.#sender.mode = on ? "looks" : "drops";
  }

  #setNative(name: string, value: unknown): void {
    if (name === "conflate" && this.#isPublisher) {
      throw new NotSupportedError(
        "The libzmq engine takes the option conflate of Publisher at construction only",
      );
    }
    try {
      (this.#native as unknown as Record<string, unknown>)[name] = value;
    } catch (error) {
      throw error instanceof TypeError
        ? new InvalidArgumentError(`Option ${name}: ${error.message}`, { cause: error })
        : toShoalError(error, `set option ${name}`);
    }
  }

  #senderOnWritable = (): void => {
    this.#listener.engineOnWritable();
  };

  #receiverOnMessage = (): void => {
    this.#listener.engineOnReadable();
  };

  #receiverOnTurn = (): void => {
    this.#sender.turn();
    this.#listener.engineOnReadable();
  };

  /** First byte 1 subscribes and 0 unsubscribes (29/PUBSUB); PUB ignores other messages. */
  #receiverOnSubscription = (): void => {
    for (let message = this.#receiver.take(); message !== undefined; message = this.#receiver.take()) {
      const [frame] = message;
      if (message.length !== 1 || frame === undefined || (frame[0] !== 0 && frame[0] !== 1)) continue;
      this.#listener.engineOnEvent({
        type: frame[0] === 1 ? "subscribe" : "unsubscribe",
        topic: frame.subarray(1),
      });
    }
    // A flood must not starve the event loop.
    setImmediate(() => this.#receiver.poll());
  };

  #prepare(endpoint: string): void {
    if (endpoint.startsWith("inproc:")) this.#inproc = true;
    this.#observe();
  }

  #observe(): void {
    if (this.#closed) return;
    if (this.#gone !== undefined) return;
    this.#gone = startMonitor(this.#shared.native, this.#native, this.#monitorOnEvent);
    this.#stopTicking = startTicking(this);
  }

  #monitorOnEvent = (event: NativeEvent): void => {
    if (event.type === "close" && event.address !== undefined) this.#nativeEndpoints.released(event.address);
    // Until a call into libzmq a bound SUB sends a new peer no subscriptions, and a ROUTER does not know it.
    // Reading `readable` alone would take a waiting read's edge.
    if (event.type === "handshake") this.#listen();
    for (const each of this.#peers.eventsFor(event)) this.#listener.engineOnEvent(each);
    this.#endIfOver(event);
  };

  /** libzmq keeps an endpoint whose only attempt has failed, and one that it knows by another name ("localhost"). */
  #endIfOver({ type, address = "" }: NativeEvent): void {
    const isLast = type === "disconnect" || type === "close";
    if (!isLast || Number(this.#options.reconnectInterval) > 0 || !this.#peers.isConnecting(address)) return;
    try {
      this.#native.linger = 0;
      this.#native.disconnect(address);
    } catch {
      // libzmq has ended it, or the socket is closed.
    }
    if (!this.#closed) this.#native.linger = this.#options.linger;
    this.#listener.engineOnOver?.(address);
  }
}

function noAuthenticate(): NotSupportedError {
  return new NotSupportedError(
    "The libzmq engine has no authenticate: bind a Router of the context to inproc://zeromq.zap.01, which answers libzmq's " +
      "requests (27/ZAP); the zmtp engine has it",
  );
}
