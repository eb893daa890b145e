/**
 * The sockets of the engine, from the context that opens them to their close.
 *
 *   offer -> routing -> pipe.out -> link -> peer
 *   take  <- routing <- pipe.in  <- link <- peer
 */

import { InvalidArgumentError, NotSupportedError } from "../../core/errors.js";
import { CONTEXT_OPTIONS, type OptionValues, optionValues, setOption } from "../../core/option-table.js";
import { SocketType, type SocketTypeName, socketTypeName } from "../../core/socket-type.js";
import type { Spin } from "../../core/spin.js";
import type {
  EngineCapabilities,
  EngineCloseResult,
  EngineContext,
  EngineListener,
  EngineOptions,
  EnginePeer,
  EngineSocket,
  EngineStats,
  EngineSubscriptions,
  Lease,
  MessageMemory,
  OfferResult,
  OutgoingMessage,
  Policing,
  RelaySink,
  RelaySource,
  TakenMessages,
} from "../engine.js";
import { dropCounters, ENGINE_DROP_REASONS, type EngineDropReason, type SocketEvent } from "../events.js";
import { copying } from "./codec/encoder.js";
import { Endpoints } from "./endpoints.js";
import type { InprocNames } from "./inproc.js";
import {
  assertAllSupported,
  assertSupported,
  closeTimeoutOf,
  isRelayed,
  UNSUPPORTED_OPTIONS,
  warnOfOption,
} from "./options.js";
import type { EngineParts } from "./parts.js";
import { idOf, Peers } from "./peers.js";
import type { CloseReason, Pipe } from "./pipe.js";
import type { EventLoopHold } from "./process-hold.js";
import type { Relays } from "./routing/relaying.js";
import { LOADED_ROUTINGS, type Routing, type RoutingEffects } from "./routing/routing.js";
import type { SocketEffects, SocketState } from "./socket-state.js";
import type { Platform } from "./transport/transports.js";
import type { ZapClient } from "./zap.js";

/** A copy keeps the object's shape. */
const NONE_DROPPED = dropCounters(ENGINE_DROP_REASONS);

class ZmtpSocket implements EngineSocket, RoutingEffects, SocketEffects, SocketState {
  readonly type: SocketTypeName;
  readonly options: OptionValues;
  readonly endpoints: Endpoints;
  readonly eventLoop: EventLoopHold;
  readonly relays: Relays | undefined;
  readonly subscriptions: EngineSubscriptions | undefined;
  readonly sender: EngineSocket["sender"];
  readonly queuedBytes: EngineSocket["queuedBytes"];
  readonly policing: Policing;
  readonly platform: Platform;
  readonly zap: ZapClient | undefined;
  readonly listener: EngineListener;
  readonly routing: Routing;
  readonly effects: SocketEffects = this;
  closing = false;
  reconnects = 0;
  /** For `lowLatency`. */
  spin: Spin | undefined = undefined;
  readonly #context: ZmtpContext;
  readonly #peers: Peers;
  #wantsRead = false;
  #wantsWrite = false;
  readonly #processEnd: { forget(): void } | undefined;
  #onClosed: ((result: EngineCloseResult) => void) | undefined = undefined;
  #lingers = true;
  #lingerTimer: NodeJS.Timeout | undefined = undefined;
  readonly #dropped = { ...NONE_DROPPED };

  constructor(context: ZmtpContext, type: SocketType, options: EngineOptions, listener: EngineListener) {
    const { parts, platform, zap } = context;
    this.#context = context;
    this.platform = platform;
    this.zap = zap;
    this.relays = parts.relays;
    this.options = optionValues(options);
    assertAllSupported(this.options);
    this.listener = listener;
    this.type = socketTypeName(type) as SocketTypeName;
    const routing = LOADED_ROUTINGS[this.type]?.(this);
    if (routing === undefined)
      throw new NotSupportedError(`No part of this program has ${this.type} sockets`);
    this.routing = routing;
    this.subscriptions = routing.subscriptions;
    this.sender = routing.sender?.bind(routing);
    this.queuedBytes = routing.queuedBytes?.bind(routing);
    this.#peers = new Peers(this);
    this.endpoints = new Endpoints(parts, this, this.#peers, () => context.names);
    this.policing = this.endpoints.connections;
    this.#processEnd = parts.processEnd?.(this, this.#peers.pipes, () => context.blocky);
    this.eventLoop = parts.eventLoop(
      (bound) => this.#wantsRead || this.#wantsWrite || (bound && this.endpoints.bound > 0) || this.closing,
    );
  }

  get relaySource(): RelaySource | undefined {
    return isRelayed(this.options, this.type) ? this.routing.relaySource : undefined;
  }

  get relaySink(): RelaySink | undefined {
    return isRelayed(this.options, this.type) ? this.routing.relaySink : undefined;
  }

  get names(): InprocNames | undefined {
    return this.#context.names;
  }

  retire(halfClose: boolean): void {
    const { connections } = this.endpoints;
    this.endpoints.stopListening();
    this.endpoints.stopDialling(false);
    if (halfClose) {
      connections.isHalfClosing = true;
      this.#peers.halfClose();
    } else connections.endHandshakes();
    this.changed();
  }

  offer(message: OutgoingMessage, memory?: MessageMemory): OfferResult {
    if (memory?.copy === true) return copying(() => this.routing.offer(message));
    return this.routing.offer(message, memory?.transfer);
  }

  listPeers(max: number): EnginePeer[] {
    const found: EnginePeer[] = [];
    for (const pipe of this.#peers.pipes) {
      if (found.length === max) break;
      const { peer, link } = pipe;
      if (peer === undefined || pipe.leaving !== undefined) continue;
      const id = pipe.routingId ?? peer.identity;
      found.push({
        socketType: peer.socketType,
        address: link?.remote ?? pipe.endpoint,
        routingId: id.length === 0 ? undefined : Buffer.from(id),
        queuedOut: pipe.out.messages,
        queuedIn: pipe.in.messages,
      });
    }
    return found;
  }

  wantWritable(on: boolean): void {
    if (on && !this.#wantsWrite) this.routing.awaited();
    this.#wantsWrite = on;
    this.eventLoop.changed();
  }

  take(lease?: Lease): Buffer[] | undefined {
    return this.routing.take(lease);
  }

  takeMany(taken: TakenMessages, max: number, maxCost: number, lease: Lease | undefined): void {
    this.routing.takeMany(taken, max, maxCost, lease);
  }

  discard(): number {
    return this.routing.discard();
  }

  wantReadable(max: number): void {
    if (max > 0 && !this.#wantsRead) this.spin?.waits();
    this.#wantsRead = max > 0;
    this.eventLoop.changed();
  }

  get readable(): boolean {
    return this.routing.readable;
  }

  get writable(): boolean {
    return !this.closing && this.routing.writable;
  }

  get replyLost(): boolean {
    return this.routing.replyLost;
  }

  get asked(): string | undefined {
    return this.routing.asked;
  }

  setOption(name: string, value: unknown, attached: boolean): void {
    assertSupported(name, value);
    warnOfOption(name, value, attached);
    setOption(this.options, name, value);
    if (name.includes("HighWaterMark")) this.#peers.marksChanged();
    // The option, such as noDrop, may unblock a send.
    this.routingOnWritable();
  }

  stats(): EngineStats {
    let peers = 0;
    let queuedOut = 0;
    for (const pipe of this.#peers.pipes) {
      if (pipe.joined) peers += 1;
      queuedOut += pipe.out.messages;
    }
    return {
      peers,
      reconnects: this.reconnects,
      queuedIn: this.routing.queuedIn,
      queuedOut,
      invalid: this.routing.invalid,
      overflowed: this.routing.overflowed,
      tooLarge: this.routing.tooLarge,
      late: this.routing.late,
      dropped: { ...this.#dropped },
    };
  }

  /** Waits for queued messages of connected and dialled peers, at most the linger. */
  close(linger: number): Promise<EngineCloseResult> {
    this.#wantsRead = false;
    this.#wantsWrite = false;
    this.closing = true;
    this.#lingers = linger !== 0;
    this.eventLoop.changed();
    const { connections } = this.endpoints;
    this.endpoints.stopListening();
    this.endpoints.stopDialling(this.#lingers);
    // Also without a linger: the kernel gets what it takes at once.
    const timeout = closeTimeoutOf(linger);
    connections.drain(timeout);
    this.#peers.drain(timeout);
    // Handshakes of endpoints with queued messages continue.
    connections.endHandshakes();
    return new Promise((resolve) => {
      this.#onClosed = resolve;
      if (linger > 0) this.#lingerTimer = setTimeout(() => this.#end(), linger);
      this.#proceed();
    });
  }

  #proceed(): void {
    if (this.#onClosed === undefined) return;
    const pipes = [...this.#peers.pipes];
    if (!this.#lingers || pipes.every(({ out }) => out.messages === 0)) this.#end();
  }

  #end(): void {
    const onClosed = this.#onClosed;
    this.#onClosed = undefined;
    clearTimeout(this.#lingerTimer);
    this.endpoints.stopDialling(false);
    const discarded = this.#peers.endAll();
    this.endpoints.connections.endAll();
    // The caller of `close` gets its promise first.
    setImmediate(() => {
      this.#processEnd?.forget();
      this.eventLoop.end();
      onClosed?.({ drained: discarded === 0, discarded });
    });
  }

  routingOnReadable(): void {
    if (!this.#wantsRead || this.closing) return;
    this.#wantsRead = false;
    this.spin?.came();
    this.listener.engineOnReadable();
    this.eventLoop.changed();
  }

  routingOnWritable(): void {
    if (!this.#wantsWrite || this.closing) return;
    this.#wantsWrite = false;
    this.listener.engineOnWritable();
    this.eventLoop.changed();
  }

  routingOnReplyLost(): void {
    this.listener.engineOnReplyLost?.();
  }

  routingOnKept(bytes: number): void {
    this.#peers.kept(bytes);
  }

  closePipe(pipe: Pipe, reason: CloseReason): void {
    this.#peers.close(pipe, reason);
  }

  event(event: SocketEvent): void {
    this.listener.engineOnEvent(event);
  }

  changed(): void {
    this.eventLoop.changed();
    this.#peers.proceed();
    this.#proceed();
  }

  pipeOnMessages(pipe: Pipe): void {
    // A disconnected peer delivers only a STREAM's notice of its end.
    if (!this.closing && (pipe.leaving === undefined || !pipe.outlives)) this.routing.messages(pipe);
    else pipe.discard();
  }

  pipeOnRoom(pipe: Pipe): void {
    if (pipe.leaving === undefined) this.routing.room(pipe);
  }

  pipeOnCommand(pipe: Pipe, body: Buffer): void {
    if (pipe.link?.command?.(body) !== true && pipe.leaving === undefined) this.routing.command(pipe, body);
  }

  dropped(reason: EngineDropReason, messages: number, pipe?: Pipe): void {
    if (messages === 0) return;
    this.#dropped[reason] += messages;
    const event: SocketEvent = {
      type: "drop",
      reason,
      messages,
      ...(pipe === undefined ? {} : idOf(pipe)),
    };
    // A listener in the middle of a flush or fan-out could publish or throw.
    if (reason === "detached" || reason === "conflated") queueMicrotask(() => this.event(event));
    else this.event(event);
  }
}

// --- Contexts --------------------------------------------------------------------------------------------------------

export const ZMTP_CAPABILITIES: EngineCapabilities = {
  transports: [],
  peerEvents: [],
  publisherDrops: true,
  conflatedSubscriptions: true,
  unsupportedOptions: UNSUPPORTED_OPTIONS,
};

const MAX_SOCKETS_LIMIT = 65_535;

/** Those about native threads have no effect. */
const DEFAULTS: Readonly<Record<string, unknown>> = Object.fromEntries(
  Object.entries(CONTEXT_OPTIONS).map(([name, spec]) => [name, spec.default]),
);

export class ZmtpContext implements EngineContext {
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
    this.#names ??= this.parts.inproc?.(this.#shared);
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
