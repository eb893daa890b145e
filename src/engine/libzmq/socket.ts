/**
 * One native socket behind the seam.
 *
 * The native socket has `sendTimeout` and `receiveTimeout` 0, so that its calls
 * settle at once; waiting is done here. Two of its habits are put to use:
 *
 * - Sending a message of no frames sends nothing, but waits until the socket is
 *   writable: that is `wantWritable`.
 * - A ROUTER always runs with `mandatory`, a publisher is an XPUB: so an
 *   unroutable message is known, and so is a subscription. What the program
 *   sees is decided above the seam.
 */
import { inspect } from "node:util";
import type { ShoalError } from "../../core/errors.js";
import { HandshakeError, InvalidArgumentError, NotSupportedError } from "../../core/errors.js";
import { SocketType, type SocketTypeName } from "../../core/socket-type.js";
import {
  type EngineCloseResult,
  type EngineListener,
  type EngineOptions,
  type EngineSocket,
  type EngineStats,
  OfferResult,
  type OutgoingMessage,
  type PeerCredentials,
} from "../engine.js";
import { Endpoints } from "./endpoints.js";
import { toShoalError } from "./errors.js";
import { Monitor } from "./monitor.js";
import type { Native, NativeContext, NativeEvent, NativeSocket } from "./native.js";
import { isNativeOption, nativeOptions, nativeValue } from "./options.js";
import { PeerTable } from "./peers.js";
import { MAX_BATCH, Receiver } from "./receiver.js";
import { startTicking, type Ticking, touchUntilDone } from "./ticker.js";
import type { ZapHandler } from "./zap.js";

/** How long a wait for room stays in native code before it looks again, in ms. */
const WRITABLE_SLICE = 500;
/** Between two looks at an XPUB with `noDrop`, which libzmq always calls writable, in ms. */
const NO_DROP_RETRY = 1;

/** Resources that the sockets of one native context share. */
export interface Shared {
  readonly native: Native;
  readonly context: NativeContext;
  readonly zap: ZapHandler;
  /** Endpoints that sockets of this process are just giving up. */
  readonly releases: Map<string, Promise<void>>;
}

/** What `inspect` makes of a promise that is fulfilled with nothing. */
const SENT = inspect(Promise.resolve(), { depth: 0 });

let zapDomains = 0;

const TYPE_NAMES = Object.fromEntries(
  Object.entries(SocketType).map(([name, type]) => [type, name]),
) as Record<SocketType, SocketTypeName>;

function ignore(): void {}

export class LibzmqSocket implements EngineSocket, Ticking {
  readonly #shared: Shared;
  readonly #native: NativeSocket;
  readonly #listener: EngineListener;
  readonly #options: Record<string, unknown>;
  readonly #peers: PeerTable;
  readonly #receiver: Receiver;
  readonly #endpoints: Endpoints;
  /** Whether the outcome of each send has to be looked at (ROUTER, STREAM, `noDrop`). */
  readonly #outcomes: boolean;
  /** A publisher never waits: what does not fit is dropped by libzmq, for that peer. */
  readonly #lossy: boolean;
  /** PUB opened as XPUB, whose received messages are subscriptions. */
  readonly #subscriptions: boolean;
  readonly #zapDomain: string | undefined;
  #monitor: Monitor | undefined;
  #stopTicking: () => void = ignore;
  #held = false;
  #inproc = false;
  #wantsWritable = false;
  #closed = false;
  #ended: (() => void) | undefined;

  constructor(shared: Shared, type: SocketType, options: EngineOptions, listener: EngineListener) {
    this.#shared = shared;
    this.#listener = listener;
    this.#options = { ...options };
    const publishes = type === SocketType.Publisher || type === SocketType.XPublisher;
    const noDrop = publishes && options.noDrop === true;
    const routes = type === SocketType.Router || type === SocketType.Stream;
    this.#outcomes = noDrop || routes;
    this.#lossy = (publishes && !noDrop) || type === SocketType.XSubscriber;
    this.#subscriptions = type === SocketType.Publisher && options.conflate !== true;

    const chosen = nativeOptions(options);
    if (this.#subscriptions) chosen.verbosity = "allSubsUnsubs";
    if (noDrop) chosen.noDrop = true;
    if (type === SocketType.Router) chosen.mandatory = true;
    const authenticate = listener.engineAuthenticate;
    this.#zapDomain = authenticate === undefined ? undefined : `shoal-${++zapDomains}`;
    const domain = this.#zapDomain ?? options.zapDomain;
    if (typeof domain === "string") chosen.zapDomain = domain;

    const NativeClass = shared.native[this.#subscriptions ? "XPublisher" : TYPE_NAMES[type]];
    for (const name of ["sendTimeout", "receiveTimeout"]) if (name in NativeClass.prototype) chosen[name] = 0;
    try {
      this.#native = new NativeClass({ ...chosen, context: shared.context });
    } catch (error) {
      throw toShoalError(error, "open a socket");
    }
    if (authenticate !== undefined && this.#zapDomain !== undefined) {
      try {
        shared.zap.register(this.#zapDomain, (peer) => this.#authenticate(authenticate, peer));
      } catch (error) {
        this.#native.close();
        throw error;
      }
    }
    const readAhead = type === SocketType.Request || type === SocketType.Reply ? 1 : MAX_BATCH;
    const highWaterMark = Number(options.receiveHighWaterMark ?? 0);
    this.#receiver = new Receiver(
      this.#native,
      highWaterMark > 0 ? Math.min(readAhead, highWaterMark) : readAhead,
      this.#subscriptions ? this.#receiverOnSubscription : this.#receiverOnMessage,
    );
    this.#peers = new PeerTable();
    this.#endpoints = new Endpoints(this.#native, shared.releases);
  }

  async bind(endpoint: string): Promise<string> {
    this.#startMonitor(endpoint);
    const resolved = await this.#endpoints.bind(endpoint);
    this.#updateHold();
    return resolved;
  }

  bindSync(endpoint: string): string {
    this.#startMonitor(endpoint);
    const resolved = this.#endpoints.bindSync(endpoint);
    this.#updateHold();
    return resolved;
  }

  async unbind(endpoint: string): Promise<void> {
    this.#monitor?.hold(true);
    try {
      await this.#endpoints.unbind(endpoint);
    } finally {
      this.#updateHold();
    }
  }

  connect(endpoint: string, routingId: string | undefined): void {
    this.#startMonitor(endpoint);
    try {
      if (routingId === undefined) this.#native.connect(endpoint);
      else this.#native.connect(endpoint, { routingId });
    } catch (error) {
      throw toShoalError(error, "connect to", endpoint);
    }
    this.#peers.connecting(endpoint);
  }

  disconnect(endpoint: string): void {
    try {
      this.#native.disconnect(endpoint);
    } catch (error) {
      throw toShoalError(error, "disconnect from", endpoint);
    }
    for (const event of this.#peers.disconnecting(endpoint)) this.#listener.engineOnEvent(event);
  }

  offer(message: OutgoingMessage): OfferResult {
    const native = this.#native;
    if (this.#outcomes) return this.#offerAndLook(message);
    if (!this.#lossy && (this.#wantsWritable || !native.writable)) return OfferResult.Mute;
    native.send(message).catch(ignore);
    return OfferResult.Accepted;
  }

  wantWritable(): void {
    if (this.#wantsWritable || this.#closed) return;
    this.#wantsWritable = true;
    if (this.#outcomes) {
      setTimeout(this.#nativeOnWritable, NO_DROP_RETRY);
      return;
    }
    this.#native.sendTimeout = WRITABLE_SLICE;
    this.#native.send([]).then(this.#nativeOnWritable, this.#nativeOnWritable);
    this.#native.sendTimeout = 0;
  }

  take(): Buffer[] | undefined {
    return this.#subscriptions ? undefined : this.#receiver.take();
  }

  discard(): number {
    return this.#receiver.discard();
  }

  wantReadable(max: number): void {
    this.#receiver.want(max > 0);
  }

  get readable(): boolean {
    return !this.#subscriptions && (this.#receiver.length > 0 || (!this.#closed && this.#native.readable));
  }

  get writable(): boolean {
    return !this.#closed && this.#native.writable;
  }

  subscribe(prefix: Uint8Array | string): void {
    this.#native.subscribe(prefix);
  }

  unsubscribe(prefix: Uint8Array | string): void {
    this.#native.unsubscribe(prefix);
  }

  setOption(name: string, value: unknown): void {
    this.#options[name] = value;
    if (!isNativeOption(name)) {
      if (name === "noDrop" || name === "zapDomain") {
        throw new NotSupportedError(`The libzmq engine takes the option ${name} at construction only`);
      }
      return;
    }
    try {
      (this.#native as unknown as Record<string, unknown>)[name] = nativeValue(name, value, this.#options);
    } catch (error) {
      throw error instanceof TypeError
        ? new InvalidArgumentError(`Option ${name}: ${error.message}`, { cause: error })
        : toShoalError(error, `set option ${name}`);
    }
  }

  hold(on: boolean): void {
    this.#held = on;
    this.#updateHold();
    if (this.#subscriptions) this.#receiver.want(on);
  }

  stats(): EngineStats {
    return {
      peers: this.#peers.connected,
      reconnects: this.#peers.reconnects,
      queuedIn: this.#subscriptions ? 0 : this.#receiver.length,
      queuedOut: undefined,
    };
  }

  close(linger: number): Promise<EngineCloseResult> {
    this.#closed = true;
    this.#receiver.close();
    if (this.#zapDomain !== undefined) this.#shared.zap.unregister(this.#zapDomain);
    this.#native.linger = linger;
    const started = performance.now();
    return new Promise((resolve) => {
      const finish = (): void => {
        this.#stopTicking();
        stopTouching();
        released();
        const drained = linger < 0 || (linger > 0 && performance.now() - started < linger);
        resolve({ drained, discarded: undefined });
      };
      const released = this.#endpoints.releaseAll();
      const stopTouching = this.#inproc ? touchUntilDone() : ignore;
      if (this.#monitor === undefined) {
        this.#native.close();
        finish();
        return;
      }
      this.#ended = finish;
      this.#monitor.finish();
      this.#native.close();
    });
  }

  touch(): void {
    if (!this.#closed && this.#inproc) void this.#native.readable;
  }

  tick(): void {
    if (this.#closed) return;
    this.touch();
    this.#monitor?.tick();
    if (this.#subscriptions) this.#receiver.poll();
  }

  #offerAndLook(message: OutgoingMessage): OfferResult {
    const sent = this.#native.send(message);
    // The promise is settled already; `inspect` is the only way to see that without waiting (0.8 µs).
    if (inspect(sent, { depth: 0 }) === SENT) return OfferResult.Accepted;
    sent.catch(ignore);
    if (inspect(sent, { depth: 2 }).includes("EHOSTUNREACH")) return OfferResult.Unroutable;
    return this.#lossy || this.#options.noDrop === true ? OfferResult.Mute : OfferResult.PeerFull;
  }

  #nativeOnWritable = (): void => {
    this.#wantsWritable = false;
    if (!this.#closed) this.#listener.engineOnWritable();
  };

  #receiverOnMessage = (): void => {
    this.#listener.engineOnReadable();
  };

  /** XPUB: a first byte 1 subscribes, 0 unsubscribes (29/PUBSUB); anything else PUB ignores. */
  #receiverOnSubscription = (): void => {
    for (let message = this.#receiver.take(); message !== undefined; message = this.#receiver.take()) {
      const [frame] = message;
      if (message.length !== 1 || frame === undefined || (frame[0] !== 0 && frame[0] !== 1)) continue;
      this.#listener.engineOnEvent({
        type: frame[0] === 1 ? "subscribe" : "unsubscribe",
        topic: frame.subarray(1),
      });
    }
    if (this.#held) this.#receiver.want(true);
  };

  #startMonitor(endpoint: string): void {
    if (endpoint.startsWith("inproc:")) this.#inproc = true;
    if (this.#monitor !== undefined) return;
    this.#monitor = new Monitor(this.#shared.native, this.#native, this.#monitorOnEvent, this.#monitorOnEnd);
    this.#stopTicking = startTicking(this);
    this.#updateHold();
  }

  #updateHold(): void {
    this.#monitor?.hold(this.#held || this.#endpoints.bound > 0 || this.#closed);
  }

  #monitorOnEvent = (event: NativeEvent): void => {
    if (event.type === "close" && event.address !== undefined) this.#endpoints.released(event.address);
    for (const heard of this.#peers.hear(event)) this.#listener.engineOnEvent(heard);
  };

  #monitorOnEnd = (): void => {
    this.#ended?.();
  };

  async #authenticate(
    judge: (peer: PeerCredentials) => Promise<boolean>,
    peer: PeerCredentials,
  ): Promise<boolean> {
    const domain = this.#options.zapDomain;
    const seen: PeerCredentials = { ...peer, domain: typeof domain === "string" ? domain : "" };
    let cause: unknown;
    try {
      if (await judge(seen)) return true;
    } catch (error) {
      cause = error;
    }
    const error: ShoalError = new HandshakeError(
      "ERR_AUTHENTICATION",
      `Refused a ${peer.mechanism} peer from ${peer.address}`,
      { status: 400, endpoint: peer.address, cause },
    );
    this.#listener.engineOnEvent({
      type: "peer:refused",
      address: peer.address,
      mechanism: peer.mechanism,
      error: error as HandshakeError,
    });
    return false;
  }
}
