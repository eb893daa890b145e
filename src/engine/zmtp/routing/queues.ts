/**
 * What socket types do with several pipes: take from them in turn (30/PIPELINE, The PULL Socket Type), give to them in
 * turn (30/PIPELINE, The PUSH Socket Type), give to all of them (29/PUBSUB).
 */

import type { OutgoingFrame, OutgoingMessage } from "../../engine.js";
import { skipMessages } from "../../frame.js";
import type { FrameBatch } from "../../frame-batch.js";
import type { Encoder } from "../codec/encoder.js";
import type { RefCounted } from "../codec/pooled-buffer.js";
import { BY_REFERENCE, type Pipe } from "../pipe.js";
import type { RoutingEffects } from "./routing.js";

/** Takes messages from several pipes in turn, one of each. */
export class FairQueue {
  readonly #pipes: Pipe[] = [];
  #at = 0;

  get length(): number {
    return this.#pipes.length;
  }

  /** Whether `take` gives a message. */
  get readable(): boolean {
    return this.next() !== undefined;
  }

  /** Messages that were taken of their pipes, and not by `take` yet. */
  get held(): number {
    return 0;
  }

  /** Throws away what is held. @returns how many messages */
  discard(): number {
    return 0;
  }

  /** The pipe has messages. */
  add(pipe: Pipe): void {
    if (pipe.queued) return;
    pipe.queued = true;
    this.#pipes.push(pipe);
  }

  /** The pipe whose turn it is; it has a message. */
  next(): Pipe | undefined {
    const pipes = this.#pipes;
    while (pipes.length > 0) {
      if (this.#at >= pipes.length) this.#at = 0;
      const pipe = pipes[this.#at] as Pipe;
      if (pipe.ready) return pipe;
      this.#drop(pipe);
    }
    return undefined;
  }

  /** A message was taken of the pipe that `next` gave. */
  advance(pipe: Pipe): void {
    if (pipe.in.messages === 0) this.#drop(pipe);
    else this.#at += 1;
  }

  /** The next message of any peer. */
  take(): Buffer[] | undefined {
    const pipe = this.next();
    if (pipe === undefined) return undefined;
    const message = pipe.take();
    this.advance(pipe);
    return message;
  }

  /** The next messages as they came: those of one chunk of the pipe whose turn it is. */
  takeBatch(max: number): FrameBatch | undefined {
    const pipe = this.next();
    if (pipe === undefined) return undefined;
    const messages = pipe.takeBatch(max);
    this.advance(pipe);
    return messages;
  }

  #drop(pipe: Pipe): void {
    pipe.queued = false;
    this.#pipes.splice(this.#at, 1);
  }
}

/** Messages of one frame alone: others are thrown away, as the draft socket types do (41/CLISRV, 49/SCATTERGATHER, 52/CHANNEL). */
export class SingleFrameQueue extends FairQueue {
  readonly #refused: (frames: number) => void;
  readonly #named: boolean;
  #next: Buffer[] | undefined = undefined;

  /** @param refused a message of so many frames was thrown away @param named the pipe's routing id comes before each message */
  constructor(refused: (frames: number) => void, named = false) {
    super();
    this.#refused = refused;
    this.#named = named;
  }

  override get readable(): boolean {
    while (this.#next === undefined) {
      const pipe = this.next();
      if (pipe === undefined) return false;
      const message = this.#named ? pipe.take(pipe.routingId) : pipe.take();
      this.advance(pipe);
      const frames = this.#named ? message.length - 1 : message.length;
      if (frames === 1) this.#next = message;
      else this.#refused(frames);
    }
    return true;
  }

  override get held(): number {
    return this.#next === undefined ? 0 : 1;
  }

  override discard(): number {
    const { held } = this;
    this.#next = undefined;
    return held;
  }

  override take(): Buffer[] | undefined {
    if (!this.readable) return undefined;
    const message = this.#next;
    this.#next = undefined;
    return message;
  }
}

/** Gives messages to several pipes in turn, passing over those without room. */
export class LoadBalancer {
  /** Pipes that had room when they were last asked. */
  readonly #open: Pipe[] = [];
  #at = 0;

  /** A pipe takes messages, or takes them again. */
  add(pipe: Pipe): void {
    if (!this.#open.includes(pipe)) this.#open.push(pipe);
  }

  remove(pipe: Pipe): void {
    const at = this.#open.indexOf(pipe);
    if (at < 0) return;
    this.#open.splice(at, 1);
    if (at < this.#at) this.#at -= 1;
  }

  /** The next pipe with room. */
  next(): Pipe | undefined {
    const open = this.#open;
    while (open.length > 0) {
      if (this.#at >= open.length) this.#at = 0;
      const pipe = open[this.#at] as Pipe;
      if (pipe.hasRoom()) return pipe;
      open.splice(this.#at, 1);
    }
    return undefined;
  }

  /** Sends by the next pipe with room. @returns that pipe */
  send(message: OutgoingMessage, prefix: readonly OutgoingFrame[] | undefined): Pipe | undefined {
    const pipe = this.next();
    if (pipe === undefined) return undefined;
    this.#at += 1;
    pipe.send(message, 0, prefix);
    return pipe;
  }

  /** Sends what there is room for: in turn, or all of it where only one pipe has room. @returns whether that was all */
  sendBatch(batch: FrameBatch): boolean {
    while (batch.messages > 0) {
      const pipe = this.next();
      if (pipe === undefined) return false;
      const alone = this.#open.length === 1;
      this.#at += 1;
      pipe.sendFront(batch, alone && pipe.sendsAtOnce(batch) ? pipe.roomFor(batch.messages) : 1);
    }
    return true;
  }
}

/**
 * Moves what waits in a pipe to others: to those that are linked, where there are any.
 *
 * @param most others at most
 * @returns those that have it now; none: nobody takes it, and it stays where it is until one has room
 */
export function moveToOthers(from: Pipe, pipes: Iterable<Pipe>, most = Number.POSITIVE_INFINITY): Pipe[] {
  if (from.out.length === 0) return [];
  const others = [...pipes].filter((pipe) => pipe !== from && pipe.takesMoved);
  const linked = others.filter(({ link }) => link !== undefined);
  const targets = (linked.length > 0 ? linked : others).slice(0, most);
  if (targets.length > 0) from.moveTo(targets);
  else for (const pipe of pipes) if (pipe !== from && !pipe.released) pipe.awaitRoom();
  return targets;
}

/** Several messages that are encoded already. */
interface EncodedRange {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  /** Messages in it. */
  readonly count: number;
  /** Where the bytes are, if it is used again. */
  readonly memory: RefCounted | undefined;
}

/**
 * Gives each pipe as many of the messages, from the first on, as fit; the others are dropped for that pipe, and reported.
 * Large ones go by reference, small ones through one encoder, so that neighbours become one write.
 */
export function fanOut(
  range: EncodedRange,
  pipes: readonly Pipe[],
  encoder: Encoder,
  effects: RoutingEffects,
): void {
  const { bytes, start, end, count, memory } = range;
  const shared = pipes.length > 1 && end - start < BY_REFERENCE;
  if (shared) encoder.encodeRange(bytes, start, end, undefined, memory);
  let missed: [Pipe, number][] | undefined;
  for (let i = 0; i < pipes.length; i++) {
    const pipe = pipes[i] as Pipe;
    let left = count;
    for (let from = start; left > 0; ) {
      const fitting = pipe.roomFor(left);
      if (fitting === 0) {
        missed ??= [];
        missed.push([pipe, left]);
        break;
      }
      if (shared && fitting === count) pipe.sendEncoded(encoder, count);
      else {
        const to = fitting === left ? end : skipMessages(bytes, from, fitting);
        pipe.sendRange(bytes, from, to, fitting, undefined, memory);
        from = to;
      }
      left -= fitting;
    }
  }
  // Last: a listener of the drop may publish, and the encoder is one for all messages.
  if (missed !== undefined) for (const [pipe, left] of missed) effects.routingOnDrop("peer-full", pipe, left);
}

/** Whether both lists have the same pipes in the same order. */
export function isSame(one: readonly Pipe[], other: readonly Pipe[]): boolean {
  if (one.length !== other.length) return false;
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false;
  return true;
}
