/**
 * What stands behind every socket: the engine's socket, the two queues, the
 * events, the counters, and the life-cycle.
 *
 *            close()                    engine done
 *   open ---------------> closing -----------------------> closed
 *           receives end,          linger: what `send` was given
 *           sends refused          leaves, what waits for room, too
 */
import { isBytes } from "../core/bytes.js";
import { ClosedError, InvalidArgumentError, InvalidStateError, type ShoalError } from "../core/errors.js";
import { MAX_FRAMES } from "../core/frame-cost.js";
import { OPTIONS, type OptionName, type OptionSpec, type OptionValues } from "../core/option-table.js";
import { setOption } from "../core/option-values.js";
import { SocketType, type SocketTypeName } from "../core/socket-type.js";
import { withTimeout } from "../core/waiter.js";
import type {
  EngineListener,
  EngineSocket,
  OutgoingFrame,
  OutgoingMessage,
  PeerCredentials,
} from "../engine/engine.js";
import {
  type DropReason,
  ENGINE_DROP_REASONS,
  type InvalidReason,
  type SocketEvent,
} from "../engine/events.js";
import { Calls } from "./calls.js";
import type { Context } from "./context.js";
import { Inbox, type InboxRules } from "./inbox.js";
import { READINESS, SENDS_MANY, TRANSFERS } from "./leases.js";
import { byteLengthOf } from "./message.js";
import { DEBUG, isReceiveObserved, logEvent, OBSERVABLE, observeReceive } from "./observation.js";
import { checkOption, owned, readableOptions, resolveOptions } from "./options.js";
import { Outbox, type OutboxRules } from "./outbox.js";
import type { Readiness } from "./readiness.js";
import type { SendRuns } from "./send-runs.js";
import { FRAMES, type MessageShape } from "./shape.js";
import { SocketEndpoints } from "./socket-endpoints.js";
import { SocketEvents } from "./socket-events.js";
import type { Authenticate } from "./socket-options.js";
import { isLasting, REPORT_AFTER, warnOfStall } from "./stalls.js";
import { Counters, type SocketStats } from "./stats.js";
import { TransferLane } from "./transfer-lane.js";

/** @internal The way to a socket's inner works for its own methods. */
export const CORE: unique symbol = Symbol("shoal.core");

/** @internal Every socket, as what its methods are made of sees it. */
export interface HasCore {
  readonly [CORE]: SocketCore;
}

/** How a socket's closing went, in messages that `send` or `trySend` was given. */
export interface CloseResult {
  /** Messages that left, over the socket's whole life. */
  readonly flushed: number;
  /** Messages that were refused or thrown away because the socket closed. */
  readonly discarded: number;
  /** Messages whose fate the engine does not know: it ran out of linger and does not count what it throws away. */
  readonly unknown: number;
}

const FAN_OUT: readonly SocketTypeName[] = ["Publisher", "XPublisher", "XSubscriber", "Radio"];
/** Types whose messages begin with the peer they are for. */
const ROUTES: readonly SocketTypeName[] = ["Router", "Stream", "Server", "Peer"];
/** Those of them that refuse a message with an error where no peer takes it. */
const MANDATORY: readonly SocketTypeName[] = ["Stream", "Server", "Peer"];

/**
 * Frames that a program may send in a message: its peer takes them, with those that a REQ, which may correlate, and a REP put in front,
 * and without the id of the peer. A message that has come may be sent back.
 */
function mostFramesOf(type: SocketTypeName): number {
  if (type === "Request") return MAX_FRAMES - 2;
  if (type === "Reply") return MAX_FRAMES - 1;
  return ROUTES.includes(type) ? MAX_FRAMES + 1 : MAX_FRAMES;
}

export class SocketCore implements EngineListener, OutboxRules, InboxRules<unknown> {
  /**
   * The socket, for those who observe it (observation.ts); its constructor sets it. Weak: what this core is held by, such as a
   * connection that is tried again, must not hold a socket that the program has forgotten.
   */
  declare owner: WeakRef<object>;
  readonly typeName: SocketTypeName;
  readonly context: Context;
  readonly engine: EngineSocket;
  readonly counters = new Counters();
  /** Whether a call of `request` has the socket: any other send or receive is out of turn then. */
  reserved = false;
  /** Calls of several steps that have not ended. */
  readonly calls = new Calls();
  readonly events: SocketEvents;
  readonly endpoints: SocketEndpoints;
  readonly outbox: Outbox;
  readonly inbox: Inbox<unknown>;
  /** Another than the program's where a policy authenticates peers, too. */
  engineAuthenticate: ((peer: PeerCredentials) => Promise<boolean>) | undefined;
  /** The engine has the same object, and the transports read it. */
  readonly #options: OptionValues;
  /** The engine's `replyLost` may be true now (Request). */
  onReplyLost: (() => void) | undefined = undefined;
  /** For what passes messages on without calls for each, which makes them (relay.ts). */
  readable: Readiness | undefined = undefined;
  writable: Readiness | undefined = undefined;
  /** Of sockets whose frames may pass as they are; a constant decides, so that a page's build has none of it. */
  declare readonly lane: TransferLane | undefined;
  /** Calls of `sendMany` that wait for room, once there was one; likewise. */
  declare runs: SendRuns | undefined;
  readonly #shape: MessageShape;
  /** REQ and REP. */
  readonly #takesTurns: boolean;
  /** What had been sent when the last message was received: REQ and REP have sent since, or their turn is to send. */
  #deliveredAtTake: number;
  /** Bytes of a message that may be sent, where the context sets a limit. */
  #largest: number | undefined;
  /** Frames of a message that the program may send: those of one that each peer takes. */
  #mostFrames: number;
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
    const defaults = context.socketDefaults();
    this.#options = resolveOptions(type, given, defaults);
    this.#largest = defaults.maxMessageSize;
    this.#mostFrames = mostFramesOf(type);
    if (authenticate !== undefined && typeof authenticate !== "function") {
      throw new InvalidArgumentError(`Option authenticate must be a function; got ${typeof authenticate}`);
    }
    this.engineAuthenticate =
      authenticate === undefined ? undefined : async (peer) => (await authenticate(peer)) === true;
    this.engine = context.open().open(SocketType[type], this.#options, this);
    this.events = new SocketEvents(
      (held) => {
        if (this.closed) return;
        if (held) this.engine.eventLoop.ref();
        else this.engine.eventLoop.unref();
      },
      (endpoint, error) => this.#stalled(endpoint, error),
    );
    if (OBSERVABLE && DEBUG.enabled) this.events.listen((event) => logEvent(this, type, event));
    this.endpoints = new SocketEndpoints(
      type,
      this.engine.endpoints,
      context.load().capabilities,
      this.#options,
      () => this.assertOpen(),
      (event) => {
        if (event.type === "endpoint:refused") this.counters.endpointsRefused += 1;
        this.events.emit(event);
      },
      (endpoint) => this.events.forget(endpoint),
    );
    this.#deliveredAtTake = type === "Reply" ? -1 : 0; // A REP begins with receiving, a REQ with sending.
    this.#takesTurns = type === "Request" || type === "Reply";
    this.outbox = new Outbox(this.engine, this, this.counters);
    this.inbox = new Inbox<unknown>(this.engine, this, this.counters);
    if (SENDS_MANY) this.runs = undefined;
    if (TRANSFERS) this.lane = this.#findLane();
  }

  // What the queues ask (OutboxRules, InboxRules): the options again at each use, since a program may change them at any time.
  // Of the socket itself, since an object with accessors of its own is a shape of its own to V8.

  get sendTimeout(): number {
    return this.#options.sendTimeout;
  }

  get maxPendingSends(): number {
    return this.#options.maxPendingSends;
  }

  get maxPendingSendBytes(): number {
    return this.#options.maxPendingSendBytes;
  }

  get mandatory(): boolean {
    return this.#options.mandatory || MANDATORY.includes(this.typeName);
  }

  get sendsOutOfTurn(): boolean {
    return this.#takesTurns && this.#mustReceive && this.inbox.waiting === 0;
  }

  get receiveTimeout(): number {
    return this.#options.receiveTimeout;
  }

  get maxPendingReceives(): number {
    return this.#options.maxPendingReceives;
  }

  get receivesOutOfTurn(): boolean {
    return this.#takesTurns && this.#mustSend && this.outbox.waiting === 0;
  }

  get isPlain(): boolean {
    return !this.#takesTurns && this.#shape === FRAMES && !(OBSERVABLE && isReceiveObserved());
  }

  decode(frames: Buffer[], delivered: number): unknown {
    this.#deliveredAtTake = delivered;
    const message = this.#shape.decode(frames, this.#invalid);
    if (OBSERVABLE && isReceiveObserved() && message !== undefined) {
      const socket = this.owner.deref();
      if (socket !== undefined) observeReceive(socket, this.typeName, frames, message);
    }
    return message;
  }

  #findLane(): TransferLane | undefined {
    const { framePassing } = this.engine;
    if (!TRANSFERS || framePassing === undefined || this.#shape !== FRAMES) return undefined;
    return new TransferLane(framePassing, this.outbox, this.counters, this.#largest);
  }

  /** REQ and REP: whether the next call has to be a send. */
  get #mustSend(): boolean {
    return this.counters.delivered === this.#deliveredAtTake;
  }

  /** REQ and REP: whether it has to be a receive; a relaxed REQ may send again. */
  get #mustReceive(): boolean {
    return !this.#mustSend && !(this.typeName === "Request" && this.#options.relaxed);
  }

  /** Whether a message goes to any number of peers. */
  get #fansOut(): boolean {
    return FAN_OUT.includes(this.typeName);
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  get #mayFindPeers(): boolean {
    return this.endpoints.any || (this.engine.stats().peers ?? 0) > 0;
  }

  /** For people to read: no secrets. */
  describe(): Readonly<Record<string, unknown>> {
    if (!OBSERVABLE) return {}; // A page has no util.inspect, which alone asks.
    const options = readableOptions(this.#options);
    return { ...this.endpoints.all, closed: this.closed, options };
  }

  getOption(name: string): unknown {
    return this.#options[name as OptionName];
  }

  setOption(name: string, value: unknown): void {
    this.assertOpen();
    checkOption(this.typeName, name, value);
    const own = owned(value);
    if ((OPTIONS[name as OptionName] as OptionSpec).local !== true) this.engine.setOption(name, own);
    else setOption(this.#options, name, own);
  }

  /** What it sends may be larger than the context's `maxMessageSize` from now on. */
  forward(): void {
    this.#largest = undefined;
    this.#mostFrames = Number.POSITIVE_INFINITY;
  }

  encode(value: unknown): OutgoingMessage {
    this.assertOpen();
    const message = this.#shape.encode(value);
    if (Array.isArray(message) && message.length > this.#mostFrames) {
      throw new InvalidArgumentError(
        `A message must have at most ${this.#mostFrames} frames; got ${message.length}`,
      );
    }
    if (this.#largest !== undefined && this.#sizeOf(message) > this.#largest) {
      throw new InvalidArgumentError(
        `A message has at most ${this.#largest} bytes (maxMessageSize of the context); got ${this.#sizeOf(message)}`,
      );
    }
    return message;
  }

  /** Bytes for the peer: the frame with its id stays here. */
  #sizeOf(message: OutgoingMessage): number {
    const hasId = ROUTES.includes(this.typeName) && Array.isArray(message);
    return byteLengthOf(message) - (hasId ? byteLengthOf(message[0] as OutgoingFrame) : 0);
  }

  stats(): SocketStats {
    const counters = this.counters;
    const engine = this.engine.stats();
    const queuedOut = engine.queuedOut ?? 0;
    // What an engine counts for a socket that sends to many is copies, one for each peer.
    const own = this.#fansOut ? 0 : 1;
    const dropped = { ...counters.dropped };
    let lost = 0;
    for (const reason of ENGINE_DROP_REASONS) {
      const messages = engine.dropped?.[reason] ?? 0;
      lost += messages;
      dropped[reason] += own * messages;
    }
    return {
      sent: counters.sent,
      bytesSent: counters.bytesSent,
      delivered: counters.delivered - own * (queuedOut + lost),
      queued: this.outbox.waiting + own * queuedOut,
      dropped,
      copies: this.#fansOut
        ? {
            queued: engine.queuedOut,
            dropped: engine.dropped === undefined ? undefined : lost,
          }
        : undefined,
      received: counters.received,
      bytesReceived: counters.bytesReceived,
      receiveQueued: engine.queuedIn,
      invalid: {
        ...counters.invalid,
        frames: counters.invalid.frames + (engine.invalid ?? 0),
        full: engine.overflowed ?? 0,
        tooLarge: engine.tooLarge ?? 0,
      },
      late: counters.late + (engine.late ?? 0),
      pendingSends: this.outbox.waiting,
      pendingReceives: this.inbox.waiting,
      peers: engine.peers,
      reconnects: engine.reconnects,
      endpointsRefused: counters.endpointsRefused,
      eventsLost: this.events.lost,
    };
  }

  /** `delivered` of `stats()`, alone: each socket asks for it at its end. */
  #handedOn(): number {
    const { delivered } = this.counters;
    if (this.#fansOut) return delivered;
    const { queuedOut = 0, dropped } = this.engine.stats();
    let lost = 0;
    if (dropped !== undefined) for (const reason of ENGINE_DROP_REASONS) lost += dropped[reason];
    return delivered - queuedOut - lost;
  }

  close(linger: number | undefined): Promise<CloseResult> {
    this.#closing ??= this.#close(linger);
    return this.#closing;
  }

  /**
   * Before a send or receive of the program's own.
   *
   * @throws ClosedError `EBADF`; InvalidStateError `EFSM` while a call of `request` has the socket
   */
  assertFree(): void {
    this.assertOpen();
    if (this.reserved)
      throw new InvalidStateError(
        "EFSM",
        "A call of request() has this socket: what is sent and received now is its own",
      );
  }

  assertOpen(): void {
    if (this.closed) throw new ClosedError("EBADF", `The ${this.typeName} socket is closed`);
  }

  get isRoomAwaited(): boolean {
    return READINESS && this.writable?.isAwaited === true;
  }

  engineOnReadable(): void {
    this.inbox.pump();
    if (READINESS) this.readable?.notify();
  }

  engineOnReplyLost(): void {
    this.onReplyLost?.();
  }

  engineOnWritable(): void {
    this.outbox.pump();
    if (READINESS) this.writable?.notify();
  }

  engineOnEvent(event: SocketEvent): void {
    this.events.emit(event);
  }

  /** Messages that have not left, those that wait for room included. */
  get #unsent(): number {
    const { queuedOut = 0 } = this.engine.stats();
    return queuedOut + ((SENDS_MANY && this.runs) || this.outbox).waiting;
  }

  /** An endpoint has failed for a while, and the program listens to no event that says so. */
  #stalled(endpoint: string, error: ShoalError): void {
    if (this.endpoints.isBound(endpoint)) return;
    if (this.#unsent > 0) warnOfStall(`${this.typeName} has messages that wait to be sent`, endpoint, error);
    else if (this.inbox.waiting > 0 && isLasting(error))
      warnOfStall(`${this.typeName} waits for messages`, endpoint, error);
  }

  /** `close` has waited for a while. */
  #closingStalled(): void {
    if ((this.engine.stats().peers ?? 0) > 0 || this.#unsent === 0 || this.events.hearsFailures) return;
    const { bound, connected } = this.endpoints.all;
    const at = connected.length > 0 ? connected : bound;
    warnOfStall(
      `close() of ${this.typeName} waits for its messages to leave`,
      at.join(", "),
      this.events.lastFailure,
    );
  }

  async #close(given: number | undefined): Promise<CloseResult> {
    const linger = given ?? this.#options.linger;
    if (linger >= 0 && linger <= REPORT_AFTER) return this.#closeWithin(given);
    const timer = setTimeout(() => this.#closingStalled(), REPORT_AFTER);
    timer.unref?.();
    try {
      return await this.#closeWithin(given);
    } finally {
      clearTimeout(timer);
    }
  }

  async #closeWithin(given: number | undefined): Promise<CloseResult> {
    // Everything up to the first await happens within the call, as in the package zeromq.
    const linger = given ?? this.#options.linger;
    const started = performance.now();
    this.endpoints.end();
    this.inbox.abandon();
    if (READINESS) {
      this.readable?.abandon();
      this.writable?.abandon();
    }
    this.events.abandon();
    this.calls.abandon();
    // The engine still listens and dials meanwhile: without a peer, and a way to one, no room can come about.
    const sends = (SENDS_MANY && this.runs) || this.outbox;
    if (linger !== 0 && sends.waiting > 0 && this.#mayFindPeers) {
      await withTimeout(sends.drained(), linger);
    }
    const refused = sends.abandon();
    const left = linger < 0 ? linger : Math.max(0, Math.round(linger - (performance.now() - started)));
    const result = await this.engine.close(left);
    // A page's build does without the second way to count.
    const delivered = OBSERVABLE ? this.#handedOn() : this.stats().delivered;
    const unknown = result.drained || result.discarded !== undefined ? 0 : delivered;
    const discarded = Math.min(result.discarded ?? 0, delivered);
    this.counters.delivered -= discarded;
    this.counters.dropped.closed += discarded;
    for (const messages of [discarded, refused]) {
      if (messages > 0) this.events.emit({ type: "drop", reason: "closed", messages });
    }
    this.events.end();
    return { flushed: delivered - unknown - discarded, discarded: discarded + refused, unknown };
  }

  /** Reports a message that was dropped; its count is the caller's. */
  dropped(reason: DropReason, message: OutgoingMessage): void {
    const routes = ROUTES.includes(this.typeName);
    const first = routes && typeof message !== "string" && !isBytes(message) ? message[0] : undefined;
    this.events.emit({
      type: "drop",
      reason,
      messages: 1,
      ...(first === undefined ? {} : { routingId: Buffer.from(first as Uint8Array) }),
    });
  }

  #invalid = (reason: InvalidReason, error: ClosedError): void => {
    this.counters.invalid[reason] += 1;
    // A listener may receive, abort or close, which must not happen in the middle of a receive.
    queueMicrotask(() => this.events.emit({ type: "invalid", reason, error }));
  };
}
