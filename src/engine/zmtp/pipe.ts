/**
 * The two queues between a socket and one peer, and what they are bounded by.
 *
 *   socket -> out -> link -> peer -> link -> in -> socket
 *
 * A pipe outlives its link where this side connects: what waits in `out` goes
 * to the next connection. Where the peer connected, the pipe ends with the
 * link, once what it received has been taken.
 */

import type { OutgoingFrame, OutgoingMessage, PeerPolicy, ReceivedList, TakenMessages } from "../engine.js";
import { messageBytes } from "../frame.js";
import type { FrameBatch } from "../frame-batch.js";
import type { Lease } from "../lease.js";
import { Encoder } from "./codec/encoder.js";
import { InStream } from "./codec/in-stream.js";
import { BY_REFERENCE } from "./codec/kept-copy.js";
import { OutQueue, type Segment } from "./codec/out-queue.js";
import { HAS_POLICIES, PeerMeter, type PeerMeterEffects } from "./peer-meter.js";
import type { BudgetedPipe, ReceiveBudget } from "./receive-budget.js";
import { type Frames, framesOf } from "./transferred.js";

/** Bytes that wait before they are written at once, without waiting for the end of the turn. */
const FLUSH_BYTES = 65_536;
/** The same of large messages: each would be a write of its own. */
const FLUSH_LARGE_BYTES = 262_144;
/**
 * Bytes that have left since a send found no room, after which there is room again, however full the queue still is: of large
 * messages half a queue is tens of megabytes, and while a program fills them in one go nothing is written.
 */
const ROOM_BYTES = 2_000_000;
/**
 * Bytes in a full queue past which it is shortened, by half each time that a send waits for room in it, which loses nothing
 * by it. A program that outruns its peer keeps its queue full, and what leaves a long one has left the processor's caches long
 * ago.
 */
const LONG_BYTES = 16_777_216;
/** Bytes that it is shortened to. */
const SHORT_BYTES = 2_000_000;
/** Bytes that leave before such a queue has its mark again, if no send waited meanwhile. */
const SHORT_FOR_BYTES = 1_073_741_824;
/** Messages that a write which is being filled takes past the mark, before its bytes are looked at again. */
const GATHER = 64;

/** What carries a pipe's bytes: a connection, or the other end in this process. */
export interface Link {
  /** Nothing can be handed on now; the link flushes by itself when it can. */
  readonly blocked: boolean;
  /** Messages that the peer has not taken and that count on this side; undefined: none (a wire). */
  readonly ahead?: number;
  /** How many more may wait because of those; undefined: none. */
  readonly room?: number;
  /** The same in what they cost (core/frame-cost.ts). */
  readonly aheadBytes?: number;
  readonly roomBytes?: number;
  /** The sender found no room, where that hangs on the receiver alone. */
  awaitRoom?(): void;
  /** The receiving socket has other marks now: what the other end has room for follows them. */
  marksChanged?(marks: ReceiveMarks): void;
  /** Where the other end is, as an endpoint; undefined: it has no address of its own. */
  readonly remote?: string;
  /** Since when the peer has owed an answer to a heartbeat, by the system's clock; undefined: it owes none. */
  readonly owedSince?: number | undefined;
  /** What this side has flushed is with the peer already: nothing is on its way. */
  readonly instant?: boolean;
  /** It carries datagrams: there is no peer that could say what it wants. */
  readonly datagrams?: boolean;
  /** Hands on what waits in `out`, as much as goes. */
  flush(): void;
  /**
   * Hands on what waits in `out`, and then a message as its frames, which the peer may write to; the peer hears of them at the next
   * `flush`. Absent: the peer is not in this thread.
   *
   * @returns bytes that the peer has and has not taken; negative: nothing can be handed on now, and nothing has changed
   */
  pass?(frames: Frames): number;
  /** Stops and starts reading. */
  pause(): void;
  resume(): void;
  /** A command among the frames that came. @returns whether it was the link's own affair; absent: it has none */
  command?(body: Buffer): boolean;
  /**
   * Sends what waits, then ends this side's half, and the rest when the peer has hung up or a while later.
   *
   * @param patience ms that the process is held for the peer to hang up
   */
  drain(patience: number): void;
  /** Whether it drains, and goes on by itself when its pipe has ended. */
  readonly draining: boolean;
  /** Ends this side's half at once; what the peer had sent until then is received. A link without halves closes. */
  halfClose(): void;
  /** Ends the connection on this side. */
  close(reason: CloseReason): void;
}

/** Why this side ends a link. */
export type CloseReason = "local" | "protocol" | "revoked" | "refused";

/** The peer at the other end, as its handshake described it. */
export interface Peer {
  readonly socketType: string;
  /** The Identity property; empty: none. */
  readonly identity: Buffer;
  /** Whether it takes subscriptions as commands (3.1) or as messages (3.0). */
  readonly commands: boolean;
  /** Its value of the property that this socket has, too (HandshakeProperty). */
  readonly property?: string | undefined;
}

/** What a pipe reports. */
export interface PipeEffects {
  /** Messages have come. */
  pipeOnMessages(pipe: Pipe): void;
  /** A pipe that had no room has it again. */
  pipeOnRoom(pipe: Pipe): void;
  /** Messages were dropped: the program had transferred their memory before they went out. */
  pipeOnDetached(pipe: Pipe, messages: number): void;
  /** With `conflate`: a newer message took the place of so many. */
  pipeOnConflated(pipe: Pipe, messages: number): void;
  /** A command that is not the connection's own has come: SUBSCRIBE, CANCEL, JOIN, LEAVE. */
  pipeOnCommand(pipe: Pipe, body: Buffer): void;
}

/** The marks and limits of one socket's pipes. */
export interface PipeOptions {
  readonly sendHighWaterMark: number;
  readonly receiveHighWaterMark: number;
  /** What waits may cost (core/frame-cost.ts); a message that finds less takes it past the mark. 0: no mark. */
  readonly sendHighWaterMarkBytes: number;
  readonly receiveHighWaterMarkBytes: number;
  readonly maxMessageSize: number;
  /** Only the last message waits, in either direction. */
  readonly conflate: boolean;
}

/** What a pipe's receiving side holds at most, in messages and in what they cost; 0: no bound. */
export type ReceiveMarks = Pick<PipeOptions, "receiveHighWaterMark" | "receiveHighWaterMarkBytes">;

export class Pipe implements PeerMeterEffects, BudgetedPipe {
  readonly out = new OutQueue();
  readonly encoder = new Encoder();
  readonly in: InStream;
  readonly endpoint: string;
  /** Whether it is kept when its link is lost. */
  readonly outlives: boolean;
  readonly #effects: PipeEffects;
  #options: PipeOptions;
  link: Link | undefined = undefined;
  /** Of the last handshake. */
  peer: Peer | undefined = undefined;
  /** The name a ROUTER has for it; the program gets copies, which it may write to. */
  routingId: Buffer | undefined = undefined;
  /** The copy that comes with its messages. */
  givenId: Buffer | undefined = undefined;
  /** It ended: what was received can still be taken. */
  ended = false;
  /** It was disconnected: ms that what waits in it may still take to leave (peers.ts); undefined: it is in use. */
  leaving: number | undefined = undefined;
  /** It was released: it gets nothing new, and what it brings is still wanted (peers.ts). */
  released = false;
  /** In the list of those to be flushed (flushSoon). */
  dirty = false;
  /** A send found no room here. */
  mute = false;
  /** In the fair queue's list of those with messages. */
  queued = false;
  /** In the load balancer's list of those with room. */
  open = false;
  /** For the routing's own use: subscribers that match, by publication. */
  mark = 0;
  /** Its receive queue is at a mark. */
  #paused = false;
  /** There is no room for what it would bring, because of what others have brought. */
  #starved = false;
  /** The routing has enough of what it brings. */
  #held = false;
  /** Of all pipes of the socket. */
  readonly #budget: ReceiveBudget;
  /** The cost of whole messages that the budget knows of. */
  #counted = 0;
  /** Where its peer has a rate. */
  #meter: PeerMeter | undefined = undefined;
  #onHeld: (() => void) | undefined = undefined;
  #limit: number;
  #limitBytes: number;
  /** Bytes that waited when a send found no room; 0: half of the mark is what is waited for. */
  #muteBytes = 0;
  /** Bytes that leave until its mark is `#limitBytes` again; 0: it is. */
  #shortFor = 0;
  /** Messages that certainly fit, since the room was last looked at: what waits can only have become less. */
  #credit = 0;

  constructor(
    effects: PipeEffects,
    options: PipeOptions,
    budget: ReceiveBudget,
    endpoint: string,
    outlives: boolean,
  ) {
    this.#effects = effects;
    this.#options = options;
    this.#budget = budget;
    this.endpoint = endpoint;
    this.outlives = outlives;
    this.#limit = limitOf(options.sendHighWaterMark);
    this.#limitBytes = limitOf(options.sendHighWaterMarkBytes);
    this.in = new InStream(options.maxMessageSize, (body) => effects.pipeOnCommand(this, body));
  }

  /** What its peer may do from now on. */
  police({ rate, messageSize, held }: PeerPolicy): void {
    const own = this.#options.maxMessageSize;
    this.in.limit(messageSize === undefined ? own : own < 0 ? messageSize : Math.min(own, messageSize));
    this.#onHeld = held;
    if (rate === undefined) this.#release();
    else if (this.#meter === undefined) this.#meter = new PeerMeter(rate, this);
    else {
      this.#meter.change(rate);
      this.meterOnOpen();
    }
  }

  meterOnHeld(): void {
    this.#onHeld?.();
  }

  meterOnOpen(): void {
    if (this.in.messages > 0) this.#effects.pipeOnMessages(this);
  }

  /** Whether a message can be taken: one is there, and its peer's rate allows it. Else pipeOnMessages is called then. */
  get ready(): boolean {
    return this.in.messages > 0 && (!HAS_POLICIES || this.#meter === undefined || this.#meter.messages > 0);
  }

  /** Whether a message fits; flushes if that may help. */
  hasRoom(): boolean {
    return (this.#credit > 0 && this.out.cost < this.#limitBytes) || this.#findRoom();
  }

  #findRoom(): boolean {
    if (this.#isBelowMarks()) return true;
    const { link } = this;
    if (link !== undefined && !link.blocked) {
      // The mark is for what the kernel does not take. What it has not been offered yet, because a larger write is
      // cheaper, is bounded by the write's size.
      const { bytes, cost } = this.out;
      const offered = link.ahead !== undefined || bytes >= FLUSH_BYTES || cost >= this.#limitBytes;
      if (!offered && this.#limit >= GATHER) {
        this.#credit = GATHER;
        return true;
      }
      link.flush();
      if (this.#isBelowMarks()) return true;
    }
    if (this.#options.conflate) return true;
    this.mute = true;
    this.#muteBytes = this.#waitingBytes;
    link?.awaitRoom?.();
    return false;
  }

  /** It is full, and a send waits until it is not. One that was dropped or refused instead would lose by a shorter queue. */
  awaited(): void {
    const { link } = this;
    if (!this.mute || link === undefined || link.ahead !== undefined) return;
    if (this.#shortFor === 0 && this.#waitingBytes <= LONG_BYTES) return;
    this.#shortFor = SHORT_FOR_BYTES;
    this.#limitBytes = Math.min(this.#limitBytes, Math.max(SHORT_BYTES, this.#waitingBytes / 2));
  }

  #isBelowMarks(): boolean {
    this.#credit = this.#waitingBytes < this.#limitBytes ? this.#limit - this.#waiting : 0;
    return this.#credit > 0;
  }

  get #isHalfEmpty(): boolean {
    return this.#waiting <= this.#limit / 2 && this.#waitingBytes <= this.#limitBytes / 2;
  }

  /** Whether a message fits and half of the mark is left for others; as `hasRoom` in all else. */
  hasRoomToSpare(): boolean {
    if (this.#isHalfEmpty) return true;
    const { link } = this;
    if (link !== undefined && !link.blocked) {
      link.flush();
      if (this.#isHalfEmpty) return true;
    }
    this.#awaitHalf();
    return false;
  }

  /** How many of `messages` that are encoded already fit; 0: as when `hasRoom` is false. */
  roomFor(messages: number): number {
    if (!this.hasRoom()) return 0;
    if (this.#credit >= messages) return messages;
    const { link } = this;
    // They fill the write as in `#findRoom`, all at once, past the mark by no more than the mark.
    const gathers = link?.blocked === false && link.ahead === undefined && this.out.bytes < FLUSH_BYTES;
    if (gathers && this.#limit >= GATHER) this.#credit = Math.max(this.#credit, this.#limit);
    return Math.min(messages, this.#credit);
  }

  /**
   * Queues a message; only where `hasRoom`.
   *
   * @param transfer as of the socket: the message is for this pipe alone
   */
  send(
    message: OutgoingMessage,
    from: number,
    prefix: readonly OutgoingFrame[] | undefined,
    transfer?: boolean,
  ): void {
    if (transfer === true && this.#pass(message, from, prefix)) return;
    // First, since it may fail: then nothing has changed.
    this.encoder.encode(message, from, prefix);
    if (this.#options.conflate) {
      this.#conflate(this.encoder, 1);
      return;
    }
    this.out.add(this.encoder, 1);
    this.#credit -= 1;
    this.#stir();
  }

  /** Hands a message over as its frames. @returns whether the other end is in this thread, and has it */
  #pass(message: OutgoingMessage, from: number, prefix: readonly OutgoingFrame[] | undefined): boolean {
    const { link } = this;
    // A text alone is encoded where others are: it is cheaper than memory of its own.
    if (link?.pass === undefined || typeof message === "string") return false;
    return this.passFrames(framesOf(message, from, prefix));
  }

  /** Hands a message over as its frames; only where `hasRoom`. @returns as `#pass` */
  passFrames(frames: Frames): boolean {
    const { link } = this;
    if (link?.pass === undefined || this.#options.conflate) return false;
    const aheadBytes = link.pass(frames);
    if (aheadBytes < 0) return false;
    this.#credit = aheadBytes < this.#limitBytes ? this.#credit - 1 : 0;
    if (!this.dirty) flushSoon(this);
    return true;
  }

  /** Queues what another encoder has just encoded, for several pipes at once. */
  sendEncoded(encoder: Encoder, messages = 1): void {
    if (this.#options.conflate) {
      this.#conflate(encoder, messages);
      return;
    }
    this.out.add(encoder, messages);
    this.#credit -= messages;
    this.#stir();
  }

  /** So many messages that are encoded already have been put into `out`; only as many as `roomFor` returned. */
  queuedMore(messages: number): void {
    this.#credit -= messages;
    this.#stir();
  }

  /** Whether it would take what waited for another peer: it may go past its mark by that, to twice the mark. */
  get takesMoved(): boolean {
    if (this.isGone || this.released || this.#options.conflate) return false;
    return this.#waiting < 2 * this.#limit && this.#waitingBytes < 2 * this.#limitBytes;
  }

  /** Has `pipeOnRoom` called once half of the mark is free. */
  awaitRoom(): void {
    if (!this.isGone && !this.mute) this.#awaitHalf();
  }

  /** Moves what waits and is not in flight to the end of other pipes' queues, a segment to each in turn. */
  moveTo(targets: readonly Pipe[]): void {
    this.out.moveTo(targets.map(({ out }) => out));
    for (const target of targets) {
      target.#credit = 0;
      target.#stir();
    }
  }

  /** Queues raw bytes, as a message (STREAM) or not (a command's frame). */
  sendRaw(bytes: Uint8Array | string, messages: 0 | 1): void {
    this.encoder.encodeRaw(bytes);
    this.out.add(this.encoder, messages);
    this.queuedMore(messages);
  }

  /** Queues commands' frames before all that waits: what a new connection has to send first. */
  sendFirst(bytes: Uint8Array): void {
    this.encoder.encodeRaw(bytes);
    this.out.addFirst(this.encoder, 0);
    this.#stir();
  }

  /** The next received message; only when there is one. @param first a frame to put before it @param lease as of the socket */
  take(first?: Buffer, lease?: Lease): Buffer[] {
    const message = this.in.take(first, lease);
    if (HAS_POLICIES && this.#meter !== undefined)
      this.#meter.spend(1, messageBytes(message) - (first?.length ?? 0));
    this.#taken();
    return message;
  }

  /** As of the socket, but only when there is a message; none where something looks at each. @param first as of `take` */
  takeMany(
    taken: TakenMessages,
    max: number,
    maxCost: number,
    lease: Lease | undefined,
    first?: Buffer,
  ): void {
    if (this.#meter !== undefined) return;
    this.in.takeMany(taken, max, maxCost, first, lease);
    this.#taken();
  }

  /** As `takeMany`, the list that they came in as frames (codec/in-stream.ts). */
  takeList(max: number, maxCost: number): ReceivedList | undefined {
    if (this.#meter !== undefined) return undefined;
    const list = this.in.takeList(max, maxCost);
    if (list !== undefined) this.#taken();
    return list;
  }

  /** The next messages as they came, up to `max`; only when there is one. */
  takeBatch(max: number, first?: Buffer): FrameBatch {
    const meter = this.#meter;
    const messages = this.in.takeBatch(
      meter === undefined ? max : Math.max(1, Math.min(max, meter.messages)),
      first,
    );
    meter?.spend(messages.messages, messages.tally.bodyBytes);
    this.#taken();
    return messages;
  }

  /** The link is resumed when messages are taken and make room. */
  watch(): void {
    this.#paused = true;
  }

  /** The link has brought something. */
  arrived(): void {
    const { messages } = this.in;
    if (this.#options.conflate) while (this.in.messages > 1) this.in.take();
    // Within the process the sender waits for room, and cannot be read less.
    if (this.link?.ahead === undefined) this.#count();
    if (messages === 0) return;
    if (!this.#paused && !this.#options.conflate && this.#isFull(messages)) {
      const wasPaused = this.paused;
      this.#paused = true;
      if (!wasPaused) this.link?.pause();
    }
    this.#effects.pipeOnMessages(this);
  }

  /** Whether nothing may be sent by it any more. */
  get isGone(): boolean {
    return this.ended || this.leaving !== undefined;
  }

  /** The socket has other high-water marks: they hold for what is queued already, too. */
  marksChanged(options: PipeOptions): void {
    this.#options = options;
    this.link?.marksChanged?.(options);
    this.roomChanged();
    this.#taken();
  }

  /** The marks of its two ends together are other ones. */
  roomChanged(): void {
    if (this.ended) return;
    this.#findLimits();
    if (!this.mute || !this.#isBelowMarks()) return;
    this.mute = false;
    this.#effects.pipeOnRoom(this);
  }

  /** Whether reading is stopped, because the receive queue is full. */
  get paused(): boolean {
    return this.#paused || this.#starved || this.#held;
  }

  /** The routing keeps what it brings, and has no room for more: it is read no further until it is let go. */
  setBackPressure(on: boolean): void {
    const wasPaused = this.paused;
    this.#held = on;
    if (!on) this.#resume();
    else if (!wasPaused) this.link?.pause();
  }

  /** What the message that is arriving costs so far. */
  get unfinished(): number {
    return this.in.unfinished;
  }

  budgetOnFull(): void {
    const wasPaused = this.paused;
    this.#starved = true;
    if (!wasPaused) this.link?.pause();
  }

  budgetOnRoom(): void {
    this.#starved = false;
    this.#resume();
  }

  budgetOnStall(): void {
    this.link?.close("protocol");
  }

  /** A message that is still arriving counts as soon as another is there: one always passes, whatever its size. */
  #isFull(messages: number): boolean {
    const { receiveHighWaterMark, receiveHighWaterMarkBytes } = this.#options;
    if (receiveHighWaterMark > 0 && messages >= receiveHighWaterMark) return true;
    return receiveHighWaterMarkBytes > 0 && this.in.cost + this.in.unfinished >= receiveHighWaterMarkBytes;
  }

  /** Reports to the budget what it has. */
  #count(): void {
    const { cost } = this.in;
    if (cost !== this.#counted) this.#budget.add(cost - this.#counted);
    // A message is whole: the next has its place behind those of others.
    if (cost > this.#counted) this.#budget.arriving(this, 0);
    this.#counted = cost;
    this.#budget.arriving(this, this.in.unfinished);
    if (!this.#starved) this.#budget.check(this);
  }

  /** Messages were taken. */
  #taken(): void {
    const { messages, cost } = this.in;
    if (this.#counted > cost) {
      this.#budget.add(cost - this.#counted);
      this.#counted = cost;
    }
    if (!this.#paused) return;
    const { receiveHighWaterMark, receiveHighWaterMarkBytes } = this.#options;
    if (messages > receiveHighWaterMark >> 1 && receiveHighWaterMark > 0) return;
    if (cost > receiveHighWaterMarkBytes / 2 && receiveHighWaterMarkBytes > 0) return;
    this.#paused = false;
    this.#resume();
  }

  /** The kernel, or the peer, has taken messages: there may be room again. */
  relieved(): void {
    if (this.out.messages === 0 && this.out.length === 0) this.encoder.releaseSlab();
    if (!this.mute || this.ended) return;
    // A queue that has become shorter may still have too much.
    const isOver = this.#waitingBytes >= this.#limitBytes;
    if ((this.#muteBytes - this.#waitingBytes < ROOM_BYTES || isOver) && !this.#isHalfEmpty) return;
    this.mute = false;
    this.#effects.pipeOnRoom(this);
  }

  /** A new link after a handshake. */
  linked(link: Link, peer: Peer): void {
    this.link = link;
    this.peer = peer;
    this.#findLimits();
    if (this.paused) link.pause();
    this.relieved();
  }

  /** Puts what waits in flight, for the link (out-queue.ts). */
  takeOut(maxBytes: number): readonly Segment[] {
    const { out } = this;
    const { bytes } = out;
    const segments = out.take(maxBytes);
    if (this.#shortFor > 0) {
      this.#shortFor -= bytes - out.bytes;
      if (this.#shortFor <= 0) this.#findLimits();
    }
    // What the other end in this process has still counts, though it waits here no more.
    if (this.link?.ahead !== undefined) this.#credit = 0;
    if (out.detached > 0) {
      this.#effects.pipeOnDetached(this, out.detached);
      out.detached = 0;
    }
    return segments;
  }

  /** Sends what waits, if a link is there. */
  flush(): void {
    this.link?.flush();
  }

  /** The link is lost: what was in flight went with it. @returns messages lost */
  unlinked(): number {
    this.link = undefined;
    this.#findLimits();
    this.in.cut();
    this.#budget.forget(this);
    this.#starved = false;
    this.#held = false;
    const lost = this.out.lose();
    // Where the pipe ends with its link, there is no room for anybody: a waiting send is another peer's.
    if (lost > 0 && this.outlives) this.relieved();
    return lost;
  }

  /** The pipe ends. @returns messages that were accepted and did not go out */
  end(): number {
    if (this.ended) return 0;
    this.ended = true;
    const lost = this.out.clear();
    this.#limit = -1; // No room any more: its encoder's memory goes to others.
    this.encoder.close();
    // What it has received passes as it comes: many that left would keep others out for as long as their rates need.
    this.#release();
    return lost;
  }

  /** Throws away what was received. @returns how many messages */
  discard(): number {
    const messages = this.in.clear();
    this.#taken();
    return messages;
  }

  #release(): void {
    const meter = this.#meter;
    if (!HAS_POLICIES || meter === undefined) return;
    this.#meter = undefined;
    meter.end();
    this.meterOnOpen();
  }

  /** Mute until half of the mark is free, however many bytes leave before. */
  #awaitHalf(): void {
    this.mute = true;
    this.#muteBytes = 0;
    this.link?.awaitRoom?.();
  }

  /** Its own marks, and those of the other end where both have one queue. */
  #findLimits(): void {
    const { sendHighWaterMark, sendHighWaterMarkBytes } = this.#options;
    this.#limit = limitOf(sendHighWaterMark) + (this.link?.room ?? 0);
    this.#limitBytes = limitOf(sendHighWaterMarkBytes) + (this.link?.roomBytes ?? 0);
    this.#shortFor = 0;
    this.#credit = 0;
  }

  get #waiting(): number {
    return this.out.messages + (this.link?.ahead ?? 0);
  }

  get #waitingBytes(): number {
    return this.out.cost + (this.link?.aheadBytes ?? 0);
  }

  /** One of the reasons not to read it is gone. */
  #resume(): void {
    if (!this.paused) this.link?.resume();
  }

  /** Only the newest, which was just encoded, is kept of what is not in flight. */
  #conflate(encoder: Encoder, messages: number): void {
    const replaced = this.out.replace(encoder, messages);
    this.#credit -= messages;
    this.#stir();
    this.#effects.pipeOnConflated(this, replaced);
  }

  /** Something was queued. */
  #stir(): void {
    const { link, out } = this;
    if (link === undefined) return;
    const areLarge = out.bytes >= out.messages * BY_REFERENCE && link.ahead === undefined;
    if (out.bytes >= (areLarge ? FLUSH_LARGE_BYTES : FLUSH_BYTES) && !link.blocked) link.flush();
    else if (!this.dirty) flushSoon(this);
  }
}

/** A high-water mark of 0: no limit. */
export function limitOf(highWaterMark: number): number {
  return highWaterMark === 0 ? Number.POSITIVE_INFINITY : highWaterMark;
}

/**
 * Writes at the end of the turn: all pipes that got messages in it, one write each.
 *
 * `nextTick` runs when the promises that are settled now have been gone through,
 * so a loop of `await send(…)` fills a batch, and a lone message leaves without a
 * delay. (From a microtask each awaited message would be a write of its own.)
 */
let dirty: Pipe[] = [];
let spare: Pipe[] = [];

function flushSoon(pipe: Pipe): void {
  pipe.dirty = true;
  if (dirty.length === 0) process.nextTick(flushAll);
  dirty.push(pipe);
}

function flushAll(): void {
  const pipes = dirty;
  dirty = spare;
  let next = 0;
  try {
    while (next < pipes.length) {
      const pipe = pipes[next++] as Pipe;
      pipe.dirty = false;
      pipe.flush();
    }
  } finally {
    // If one has thrown, the others are flushed all the same.
    for (; next < pipes.length; next++) flushSoon(pipes[next] as Pipe);
    pipes.length = 0;
    spare = pipes;
  }
}
