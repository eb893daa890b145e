/**
 * One open socket: its routing (which peer), its peers (the queues), and its connections and endpoints (the way there),
 * brought together behind the seam.
 *
 *   offer -> routing -> pipe.out -> link -> peer
 *   take  <- routing <- pipe.in  <- link <- peer
 */
import { TransportError } from "../../core/errors.js";
import { type SocketType, type SocketTypeName, SocketType as Types } from "../../core/socket-type.js";
import {
  type Announcement,
  type EngineCloseResult,
  type EngineListener,
  type EngineOptions,
  type EngineSocket,
  type EngineStats,
  OfferResult,
  type OutgoingMessage,
  type PeerCredentials,
  type PeerPolicy,
} from "../engine.js";
import { dropCounters, ENGINE_DROP_REASONS, type EngineDropReason, type SocketEvent } from "../events.js";
import type { FrameBatch } from "../frame-batch.js";
import { hideSecrets } from "../secrets.js";
import type { EngineSubscriber } from "../subscriber.js";
import { Admission } from "./admission.js";
import { Closing, type SocketParts } from "./closing.js";
import { Connections } from "./connections.js";
import { Endpoints } from "./endpoints.js";
import type { InprocNames } from "./inproc-names.js";
import { atProcessEnd, type Ending, EventLoopRef } from "./lifetime.js";
import { assertSupported, completeOptions, isMark, warnOfOption } from "./options.js";
import { Peers } from "./peers.js";
import type { CloseReason, Pipe } from "./pipe.js";

import { createRouting } from "./routing/create.js";
import type { Routing, RoutingHost } from "./routing/routing.js";
import type { SocketEffects, SocketState } from "./socket-state.js";
import type { ZapClient } from "./zap.js";

const TYPE_NAMES = Object.fromEntries(Object.entries(Types).map(([name, type]) => [type, name])) as Record<
  SocketType,
  SocketTypeName
>;

/** The types whose messages can be taken, and sent, as they came. */
const TAKES: readonly SocketTypeName[] = ["Pull", "Dealer", "Router", "Pair", "XSubscriber"];
const OFFERS: readonly SocketTypeName[] = ["Push", "Dealer", "Router", "Pair", "XPublisher", "Publisher"];

export class ZmtpSocket implements EngineSocket, RoutingHost, SocketEffects, Ending {
  readonly options: Record<string, unknown>;
  readonly encoded: { readonly takes: boolean; readonly offers: boolean };
  readonly #listener: EngineListener;
  readonly #routing: Routing;
  readonly #state: SocketState;
  readonly #peers: Peers;
  readonly #connections: Connections;
  readonly #endpoints: Endpoints;
  readonly #eventLoopRef: EventLoopRef;
  readonly #onClosed: () => void;
  readonly #blocky: () => boolean;
  #ending = false;
  #wantsRead = false;
  #wantsWrite = false;
  #held = false;
  /** Endpoints bound and connected, and those about to be bound. */
  #attached = 0;
  readonly #forget: () => void;
  #closing: Closing | undefined = undefined;
  readonly #dropped = dropCounters(ENGINE_DROP_REASONS);

  constructor(
    names: InprocNames,
    zap: ZapClient,
    type: SocketType,
    options: EngineOptions,
    listener: EngineListener,
    onClosed: () => void,
    blocky: () => boolean = () => false,
  ) {
    for (const [name, value] of Object.entries(options)) assertSupported(name, value);
    this.options = hideSecrets(completeOptions(options));
    this.#listener = listener;
    this.#onClosed = onClosed;
    this.#blocky = blocky;
    const typeName = TYPE_NAMES[type];
    this.#routing = createRouting(typeName, this);
    // With `conflate` messages replace each other one by one.
    const whole = options.conflate !== true;
    this.encoded = { takes: whole && TAKES.includes(typeName), offers: whole && OFFERS.includes(typeName) };
    this.#state = {
      type: typeName,
      options: this.options,
      names,
      zap,
      get authenticate() {
        return listener.engineAuthenticate;
      },
      routing: this.#routing,
      effects: this,
      property: undefined,
      closing: false,
    };
    const admission = new Admission(this.#state);
    this.#peers = new Peers(this.#state);
    this.#connections = new Connections(this.#state, this.#peers, admission);
    this.#endpoints = new Endpoints(this.#state, this.#peers, admission, this.#connections);
    this.#forget = atProcessEnd(this);
    this.#eventLoopRef = new EventLoopRef(
      () =>
        this.#held ||
        this.#wantsRead ||
        this.#wantsWrite ||
        this.#endpoints.bound > 0 ||
        this.#closing !== undefined,
    );
  }

  async bind(endpoint: string): Promise<string> {
    this.#attached += 1;
    try {
      return await this.#endpoints.bind(endpoint);
    } catch (error) {
      this.#attached -= 1;
      throw error;
    }
  }

  bindSync(endpoint: string): string {
    const resolved = this.#endpoints.bindSync(endpoint);
    this.#attached += 1;
    return resolved;
  }

  unbind(endpoint: string): Promise<void> {
    this.#attached -= 1;
    return this.#endpoints.unbind(endpoint);
  }

  connect(endpoint: string, routingId: string | undefined): void {
    this.#endpoints.connect(endpoint, routingId);
    this.#attached += 1;
  }

  disconnect(endpoint: string): void {
    if (!this.#endpoints.disconnect(endpoint)) {
      throw new TransportError("ENOENT", `Cannot disconnect from ${endpoint}: not connected`, { endpoint });
    }
    this.#attached -= 1;
  }

  offer(message: OutgoingMessage): OfferResult {
    return this.#routing.offer(message);
  }

  wantWritable(on: boolean): void {
    this.#wantsWrite = on;
    this.#eventLoopRef.changed();
  }

  take(): Buffer[] | undefined {
    return this.#routing.take();
  }

  subscriber(): EngineSubscriber | undefined {
    return this.#routing.subscriber?.();
  }

  takeEncoded(max: number): FrameBatch | undefined {
    return this.#routing.takeEncoded?.(max);
  }

  offerEncoded(messages: FrameBatch): OfferResult {
    return this.#routing.offerEncoded?.(messages) ?? OfferResult.Mute;
  }

  discard(): number {
    return this.#routing.discard();
  }

  wantReadable(max: number): void {
    this.#wantsRead = max > 0;
    this.#eventLoopRef.changed();
  }

  get readable(): boolean {
    return this.#routing.readable;
  }

  get writable(): boolean {
    return this.#closing === undefined && this.#routing.writable;
  }

  subscribe(prefix: Uint8Array | string): void {
    this.#routing.subscribe(Buffer.from(prefix as string));
  }

  unsubscribe(prefix: Uint8Array | string): void {
    this.#routing.unsubscribe(Buffer.from(prefix as string));
  }

  setOption(name: string, value: unknown): void {
    assertSupported(name, value);
    warnOfOption(name, value, this.#attached > 0);
    this.options[name] = value;
    if (isMark(name)) this.#peers.marksChanged();
  }

  disconnectPeers(match: (peer: PeerCredentials) => boolean): number {
    return this.#connections.revoke(match);
  }

  police(policy: PeerPolicy): void {
    this.#peers.police(policy);
  }

  announce(announcement: Announcement): void {
    this.#state.property = announcement;
  }

  retire(hangUp: boolean): void {
    this.#endpoints.stopListening();
    this.#endpoints.stopDialling(false);
    this.#connections.endHandshakes(() => false);
    if (hangUp) this.#peers.halfClose();
    this.changed();
  }

  hold(on: boolean): void {
    this.#held = on;
    this.#eventLoopRef.changed();
  }

  stats(): EngineStats {
    let queuedOut = 0;
    for (const pipe of this.#peers.pipes) queuedOut += pipe.out.messages;
    return {
      peers: this.#peers.count,
      reconnects: this.#endpoints.reconnects,
      queuedIn: this.#routing.queuedIn,
      queuedOut,
      invalid: this.#routing.invalid,
      late: this.#routing.late,
      dropped: { ...this.#dropped },
    };
  }

  queuedBytes(routingId: Uint8Array): number {
    return this.#routing.pipeOf?.(routingId)?.out.heldBytes ?? 0;
  }

  close(linger: number): Promise<EngineCloseResult> {
    this.#wantsRead = false;
    this.#wantsWrite = false;
    return new Promise((resolve) => {
      this.#closing = new Closing(this.#parts, linger, (result) => {
        this.#closing = undefined;
        this.#forget();
        this.#eventLoopRef.end();
        this.#onClosed();
        resolve(result);
      });
      this.#eventLoopRef.changed();
      this.#closing.start();
    });
  }

  /** The program has ended except for this: the socket closes, and holds the process until its messages have left. */
  lastChance(): void {
    const linger = Number(this.options.linger ?? -1);
    if (linger === 0 || this.#closing !== undefined || this.stats().queuedOut === 0) return;
    this.#ending = true;
    void this.close(linger);
  }

  get ending(): { readonly blocky: boolean } | undefined {
    return this.#ending && this.#closing !== undefined ? { blocky: this.#blocky() } : undefined;
  }

  lastFlush(): void {
    for (const pipe of this.#peers.pipes) pipe.flush();
  }

  routingOnReadable(): void {
    if (!this.#wantsRead || this.#closing !== undefined) return;
    this.#wantsRead = false;
    this.#listener.engineOnReadable();
    this.#eventLoopRef.changed();
  }

  routingOnWritable(): void {
    if (!this.#wantsWrite || this.#closing !== undefined) return;
    this.#wantsWrite = false;
    this.#listener.engineOnWritable();
    this.#eventLoopRef.changed();
  }

  routingOnEvent(event: SocketEvent): void {
    this.#listener.engineOnEvent(event);
  }

  routingOnDrop(reason: EngineDropReason, pipe: Pipe, messages = 1): void {
    this.#count(reason, messages, pipe);
  }

  routingOnKept(bytes: number): void {
    this.#peers.kept(bytes);
  }

  closePipe(pipe: Pipe, reason: CloseReason): void {
    this.#peers.close(pipe, reason);
  }

  event(event: SocketEvent): void {
    this.#listener.engineOnEvent(event);
  }

  dropped(messages: number): void {
    this.#count("disconnected", messages);
  }

  changed(): void {
    this.#eventLoopRef.changed();
    this.#peers.proceed();
    this.#closing?.proceed();
  }

  pipeOnMessages(pipe: Pipe): void {
    // From a peer that was disconnected nothing comes any more, except the notice of its end (STREAM).
    if (this.#closing === undefined && (pipe.leaving === undefined || !pipe.outlives))
      this.#routing.messages(pipe);
    else pipe.discard();
  }

  pipeOnRoom(pipe: Pipe): void {
    if (pipe.leaving === undefined) this.#routing.room(pipe);
  }

  pipeOnDetached(pipe: Pipe, messages: number): void {
    this.#count("detached", messages, pipe);
  }

  pipeOnCommand(pipe: Pipe, body: Buffer): void {
    if (pipe.link?.command?.(body) !== true && pipe.leaving === undefined) this.#routing.command(pipe, body);
  }

  get #parts(): SocketParts {
    return {
      state: this.#state,
      peers: this.#peers,
      connections: this.#connections,
      endpoints: this.#endpoints,
    };
  }

  #count(reason: EngineDropReason, messages: number, pipe?: Pipe): void {
    if (messages === 0) return;
    this.#dropped[reason] += messages;
    const event: SocketEvent = {
      type: "drop",
      reason,
      messages,
      ...(pipe?.routingId === undefined ? {} : { routingId: pipe.routingId }),
    };
    // It is found in the middle of a flush, which a listener's error must not end.
    if (reason === "detached") queueMicrotask(() => this.#listener.engineOnEvent(event));
    else this.#listener.engineOnEvent(event);
  }
}
