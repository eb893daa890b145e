/**
 * The two queues between a socket and one peer, and their bounds.
 *
 *   socket -> out -> link -> peer -> link -> in -> socket
 *
 * A connecting side's pipe outlives its link. An accepted pipe ends with it; its received messages can still
 * be taken.
 */

import type { Lease, OutgoingFrame, OutgoingMessage, PeerPolicy, TakenMessages } from "../engine.js";
import type { EngineDropReason } from "../events.js";
import { messageBytes } from "../frame.js";
import type { Batches, FrameBatch } from "../frame-batch.js";
import { BY_REFERENCE, Encoder, framesOf } from "./codec/encoder.js";
import { InStream } from "./codec/in-stream.js";
import { OutQueue, type Segment } from "./codec/out-queue.js";
import { type BudgetedPipe, PeerMeter, type PeerMeterEffects, type ReceiveBudget } from "./receive-limits.js";

/** Queued bytes that are flushed at once. */
const FLUSH_BYTES = 65_536;
/**
 * Bytes of a turn's first write of small messages over tcp and ipc; each further write has twice as many. The peer works
 * while the program makes the rest: 100 requests in flight become 1.6 times as many a second. Messages without an answer
 * and relayed ones are not written early, since each write costs a system call: a PUSH takes 0.75 of the time for 16 B, a
 * publisher to 10 takes 0.7. Over TLS and UDP the first write would block the link, and the mark would refuse the rest of
 * a burst.
 */
const FIRST_FLUSH = 2_048;
const SMALL_MESSAGE = 4_096;
/** To more peers in a turn, early writes cost more than they give. */
const MANY_PEERS = 64;
/** For large messages, each of which would be a separate write. */
const FLUSH_LARGE_BYTES = 262_144;
/**
 * Bytes to which a waiting send shortens the queue, until the connection changes: a long queue's messages leave the
 * processor's caches, and a refill of half of it would write nothing meanwhile. 64 KiB over ipc: 18,200 a second, 14,100
 * without.
 */
const SHORT_BYTES = 2_000_000;
/**
 * Messages that may exceed the mark to fill a write: over TLS the first write blocks the link, so a publisher would drop the
 * rest of a burst.
 */
const GATHER = 64;

export interface Link {
  /** The link flushes by itself later. */
  readonly blocked: boolean;
  /** The other end within this thread: both ends' marks add up, and bound the messages of both queues. */
  readonly far?: Pipe | undefined;
  readonly remote?: string;
  /** The system takes a write at once while it has room, so an early one does not block the link. */
  readonly prompt?: boolean;
  readonly datagrams?: boolean;
  flush(): void;
  /**
   * Delivers `out`, then a message as frames, which the peer may write to; `flush` notifies the peer. Only
   * within a thread.
   *
   * @returns untaken bytes at the peer; negative: not possible now
   */
  pass?(frames: Buffer[]): number;
  pause?(): void;
  resume?(): void;
  command?(body: Buffer): boolean;
  /**
   * Sends `out`, ends this side's half, and closes once the peer has hung up or after a timeout.
   *
   * @param timeout ms for which the process waits
   */
  drain(timeout: number): void;
  /** Draining continues after the end of the pipe. */
  readonly draining?: boolean;
  /** Ends this side's half, and receives what the peer still sends. Links without halves close. */
  halfClose(): void;
  close(reason: CloseReason): void;
}

export type CloseReason = "local" | "protocol";

export interface Peer {
  readonly socketType: string;
  readonly identity: Buffer;
  /** Whether the peer takes subscriptions as commands (3.1). */
  readonly commands: boolean;
}

export interface PipeEffects {
  pipeOnMessages(pipe: Pipe): void;
  pipeOnRoom(pipe: Pipe): void;
  /** @param pipe missing if the event names no peer */
  dropped(reason: EngineDropReason, messages: number, pipe?: Pipe): void;
  /** SUBSCRIBE, CANCEL, JOIN or LEAVE. */
  pipeOnCommand(pipe: Pipe, body: Buffer): void;
}

export interface PipeOptions {
  readonly sendHighWaterMark: number;
  readonly receiveHighWaterMark: number;
  /** Cost (core/memory.ts); the last message may exceed it. 0: no mark. */
  readonly sendHighWaterMarkBytes: number;
  readonly receiveHighWaterMarkBytes: number;
  readonly maxMessageSize: number;
  /** Of a received message. */
  readonly maxFrames: number;
  readonly conflate: boolean;
  /** Whether small messages are written early: the peer may answer. */
  readonly early: boolean;
}

export class Pipe implements PeerMeterEffects, BudgetedPipe {
  readonly out = new OutQueue();
  readonly encoder = new Encoder();
  readonly in: InStream;
  readonly endpoint: string;
  readonly outlives: boolean;
  readonly #effects: PipeEffects;
  #options: PipeOptions;
  link: Link | undefined = undefined;
  peer: Peer | undefined = undefined;
  /** Counted, and reported to the program. */
  joined = false;
  /** At a ROUTER. The program gets a copy. */
  routingId: Buffer | undefined = undefined;
  givenId: Buffer | undefined = undefined;
  /** Received messages can still be taken. */
  ended = false;
  /** ms left to send a disconnected pipe's queue. */
  leaving: number | undefined = undefined;
  /** It gets no new messages. */
  released = false;
  dirty = false;
  #flushAt = FIRST_FLUSH;
  mute = false;
  queued = false;
  open = false;
  /** The last publication that matched this subscriber. */
  mark = 0;
  #paused = false;
  #starved = false;
  #held = false;
  readonly #budget: ReceiveBudget;
  /** Cost reported to the budget. */
  #counted = 0;
  #meter: PeerMeter | undefined = undefined;
  #onHeld: (() => void) | undefined = undefined;
  #limit: number;
  #limitBytes: number;
  /** Messages that fit without another check. */
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
    this.in = new InStream(
      options.maxMessageSize,
      (body) => effects.pipeOnCommand(this, body),
      options.maxFrames,
    );
  }

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

  /** If the rate delays a message, `pipeOnMessages` follows. */
  get ready(): boolean {
    return this.in.messages > 0 && (this.#meter === undefined || this.#meter.messages > 0);
  }

  hasRoom(): boolean {
    return (this.#credit > 0 && this.out.cost < this.#limitBytes) || this.#findRoom();
  }

  #findRoom(): boolean {
    if (this.#isBelowMarks()) return true;
    const { link } = this;
    if (link !== undefined && !link.blocked) {
      // The mark bounds messages that the kernel refuses; the size of a write bounds the others.
      const { bytes, cost } = this.out;
      const offered = link.far !== undefined || bytes >= FLUSH_BYTES || cost >= this.#limitBytes;
      if (!offered && this.#limit >= GATHER) {
        this.#credit = GATHER;
        return true;
      }
      link.flush();
      if (this.#isBelowMarks()) return true;
    }
    if (this.#options.conflate) return true;
    this.#awaitRoom();
    return false;
  }

  /** A send waits. */
  awaited(): void {
    const { link } = this;
    const isFull = this.mute && link !== undefined && link.far === undefined;
    if (isFull) this.#limitBytes = Math.min(this.#limitBytes, SHORT_BYTES);
  }

  #isBelowMarks(): boolean {
    this.#credit = this.#waitingBytes < this.#limitBytes ? this.#limit - this.#waiting : 0;
    return this.#credit > 0;
  }

  get #isHalfEmpty(): boolean {
    return this.#waiting <= this.#limit / 2 && this.#waitingBytes <= this.#limitBytes / 2;
  }

  hasRoomToSpare(): boolean {
    if (this.#isHalfEmpty) return true;
    const { link } = this;
    if (link !== undefined && !link.blocked) {
      link.flush();
      if (this.#isHalfEmpty) return true;
    }
    this.#awaitRoom();
    return false;
  }

  /** 0 if `hasRoom` is false. */
  roomFor(messages: number): number {
    if (!this.hasRoom()) return 0;
    if (this.#credit >= messages) return messages;
    const { link } = this;
    // The messages may fill a write and exceed the mark by at most the mark.
    const gathers = link?.blocked === false && link.far === undefined && this.out.bytes < FLUSH_BYTES;
    if (gathers && this.#limit >= GATHER) this.#credit = Math.max(this.#credit, this.#limit);
    return Math.min(messages, this.#credit);
  }

  /** Call only if `hasRoom`. @param transfer only this pipe may get the message */
  send(
    message: OutgoingMessage,
    from: number,
    prefix: readonly OutgoingFrame[] | undefined,
    transfer?: boolean,
  ): void {
    if (transfer === true && this.#pass(message, from, prefix)) return;
    // May throw; nothing has changed then.
    this.encoder.encode(message, from, prefix);
    if (this.#options.conflate) {
      this.#conflate(this.encoder, 1);
      return;
    }
    this.out.add(this.encoder, 1);
    this.#credit -= 1;
    this.#stir(true);
  }

  #pass(message: OutgoingMessage, from: number, prefix: readonly OutgoingFrame[] | undefined): boolean {
    const { link } = this;
    // A string is encoded faster than a frame is allocated.
    if (link?.pass === undefined || typeof message === "string") return false;
    if (this.#options.conflate) return false;
    const aheadBytes = link.pass(framesOf(message, from, prefix));
    if (aheadBytes < 0) return false;
    this.#credit = aheadBytes < this.#limitBytes ? this.#credit - 1 : 0;
    if (!this.dirty) flushSoon(this);
    return true;
  }

  sendEncoded(encoder: Encoder, messages = 1): void {
    if (this.#options.conflate) {
      this.#conflate(encoder, messages);
      return;
    }
    this.out.add(encoder, messages);
    this.queuedMore(messages);
  }

  /** At most as many as `roomFor` has returned. */
  queuedMore(messages: number): void {
    this.#credit -= messages;
    this.#stir();
  }

  /** `pipeOnRoom` follows once the queue is half empty. */
  #awaitRoom(): void {
    this.mute = true;
    const far = this.link?.far;
    // Its next taken messages resume the link.
    if (far !== undefined) far.#paused = true;
  }

  sendRaw(bytes: Uint8Array | string, messages: 0 | 1): void {
    this.encoder.encodeRaw(bytes);
    this.out.add(this.encoder, messages);
    this.queuedMore(messages);
  }

  /** Call only if there is a message. @param first prepended */
  take(first?: Buffer, lease?: Lease): Buffer[] {
    const message = this.in.take(first, lease);
    if (this.#meter !== undefined) this.#meter.spend(1, messageBytes(message) - (first?.length ?? 0));
    this.#taken();
    return message;
  }

  /** As `take`. Takes none from a rate-limited peer. */
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

  takeBatch(batches: Batches, max: number, first?: Buffer): FrameBatch {
    const meter = this.#meter;
    const messages = this.in.takeBatch(
      batches,
      meter === undefined ? max : Math.max(1, Math.min(max, meter.messages)),
      first,
    );
    meter?.spend(messages.messages, messages.tally.bodyBytes);
    this.#taken();
    return messages;
  }

  arrived(): void {
    const { messages } = this.in;
    if (this.#options.conflate) while (this.in.messages > 1) this.in.take();
    if (this.link?.far === undefined) this.#count();
    if (messages === 0) return;
    if (!this.#paused && !this.#options.conflate && this.#isFull(messages)) {
      const wasPaused = this.paused;
      this.#paused = true;
      if (!wasPaused) this.link?.pause?.();
    }
    this.#effects.pipeOnMessages(this);
  }

  get isGone(): boolean {
    return this.ended || this.leaving !== undefined;
  }

  marksChanged(options: PipeOptions): void {
    this.#options = options;
    const far = this.link?.far;
    if (far !== undefined) far.#roomChanged();
    this.#roomChanged();
    this.#taken();
  }

  #roomChanged(): void {
    if (this.ended) return;
    this.#findLimits();
    if (!this.mute || !this.#isBelowMarks()) return;
    this.mute = false;
    this.#effects.pipeOnRoom(this);
  }

  get paused(): boolean {
    return this.#paused || this.#starved || this.#held;
  }

  /** For a routing with its own queue. */
  setBackPressure(on: boolean): void {
    const wasPaused = this.paused;
    this.#held = on;
    if (!on) this.#resume();
    else if (!wasPaused) this.link?.pause?.();
  }

  get unfinished(): number {
    return this.in.unfinished;
  }

  budgetOnFull(): void {
    const wasPaused = this.paused;
    this.#starved = true;
    if (!wasPaused) this.link?.pause?.();
  }

  budgetOnRoom(): void {
    this.#starved = false;
    this.#resume();
  }

  budgetOnStall(): void {
    this.link?.close("protocol");
  }

  /** An unfinished message counts once another is queued, so that one message of any size always passes. */
  #isFull(messages: number): boolean {
    const { receiveHighWaterMark, receiveHighWaterMarkBytes } = this.#options;
    if (receiveHighWaterMark > 0 && messages >= receiveHighWaterMark) return true;
    return receiveHighWaterMarkBytes > 0 && this.in.cost + this.in.unfinished >= receiveHighWaterMarkBytes;
  }

  #count(): void {
    const { cost } = this.in;
    if (cost !== this.#counted) this.#budget.add(cost - this.#counted);
    if (cost > this.#counted) this.#budget.arriving(this, 0);
    this.#counted = cost;
    this.#budget.arriving(this, this.in.unfinished);
    if (!this.#starved) this.#budget.check(this);
  }

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

  relieved(): void {
    if (this.out.messages === 0 && this.out.length === 0) this.encoder.releaseSlab();
    if (!this.mute || this.ended || !this.#isHalfEmpty) return;
    this.mute = false;
    this.#effects.pipeOnRoom(this);
  }

  linked(link: Link, peer: Peer): void {
    this.link = link;
    this.peer = peer;
    this.#findLimits();
    if (this.paused) link.pause?.();
    this.relieved();
  }

  takeOut(maxBytes: number): readonly Segment[] {
    const { out } = this;
    const segments = out.take(maxBytes);
    // Messages at the other end of the process still count.
    if (this.link?.far !== undefined) this.#credit = 0;
    if (out.detached > 0) {
      this.#effects.dropped("detached", out.detached, this);
      out.detached = 0;
    }
    return segments;
  }

  flush(): void {
    this.link?.flush();
  }

  /** @returns messages lost with the link */
  unlinked(): number {
    this.link = undefined;
    this.#findLimits();
    this.in.cut();
    this.#budget.forget(this);
    this.#starved = false;
    this.#held = false;
    const lost = this.out.confirm();
    if (this.outlives) this.relieved();
    return lost;
  }

  /** @returns accepted messages that were not sent */
  end(): number {
    if (this.ended) return 0;
    this.ended = true;
    const lost = this.out.clear();
    this.#limit = -1; // The encoder's memory is about to be reused.
    this.encoder.close();
    // Departed peers would otherwise delay others.
    this.#release();
    return lost;
  }

  discard(): number {
    const messages = this.in.clear();
    this.#taken();
    return messages;
  }

  #release(): void {
    const meter = this.#meter;
    if (meter === undefined) return;
    this.#meter = undefined;
    meter.end();
    this.meterOnOpen();
  }

  #findLimits(): void {
    const { sendHighWaterMark, sendHighWaterMarkBytes } = this.#options;
    this.#limit = limitOf(sendHighWaterMark);
    this.#limitBytes = limitOf(sendHighWaterMarkBytes);
    const far = this.link?.far;
    if (far !== undefined) {
      this.#limit += limitOf(far.#options.receiveHighWaterMark);
      this.#limitBytes += limitOf(far.#options.receiveHighWaterMarkBytes);
    }
    this.#credit = 0;
  }

  get #waiting(): number {
    return this.out.messages + (this.link?.far?.in.messages ?? 0);
  }

  get #waitingBytes(): number {
    return this.out.cost + (this.link?.far?.in.cost ?? 0);
  }

  #resume(): void {
    if (!this.paused) this.link?.resume?.();
  }

  #conflate(encoder: Encoder, messages: number): void {
    const replaced = this.out.replace(encoder, messages);
    this.#credit -= messages;
    this.#stir();
    this.#effects.dropped("conflated", replaced, this);
  }

  /** @param early the program makes more messages meanwhile */
  #stir(early = false): void {
    const { link, out } = this;
    if (link === undefined) return;
    if (out.bytes >= this.#enough(link, out, early) && !link.blocked) {
      link.flush();
      this.#flushAt = Math.min(2 * this.#flushAt, FLUSH_BYTES);
    }
    if (!this.dirty) flushSoon(this);
  }

  /** @returns queued bytes that are flushed at once */
  #enough(link: Link, { bytes, messages }: OutQueue, early: boolean): number {
    if (bytes >= messages * BY_REFERENCE && link.far === undefined) return FLUSH_LARGE_BYTES;
    const areSmall = bytes <= messages * SMALL_MESSAGE;
    const isPrompt = early && this.#options.early && link.prompt === true && dirty.length <= MANY_PEERS;
    return isPrompt && areSmall ? this.#flushAt : FLUSH_BYTES;
  }

  /** Sends the rest of a turn's messages. */
  endTurn(): void {
    this.dirty = false;
    this.#flushAt = FIRST_FLUSH;
    this.flush();
  }
}

/** The program's object for a peer's routing id: the same for one connection, unless the program writes to it. */
export function lastGiven({ givenId, routingId }: Pipe): Buffer | undefined {
  const isUnchanged = givenId !== undefined && routingId !== undefined && isSameId(givenId, routingId);
  return isUnchanged ? givenId : undefined;
}

/** For the usual 5 bytes, a call of `Buffer.compare` costs more. */
export function isSameId(one: Uint8Array, other: Uint8Array): boolean {
  const { length } = other;
  if (one.length !== length) return false;
  for (let i = 0; i < length; i++) if (one[i] !== other[i]) return false;
  return true;
}

/** 0 means no limit. */
export function limitOf(highWaterMark: number): number {
  return highWaterMark === 0 ? Number.POSITIVE_INFINITY : highWaterMark;
}

/**
 * Pipes with new messages, flushed by `nextTick`, after settled promises: a loop of `await send(…)` fills a
 * batch. From a microtask each message would be a separate write. Early writes leave the rest of a turn to it.
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
      (pipes[next++] as Pipe).endTurn();
    }
  } finally {
    // Flushes the remaining pipes after one has thrown.
    for (; next < pipes.length; next++) flushSoon(pipes[next] as Pipe);
    pipes.length = 0;
    spare = pipes;
  }
}
