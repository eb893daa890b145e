/**
 * The two queues between a socket and one peer, and what they are bounded by.
 *
 *   socket -> out -> link -> peer -> link -> in -> socket
 *
 * A pipe outlives its link where this side connects: what waits in `out` goes
 * to the next connection. Where the peer connected, the pipe ends with the
 * link, once what it received has been taken.
 */
import type { EncodedMessages } from "../encoded.js";
import type { OutgoingFrame, OutgoingMessage, PeerPolicy } from "../engine.js";
import { cutFront } from "./codec/encoded.js";
import { Encoder } from "./codec/encoder.js";
import { SHORT_HEADER } from "./codec/frame.js";
import { InStream } from "./codec/in-stream.js";
import type { Counted } from "./codec/loan.js";
import { OutQueue } from "./codec/out-queue.js";
import { SLAB_SIZE } from "./codec/slab.js";
import { flushSoon } from "./flush.js";
import { PeerMeter, type PeerMeterHost } from "./peer-meter.js";

/** Bytes that wait before they are written at once, without waiting for the end of the turn (docs/performance.md). */
const FLUSH_BYTES = 65_536;
/** Messages that a write which is being filled takes past the mark, before its bytes are looked at again. */
const GATHER = 64;
/** Bytes of messages that are passed on from which they go by reference; fewer are cheaper copied and written together. */
export const BY_REFERENCE = 4_096;

/** What carries a pipe's bytes: a connection, or the other end in this process. */
export interface Link {
  /** Nothing can be handed on now; the link flushes by itself when it can. */
  readonly blocked: boolean;
  /** Messages that the peer has not taken and that count on this side; undefined: none (a wire). */
  readonly ahead?: number;
  /** How many more may wait because of those; undefined: none. */
  readonly room?: number;
  /** The sender found no room, where that hangs on the receiver alone. */
  awaitRoom?(): void;
  /** Hands on what waits in `out`, as much as goes. */
  flush(): void;
  /** Stops and starts reading. */
  pause(): void;
  resume(): void;
  /** Ends the connection on this side. */
  close(reason: CloseReason): void;
}

/** Why this side ends a link. */
export type CloseReason = "local" | "protocol" | "revoked" | "refused";

/** Who is at the other end, as its handshake said. */
export interface Peer {
  readonly socketType: string;
  /** The Identity property; empty: none. */
  readonly identity: Buffer;
  /** Whether it takes subscriptions as commands (3.1) or as messages (3.0). */
  readonly commands: boolean;
  /** What it said under the name that this socket announces, too. */
  readonly announced?: string | undefined;
}

/** Hears what happens to a pipe. */
export interface PipeOwner {
  /** Messages have come. */
  pipeOnMessages(pipe: Pipe): void;
  /** A pipe that had no room has it again. */
  pipeOnRoom(pipe: Pipe): void;
  /** A command that is not the connection's own has come: SUBSCRIBE, CANCEL. */
  pipeOnCommand(pipe: Pipe, body: Buffer): void;
}

/** The marks and limits of one socket's pipes. */
export interface PipeOptions {
  readonly sendHighWaterMark: number;
  readonly receiveHighWaterMark: number;
  readonly maxMessageSize: number;
  /** Only the last message waits, in either direction. */
  readonly conflate: boolean;
}

export class Pipe implements PeerMeterHost {
  readonly out = new OutQueue();
  readonly encoder = new Encoder();
  readonly in: InStream;
  readonly endpoint: string;
  /** Whether it is kept when its link is lost. */
  readonly outlives: boolean;
  readonly #owner: PipeOwner;
  readonly #options: PipeOptions;
  link: Link | undefined = undefined;
  /** Of the last handshake. */
  peer: Peer | undefined = undefined;
  /** The name a ROUTER has for it. */
  routingId: Buffer | undefined = undefined;
  /** It ended: what was received can still be taken. */
  ended = false;
  /** In the list of those to be flushed (flush.ts). */
  dirty = false;
  /** A send found no room here. */
  mute = false;
  /** In the fair queue's list of those with messages. */
  queued = false;
  /** For the routing's own use: subscribers that match, by publication. */
  mark = 0;
  #paused = false;
  /** Where its peer has a rate. */
  #meter: PeerMeter | undefined = undefined;
  #onHeld: (() => void) | undefined = undefined;
  #limit: number;
  /** Messages that certainly fit, since the room was last looked at: what waits can only have become less. */
  #credit = 0;

  constructor(owner: PipeOwner, options: PipeOptions, endpoint: string, outlives: boolean) {
    this.#owner = owner;
    this.#options = options;
    this.endpoint = endpoint;
    this.outlives = outlives;
    this.#limit = limitOf(options.sendHighWaterMark);
    this.in = new InStream(options.maxMessageSize, (body) => owner.pipeOnCommand(this, body));
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
    if (this.in.messages > 0) this.#owner.pipeOnMessages(this);
  }

  /** Whether a message can be taken: one is there, and its peer's rate allows it. Else its owner hears of it then. */
  get ready(): boolean {
    return this.in.messages > 0 && (this.#meter === undefined || this.#meter.messages > 0);
  }

  /** Whether a message fits; flushes if that may help. */
  hasRoom(): boolean {
    return this.#credit > 0 || this.#findRoom();
  }

  #findRoom(): boolean {
    this.#credit = this.#limit - this.#waiting;
    if (this.#credit > 0) return true;
    const { link } = this;
    if (link !== undefined && !link.blocked) {
      // The mark is for what the kernel does not take. What it has not been offered yet, because a larger write is
      // cheaper, is bounded by the write's size.
      if (link.ahead === undefined && this.out.bytes < FLUSH_BYTES && this.#limit >= GATHER) {
        this.#credit = GATHER;
        return true;
      }
      link.flush();
      this.#credit = this.#limit - this.#waiting;
      if (this.#credit > 0) return true;
    }
    if (this.#options.conflate) return true;
    this.mute = true;
    link?.awaitRoom?.();
    return false;
  }

  /** Whether a message fits and half of the mark is left for others; as `hasRoom` in all else. */
  hasRoomToSpare(): boolean {
    if (this.#waiting <= this.#limit / 2) return true;
    const { link } = this;
    if (link !== undefined && !link.blocked) {
      link.flush();
      if (this.#waiting <= this.#limit / 2) return true;
    }
    this.mute = true;
    link?.awaitRoom?.();
    return false;
  }

  /** How many of `messages` that are encoded already fit; 0: as when `hasRoom` says no. */
  roomFor(messages: number): number {
    if (!this.hasRoom()) return 0;
    if (this.#credit >= messages) return messages;
    const { link } = this;
    // They fill the write as in `#findRoom`, all at once, past the mark by no more than the mark.
    const gathers = link?.blocked === false && link.ahead === undefined && this.out.bytes < FLUSH_BYTES;
    if (gathers && this.#limit >= GATHER) this.#credit = Math.max(this.#credit, this.#limit);
    return Math.min(messages, this.#credit);
  }

  /** Queues a message; only where `hasRoom`. */
  send(message: OutgoingMessage, from: number, prefix: readonly OutgoingFrame[] | undefined): void {
    if (this.#options.conflate) this.#conflate();
    this.encoder.encode(message, from, prefix);
    this.out.add(this.encoder, 1);
    this.#credit -= 1;
    this.#stir();
  }

  /** Queues what another encoder has just encoded, for several pipes at once. */
  sendEncoded(encoder: Encoder, messages = 1): void {
    if (this.#options.conflate) this.#conflate();
    this.out.add(encoder, messages);
    this.#credit -= messages;
    this.#stir();
  }

  /** Whether several messages of `run` are better sent together: with a frame in front of each, only small ones are. */
  sendsAtOnce({ first, start, end, messages }: EncodedMessages): boolean {
    if (first === undefined) return true;
    const size = end - start + messages * (first.length + SHORT_HEADER);
    return size <= SLAB_SIZE && end - start < messages * BY_REFERENCE;
  }

  /** Queues `count` messages from the front of `run`; only where `roomFor` has said that they fit. */
  sendFront(run: EncodedMessages, count: number): void {
    const { bytes, start, first, loan } = run;
    this.sendRange(bytes, start, cutFront(run, count), count, first, loan);
  }

  /**
   * Queues messages that are encoded already.
   *
   * @param first a frame to put in front of each; of several only where `sendsAtOnce`
   * @param memory where the bytes are, if it is used again
   */
  sendRange(
    bytes: Uint8Array,
    start: number,
    end: number,
    messages: number,
    first: Uint8Array | undefined,
    memory: Counted | undefined,
  ): void {
    if (first === undefined && end - start >= BY_REFERENCE)
      this.out.addRange(bytes, start, end, messages, memory);
    else {
      if (first === undefined || messages === 1) this.encoder.encodeRange(bytes, start, end, first, memory);
      else this.encoder.encodeEach(bytes, start, end, messages, first);
      this.out.add(this.encoder, messages);
    }
    this.#credit -= messages;
    this.#stir();
  }

  /** Queues raw bytes, as a message (STREAM) or not (a command's frame). */
  sendRaw(bytes: Uint8Array | string, messages: 0 | 1): void {
    this.encoder.encodeRaw(bytes);
    this.out.add(this.encoder, messages);
    this.#credit -= messages;
    this.#stir();
  }

  /** Queues commands' frames before all that waits: what a new connection has to hear first. */
  sendFirst(bytes: Uint8Array): void {
    this.encoder.encodeRaw(bytes);
    this.out.addFirst(this.encoder, 0);
    this.#stir();
  }

  /** The next received message; only when there is one. @param first a frame to put before it */
  take(first?: Buffer): Buffer[] {
    const message = this.in.take(first);
    if (this.#meter !== undefined) this.#meter.spend(1, bytesOf(message) - (first?.length ?? 0));
    if (this.#paused && this.in.messages <= this.#options.receiveHighWaterMark >> 1) this.#resume();
    return message;
  }

  /** The next messages as they came, up to `max`; only when there is one. */
  takeEncoded(max: number, first?: Buffer): EncodedMessages {
    const meter = this.#meter;
    const messages = this.in.takeEncoded(
      meter === undefined ? max : Math.max(1, Math.min(max, meter.messages)),
      first,
    );
    meter?.spend(messages.messages, messages.tally.bodyBytes);
    if (this.#paused && this.in.messages <= this.#options.receiveHighWaterMark >> 1) this.#resume();
    return messages;
  }

  /** The next taking of messages that makes room is told to the link. */
  watch(): void {
    this.#paused = true;
  }

  /** The link has brought something. */
  arrived(): void {
    const { messages } = this.in;
    if (messages === 0) return;
    if (this.#options.conflate) while (this.in.messages > 1) this.in.take();
    const limit = this.#options.receiveHighWaterMark;
    if (limit > 0 && messages >= limit && !this.#paused && !this.#options.conflate) {
      this.#paused = true;
      this.link?.pause();
    }
    this.#owner.pipeOnMessages(this);
  }

  /** Whether reading is stopped, because the receive queue is full. */
  get paused(): boolean {
    return this.#paused;
  }

  /** The kernel, or the peer, has taken messages: there may be room again. */
  relieved(): void {
    if (this.out.messages === 0 && this.out.length === 0) this.encoder.rest();
    if (!this.mute || this.ended) return;
    if (this.#waiting > this.#limit / 2) return;
    this.mute = false;
    this.#owner.pipeOnRoom(this);
  }

  /** A new link after a handshake. */
  linked(link: Link, peer: Peer): void {
    this.link = link;
    this.peer = peer;
    this.#limit = limitOf(this.#options.sendHighWaterMark) + (link.room ?? 0);
    this.#credit = 0;
    if (this.#paused) link.pause();
    this.relieved();
  }

  /** Sends what waits, if a link is there. */
  flush(): void {
    this.link?.flush();
  }

  /** The link is lost: what was in flight went with it. @returns messages lost */
  unlinked(): number {
    this.link = undefined;
    this.#limit = limitOf(this.#options.sendHighWaterMark);
    this.#credit = 0;
    this.in.cut();
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
    if (this.#paused) this.#resume();
    return messages;
  }

  #release(): void {
    const meter = this.#meter;
    if (meter === undefined) return;
    this.#meter = undefined;
    meter.end();
    this.meterOnOpen();
  }

  get #waiting(): number {
    return this.out.messages + (this.link?.ahead ?? 0);
  }

  #resume(): void {
    this.#paused = false;
    this.link?.resume();
  }

  /** Only the newest is kept of what is not in flight. */
  #conflate(): void {
    this.out.clearWaiting();
  }

  #stir(): void {
    const { link } = this;
    if (link === undefined) return;
    if (this.out.bytes >= FLUSH_BYTES && !link.blocked) link.flush();
    else if (!this.dirty) flushSoon(this);
  }
}

function bytesOf(frames: readonly Buffer[]): number {
  let bytes = 0;
  for (const { length } of frames) bytes += length;
  return bytes;
}

/** A high-water mark of 0 is none. */
function limitOf(highWaterMark: number): number {
  return highWaterMark === 0 ? Number.POSITIVE_INFINITY : highWaterMark;
}
