/**
 * The core of every socket: the engine's socket, queues, events, counters and life-cycle.
 *
 *            close()                    engine done
 *   open ---------------> closing -----------------------> closed
 *           receives end,          linger: what `send` was given
 *           sends refused          leaves, what waits for room, too
 */
import { isBytes } from "../core/bytes.js";
import { DEBUG, IS_DEBUG } from "../core/diagnostics.js";
import { ClosedError, InvalidArgumentError, InvalidStateError, type ShoalError } from "../core/errors.js";
import { MAX_FRAMES } from "../core/memory.js";
import {
  OPTIONS,
  type OptionName,
  type OptionSpec,
  type OptionValues,
  setOption,
} from "../core/option-table.js";
import { SocketType, type SocketTypeName } from "../core/socket-type.js";
import { IdleWaits, ignore, Once, runCall, withTimeout } from "../core/waiter.js";
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
import { checkOption, owned, resolveOptions } from "./check-options.js";
import type { Context } from "./context.js";
import { Inbox, type InboxRules } from "./inbox.js";
import { byteLengthOf, FRAMES, type MessageShape } from "./message.js";
import { Outbox, type OutboxRules } from "./outbox.js";
import { SocketEndpoints } from "./socket-endpoints.js";
import { SocketEvents } from "./socket-events.js";
import type { Authenticate } from "./socket-options.js";
import { isStalled, LOOK_EVERY, STALLED_AFTER, warnOfStall } from "./stalls.js";
import { Counters, type SocketStats } from "./stats.js";

/** @internal For a socket's own methods. */
export const CORE: unique symbol = Symbol("shoal.core");

/** @internal */
export interface HasCore {
  readonly [CORE]: SocketCore;
}

/** Result of closing, in messages given to `send` or `trySend`. */
export interface CloseResult {
  /** Messages sent over the socket's whole life. */
  readonly flushed: number;
  /** Refused or discarded because the socket closed. */
  readonly discarded: number;
  /** Messages of unknown fate: the linger ended, and the engine does not count discarded ones. */
  readonly unknown: number;
}

const FAN_OUT: readonly SocketTypeName[] = ["Publisher", "XPublisher", "XSubscriber", "Radio"];
/** Types whose messages begin with the receiver. */
const ROUTES: readonly SocketTypeName[] = ["Router", "Stream", "Server", "Peer"];
const MANDATORY: readonly SocketTypeName[] = ["Stream", "Server", "Peer"];

/**
 * Frames of the program's messages. Peers count frames added by REQ and REP, but not the peer's id, so a received
 * message can be sent back.
 */
function mostFramesOf(type: SocketTypeName): number {
  if (type === "Request") return MAX_FRAMES - 2;
  if (type === "Reply") return MAX_FRAMES - 1;
  return ROUTES.includes(type) ? MAX_FRAMES + 1 : MAX_FRAMES;
}

function logEvent(socketType: string, event: SocketEvent): void {
  const { type, ...details } = { error: undefined, ...event };
  DEBUG("%s %s %j", socketType, type, { ...details, error: details.error?.message });
}

export class SocketCore implements EngineListener, OutboxRules, InboxRules<unknown> {
  readonly typeName: SocketTypeName;
  readonly context: Context;
  /** Its `maxSockets` counts this socket. */
  readonly #counting: Context;
  readonly engine: EngineSocket;
  readonly counters = new Counters();
  /** A call of `request` has the socket. */
  reserved = false;
  readonly events: SocketEvents;
  readonly endpoints: SocketEndpoints;
  readonly outbox: Outbox;
  readonly inbox: Inbox<unknown>;
  /** Includes a policy's check. */
  engineAuthenticate: ((peer: PeerCredentials) => Promise<boolean>) | undefined;
  /** Programs change them at any time. */
  readonly options: OptionValues;
  /** A Request sets it: `replyLost` may be true. */
  engineOnReplyLost: () => void = ignore;
  /** Relays that wait for messages or room; they end at close, too. */
  readonly readable = new IdleWaits();
  readonly writable = new IdleWaits();
  /** Patterns replace it (internal.ts). */
  shape: MessageShape;
  readonly #takesTurns: boolean;
  /** `counters.delivered` at the last receive: the turn of REQ and REP. */
  #deliveredAtTake: number;
  /** The context's limit, in bytes. */
  #largest: number | undefined;
  #mostFrames: number;
  readonly #closing = new Once<CloseResult>();
  #silence: NodeJS.Timeout | undefined = undefined;

  constructor(
    type: SocketTypeName,
    context: Context,
    given: Readonly<Record<string, unknown>>,
    shape: MessageShape,
    authenticate: Authenticate | undefined,
  ) {
    this.typeName = type;
    this.context = context;
    this.shape = shape;
    const defaults = context.socketDefaults();
    this.options = resolveOptions(type, given, defaults);
    this.#largest = defaults.maxMessageSize;
    this.#mostFrames = mostFramesOf(type);
    if (authenticate !== undefined && typeof authenticate !== "function") {
      throw new InvalidArgumentError(`Option authenticate must be a function; got ${typeof authenticate}`);
    }
    this.engineAuthenticate =
      authenticate === undefined ? undefined : async (peer) => (await authenticate(peer)) === true;
    this.#counting = context.actual;
    this.engine = this.#counting.openSocket(SocketType[type], this.options, this);
    this.events = new SocketEvents(
      (held) => {
        if (this.closed) return;
        if (held) this.engine.eventLoop.ref();
        else this.engine.eventLoop.unref();
      },
      (endpoint, error, isFirst) => this.#failed(endpoint, error, isFirst),
    );
    if (IS_DEBUG) this.events.listen((event) => logEvent(type, event));
    this.endpoints = new SocketEndpoints(this, context.load());
    this.#deliveredAtTake = type === "Reply" ? -1 : 0;
    this.#takesTurns = type === "Request" || type === "Reply";
    this.outbox = new Outbox(this.engine, this, this.counters);
    this.inbox = new Inbox<unknown>(this.engine, this, this.counters);
  }

  get mandatory(): boolean {
    return this.options.mandatory || MANDATORY.includes(this.typeName);
  }

  get sendsOutOfTurn(): boolean {
    return this.#takesTurns && this.#mustReceive && this.inbox.waiting === 0;
  }

  get receivesOutOfTurn(): boolean {
    return this.#takesTurns && this.#mustSend && this.outbox.waiting === 0;
  }

  get isPlain(): boolean {
    return !this.#takesTurns && this.shape === FRAMES;
  }

  decode(frames: Buffer[], delivered: number): unknown {
    this.#deliveredAtTake = delivered;
    return this.shape.decode(frames, this.#invalid);
  }

  /** Whether a REQ or REP must send next. */
  get #mustSend(): boolean {
    return this.counters.delivered === this.#deliveredAtTake;
  }

  /** Whether a REQ or REP must receive next; a relaxed REQ may send again. */
  get #mustReceive(): boolean {
    return !this.#mustSend && !(this.typeName === "Request" && this.options.relaxed);
  }

  get closed(): boolean {
    return this.#closing.promise !== undefined;
  }

  get #mayFindPeers(): boolean {
    return this.endpoints.any || (this.engine.stats().peers ?? 0) > 0;
  }

  setOption(name: string, value: unknown): void {
    this.assertOpen();
    checkOption(this.typeName, name, value);
    const own = owned(value);
    const spec: OptionSpec = OPTIONS[name as OptionName];
    const attached = this.endpoints.any || this.endpoints.settling > 0;
    if (spec.local !== true) this.engine.setOption(name, own, attached);
    else setOption(this.options, name, own);
  }

  forward(): void {
    this.#largest = undefined;
    this.#mostFrames = Number.POSITIVE_INFINITY;
  }

  encode(value: unknown): OutgoingMessage {
    const message = this.shape.encode(value);
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
    this.assertOpen(); // A codec may have closed it.
    return message;
  }

  #sizeOf(message: OutgoingMessage): number {
    const hasId = ROUTES.includes(this.typeName) && Array.isArray(message);
    return byteLengthOf(message) - (hasId ? byteLengthOf(message[0] as OutgoingFrame) : 0);
  }

  stats(): SocketStats {
    const counters = this.counters;
    const engine = this.engine.stats();
    const queuedOut = engine.queuedOut ?? 0;
    // Engines count one copy per peer for sockets that fan out.
    const fansOut = FAN_OUT.includes(this.typeName);
    const own = fansOut ? 0 : 1;
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
      copies: fansOut
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

  close(linger: number | undefined): Promise<CloseResult> {
    return this.#closing.call(() => this.#close(linger));
  }

  run<T>(steps: () => Promise<T>): Promise<T> {
    const wasClosed = this.closed;
    return runCall(() => this.closed && !wasClosed, steps);
  }

  /** @throws ClosedError `EBADF`; InvalidStateError `EFSM` while a call of `request` has the socket */
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
    return this.writable.isAwaited;
  }

  /** Settles when there may be messages, after none, or at close. */
  whenReadable(): Promise<void> {
    const isReadable = this.readable.wait(this.closed);
    if (!this.closed) this.engine.wantReadable(1);
    return isReadable;
  }

  /** Settles when there may be room, after a message that had none, or at close. */
  whenWritable(): Promise<void> {
    const isWritable = this.writable.wait(this.closed);
    if (!this.closed) this.engine.wantWritable(true);
    return isWritable;
  }

  engineOnReadable(): void {
    this.inbox.pump();
    this.readable.end();
  }

  engineOnOver(endpoint: string): void {
    this.endpoints.over(endpoint);
    this.#endIfAlone();
  }

  engineOnWritable(): void {
    this.outbox.pump();
    this.writable.end();
  }

  engineOnEvent(event: SocketEvent): void {
    this.events.emit(event);
    if (event.type === "peer:leave") this.#endIfAlone();
  }

  /** Without peers and endpoints no room will come for sends that wait. */
  #endIfAlone(): void {
    if (this.closed && !this.#mayFindPeers) this.outbox.abandon();
  }

  get #unsent(): number {
    const { queuedOut = 0 } = this.engine.stats();
    return queuedOut + this.outbox.waiting;
  }

  /** @param error of the last attempt; `undefined`: it has begun */
  #failed(endpoint: string, error: ShoalError | undefined, isFirst: boolean): void {
    if (this.endpoints.isBound(endpoint)) return;
    if (isStalled(endpoint, error, isFirst)) {
      // A pattern may close the socket for the failure; what waits for a dial is known after the call that dials.
      if (error !== undefined) this.#stalled(endpoint, error);
      else queueMicrotask(() => this.#stalled(endpoint, error));
    }
    if (error !== undefined || this.closed || this.events.silent.length === 0) return;
    // The system reports a dial without an answer after minutes only, and a call may begin to wait meanwhile.
    this.#silence ??= setTimeout(() => this.#look(), LOOK_EVERY).unref();
  }

  #look(): void {
    const { silent } = this.events;
    for (const each of silent) if (isStalled(each, undefined, false)) this.#stalled(each, undefined);
    const isOver = this.closed || silent.length === 0;
    this.#silence = isOver ? undefined : setTimeout(() => this.#look(), LOOK_EVERY).unref();
  }

  /** Warns unless the program listens. @param error of the last attempt, if one has failed */
  #stalled(endpoint: string, error: ShoalError | undefined): void {
    if (this.events.hearsFailures) return;
    const awaited = this.events.awaited;
    if (this.#unsent > 0) this.#warnOfQueued("", endpoint, error);
    else if (awaited !== undefined) warnOfStall(`${this.typeName} waits for ${awaited} at`, endpoint, error);
    else if (this.inbox.waiting > 0 || this.readable.isAwaited)
      warnOfStall(`${this.typeName} waits for messages from`, endpoint, error);
  }

  #closingStalled(): void {
    if ((this.engine.stats().peers ?? 0) > 0 || this.#unsent === 0 || this.events.hearsFailures) return;
    const { bound, connected } = this.endpoints.all;
    const at = connected.length > 0 ? connected : bound;
    this.#warnOfQueued("close() of ", at.join(", "), this.events.lastFailure);
  }

  #warnOfQueued(where: string, endpoint: string, error: ShoalError | undefined): void {
    const queued = this.#unsent;
    const [messages, them] = queued === 1 ? ["message", "it"] : ["messages", "them"];
    // With other peers the messages may be for those.
    const what = `${where}${this.typeName} has ${queued} ${messages} to send, and no connection to`;
    warnOfStall(what, endpoint, error, `; \`linger: 0\` discards ${them}`);
  }

  async #close(given: number | undefined): Promise<CloseResult> {
    // Everything before the first await happens within the call, as in the package zeromq.
    const linger = given ?? this.options.linger;
    const started = performance.now();
    const stalled = setTimeout(() => this.#closingStalled(), STALLED_AFTER).unref();
    this.endpoints.end();
    this.inbox.abandon();
    this.readable.end();
    this.writable.end();
    this.events.abandon();
    // The engine still listens and dials.
    if (linger !== 0 && this.outbox.waiting > 0 && this.#mayFindPeers) {
      await withTimeout(this.outbox.drained(), linger);
    }
    this.outbox.abandon();
    const left = linger < 0 ? linger : Math.max(0, Math.round(linger - (performance.now() - started)));
    const result = await this.engine.close(left);
    clearTimeout(stalled);
    this.#counting.socketClosed(this.engine);
    // The offer within which the socket may have closed is over.
    const refused = this.outbox.abandoned;
    const { delivered } = this.stats();
    const unknown = result.drained || result.discarded !== undefined ? 0 : delivered;
    const discarded = Math.min(result.discarded ?? 0, delivered);
    this.counters.delivered -= discarded;
    this.counters.dropped.closed += discarded;
    for (const messages of [discarded, refused]) {
      if (messages > 0) this.events.emit({ type: "drop", reason: "closed", messages });
    }
    clearTimeout(this.#silence);
    this.events.end();
    return { flushed: delivered - unknown - discarded, discarded: discarded + refused, unknown };
  }

  /** The caller counts the message. */
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
    // A listener may receive, abort or close.
    queueMicrotask(() => this.events.emit({ type: "invalid", reason, error }));
  };
}
