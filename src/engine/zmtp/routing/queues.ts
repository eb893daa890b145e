/**
 * What socket types do with several pipes: take from them in turn (30/PIPELINE, The PULL Socket Type), give to them in
 * turn (30/PIPELINE, The PUSH Socket Type).
 */

import type { OutgoingFrame, OutgoingMessage, TakenMessages } from "../../engine.js";
import type { Lease } from "../../lease.js";
import type { Pipe } from "../pipe.js";

/** Takes messages from several pipes: in turn, one of each, or all of one before the next. */
export class FairQueue {
  readonly #pipes: Pipe[] = [];
  readonly #inTurn: boolean;
  #at = 0;

  /** @param inTurn `false`: what the pipe has that came first, then the next one's, where there is one peer after another */
  constructor(inTurn = true) {
    this.#inTurn = inTurn;
  }

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

  /** The same, where several of its messages may be taken before another's. */
  nextAlone(): Pipe | undefined {
    const pipe = this.next();
    return this.#inTurn && this.#pipes.length > 1 ? undefined : pipe;
  }

  /** A message was taken of the pipe that `next` gave. */
  advance(pipe: Pipe): void {
    if (pipe.in.messages === 0) this.#drop(pipe);
    else if (this.#inTurn) this.#at += 1;
  }

  /** The next message of any peer. @param lease as of the socket */
  take(lease?: Lease): Buffer[] | undefined {
    const pipe = this.next();
    if (pipe === undefined) return undefined;
    const message = pipe.take(undefined, lease);
    this.advance(pipe);
    return message;
  }

  /** As of the socket; none where several peers have messages, which give one each in turn. @param idFor a frame to put before each */
  takeMany(
    taken: TakenMessages,
    max: number,
    maxCost: number,
    lease: Lease | undefined,
    idFor?: (pipe: Pipe) => Buffer,
  ): void {
    const pipe = this.nextAlone();
    if (pipe === undefined) return;
    pipe.takeMany(taken, max, maxCost, lease, idFor?.(pipe));
    this.advance(pipe);
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

  /**
   * @param refused a message of so many frames was thrown away
   * @param named the pipe's routing id comes before each message
   * @param inTurn as of `FairQueue`
   */
  constructor(refused: (frames: number) => void, named = false, inTurn = true) {
    super(inTurn);
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

  /** Each message is looked at. */
  override takeMany(): void {}

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
  /** Those that had none since a send waited last. */
  #full: Set<Pipe> | undefined = undefined;
  #at = 0;

  /** A pipe takes messages, or takes them again. */
  add(pipe: Pipe): void {
    if (pipe.open) return;
    pipe.open = true;
    this.#open.push(pipe);
  }

  remove(pipe: Pipe): void {
    this.#full?.delete(pipe);
    if (!pipe.open) return;
    const at = this.#open.indexOf(pipe);
    this.#close(pipe, at);
    if (at < this.#at) this.#at -= 1;
  }

  /** The next pipe with room. */
  next(): Pipe | undefined {
    const open = this.#open;
    while (open.length > 0) {
      if (this.#at >= open.length) this.#at = 0;
      const pipe = open[this.#at] as Pipe;
      if (pipe.hasRoom()) return pipe;
      if (!pipe.open) continue; // To ask it has ended it.
      this.#close(pipe, this.#at);
      this.#full ??= new Set();
      this.#full.add(pipe);
    }
    return undefined;
  }

  #close(pipe: Pipe, at: number): void {
    this.#open.splice(at, 1);
    pipe.open = false;
  }

  /** A send waits for room. */
  awaited(): void {
    if (this.#full === undefined) return;
    for (const pipe of this.#full) pipe.awaited();
    this.#full.clear();
  }

  /** Sends by the next pipe with room. @returns that pipe */
  send(
    message: OutgoingMessage,
    prefix: readonly OutgoingFrame[] | undefined,
    transfer?: boolean,
  ): Pipe | undefined {
    const pipe = this.next();
    if (pipe === undefined) return undefined;
    this.#at += 1;
    pipe.send(message, 0, prefix, transfer);
    return pipe;
  }

  /** Whether no other pipe than the one that `next` gave has room. */
  get alone(): boolean {
    return this.#open.length === 1;
  }

  /** A message goes to the pipe that `next` gave. */
  advance(): void {
    this.#at += 1;
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
