/**
 * One open socket: its routing (which peer), its pipes (the queues) and its
 * links (the way there), brought together behind the seam.
 *
 *   offer -> routing -> pipe.out -> link -> peer
 *   take  <- routing <- pipe.in  <- link <- peer
 */
import { TransportError } from "../../core/errors.js";
import { type SocketType, type SocketTypeName, SocketType as Types } from "../../core/socket-type.js";
import type { EncodedMessages } from "../encoded.js";
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
import type { SocketEvent } from "../events.js";
import { hideSecrets } from "../secrets.js";
import type { EngineSubscriber } from "../subscriber.js";
import { Closing } from "./closing.js";
import type { InprocNames } from "./inproc-names.js";
import { KeepAlive } from "./keep-alive.js";
import { Links } from "./links.js";
import { checkReach, isMark, warnOfOption } from "./options.js";
import type { CloseReason, Pipe, PipeOwner } from "./pipe.js";
import { atProcessEnd, type Ending } from "./process-end.js";
import { createRouting } from "./routing/create.js";
import type { Routing, RoutingHost } from "./routing/routing.js";
import type { ZapClient } from "./zap-client.js";

const TYPE_NAMES = Object.fromEntries(Object.entries(Types).map(([name, type]) => [type, name])) as Record<
  SocketType,
  SocketTypeName
>;

/** The types whose messages can be taken, and sent, as they came. */
const TAKES: readonly SocketTypeName[] = ["Pull", "Dealer", "Router", "Pair", "XSubscriber"];
const OFFERS: readonly SocketTypeName[] = ["Push", "Dealer", "Router", "Pair", "XPublisher", "Publisher"];

export class ZmtpSocket implements EngineSocket, RoutingHost, PipeOwner, Ending {
  readonly options: Record<string, unknown>;
  readonly encoded: { readonly takes: boolean; readonly offers: boolean };
  readonly #listener: EngineListener;
  readonly #routing: Routing;
  readonly #links: Links;
  readonly #keepAlive: KeepAlive;
  readonly #onClosed: () => void;
  readonly #blocky: () => boolean;
  #ending = false;
  #wantsRead = false;
  #wantsWrite = false;
  #held = false;
  /** Endpoints bound and connected, and those about to be bound. */
  #endpoints = 0;
  readonly #forget: () => void;
  #closing: Closing | undefined = undefined;
  readonly #dropped = { "peer-full": 0, disconnected: 0, detached: 0 };

  constructor(
    names: InprocNames,
    zap: ZapClient,
    type: SocketType,
    options: EngineOptions,
    listener: EngineListener,
    onClosed: () => void,
    blocky: () => boolean = () => false,
  ) {
    for (const [name, value] of Object.entries(options)) checkReach(name, value);
    this.options = hideSecrets({ ...options });
    this.#listener = listener;
    this.#onClosed = onClosed;
    this.#blocky = blocky;
    const typeName = TYPE_NAMES[type];
    this.#routing = createRouting(typeName, this);
    // With `conflate` messages replace each other one by one.
    const whole = options.conflate !== true;
    this.encoded = { takes: whole && TAKES.includes(typeName), offers: whole && OFFERS.includes(typeName) };
    this.#links = new Links(names, typeName, this.options, this.#routing, this, {
      // Asked anew for each handshake: a policy may set another hook.
      get authenticate() {
        return listener.engineAuthenticate;
      },
      zap,
      event: (event) => this.routingOnEvent(event),
      dropped: (messages) => this.#count("disconnected", messages),
      changed: () => {
        this.#keepAlive.changed();
        this.#links.proceed();
        this.#closing?.proceed();
      },
    });
    this.#forget = atProcessEnd(this);
    this.#keepAlive = new KeepAlive(
      () =>
        this.#held ||
        this.#wantsRead ||
        this.#wantsWrite ||
        this.#links.bound > 0 ||
        this.#closing !== undefined,
    );
  }

  async bind(endpoint: string): Promise<string> {
    this.#endpoints += 1;
    try {
      return await this.#links.bind(endpoint);
    } catch (error) {
      this.#endpoints -= 1;
      throw error;
    }
  }

  bindSync(endpoint: string): string {
    const resolved = this.#links.bindSync(endpoint);
    this.#endpoints += 1;
    return resolved;
  }

  unbind(endpoint: string): Promise<void> {
    this.#endpoints -= 1;
    return this.#links.unbind(endpoint);
  }

  connect(endpoint: string, routingId: string | undefined): void {
    this.#links.connect(endpoint, routingId);
    this.#endpoints += 1;
  }

  disconnect(endpoint: string): void {
    if (!this.#links.disconnect(endpoint)) {
      throw new TransportError("ENOENT", `Cannot disconnect from ${endpoint}: not connected`, { endpoint });
    }
    this.#endpoints -= 1;
  }

  offer(message: OutgoingMessage): OfferResult {
    return this.#routing.offer(message);
  }

  wantWritable(on: boolean): void {
    this.#wantsWrite = on;
    this.#keepAlive.changed();
  }

  take(): Buffer[] | undefined {
    return this.#routing.take();
  }

  subscriber(): EngineSubscriber | undefined {
    return this.#routing.subscriber?.();
  }

  takeEncoded(max: number): EncodedMessages | undefined {
    return this.#routing.takeEncoded?.(max);
  }

  offerEncoded(messages: EncodedMessages): OfferResult {
    return this.#routing.offerEncoded?.(messages) ?? OfferResult.Mute;
  }

  discard(): number {
    return this.#routing.discard();
  }

  wantReadable(max: number): void {
    this.#wantsRead = max > 0;
    this.#keepAlive.changed();
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
    checkReach(name, value);
    warnOfOption(name, value, this.#endpoints > 0);
    this.options[name] = value;
    if (isMark(name)) this.#links.marksChanged();
  }

  disconnectPeers(match: (peer: PeerCredentials) => boolean): number {
    return this.#links.disconnectPeers(match);
  }

  police(policy: PeerPolicy): void {
    this.#links.police(policy);
  }

  announce(announcement: Announcement): void {
    this.#links.announce(announcement);
  }

  retire(hangUp: boolean): void {
    this.#links.retire(hangUp);
  }

  hold(on: boolean): void {
    this.#held = on;
    this.#keepAlive.changed();
  }

  stats(): EngineStats {
    let queuedOut = 0;
    for (const pipe of this.#links.pipes) queuedOut += pipe.out.messages;
    return {
      peers: this.#links.peers,
      reconnects: this.#links.reconnects,
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
      this.#closing = new Closing(this.#links, linger, (result) => {
        this.#closing = undefined;
        this.#forget();
        this.#keepAlive.end();
        this.#onClosed();
        resolve(result);
      });
      this.#keepAlive.changed();
      this.#closing.start();
    });
  }

  /** The program has ended but for this: the socket closes, and holds the process until its messages have left. */
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
    for (const pipe of this.#links.pipes) pipe.flush();
  }

  routingOnReadable(): void {
    if (!this.#wantsRead || this.#closing !== undefined) return;
    this.#wantsRead = false;
    this.#listener.engineOnReadable();
    this.#keepAlive.changed();
  }

  routingOnWritable(): void {
    if (!this.#wantsWrite || this.#closing !== undefined) return;
    this.#wantsWrite = false;
    this.#listener.engineOnWritable();
    this.#keepAlive.changed();
  }

  routingOnEvent(event: SocketEvent): void {
    this.#listener.engineOnEvent(event);
  }

  routingOnDrop(reason: "peer-full" | "disconnected", pipe: Pipe, messages = 1): void {
    this.#count(reason, messages, pipe);
  }

  routingOnKept(bytes: number): void {
    this.#links.kept(bytes);
  }

  closePipe(pipe: Pipe, reason: CloseReason): void {
    this.#links.closePipe(pipe, reason);
  }

  pipeOnMessages(pipe: Pipe): void {
    // From a peer that was disconnected nothing comes any more, but for the news of its end (STREAM).
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
    if (!this.#links.command(pipe, body) && pipe.leaving === undefined) this.#routing.command(pipe, body);
  }

  #count(reason: keyof NonNullable<EngineStats["dropped"]>, messages: number, pipe?: Pipe): void {
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
