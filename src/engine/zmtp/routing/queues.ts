/**
 * Fair queueing and load balancing over pipes (30/PIPELINE, The PULL and The PUSH Socket Type).
 */

import type { Lease, OutgoingFrame, OutgoingMessage, TakenMessages } from "../../engine.js";
import type { Pipe } from "../pipe.js";

/** One message from each pipe in turn, or all from one pipe before the next. */
export class FairQueue {
  readonly #pipes: Pipe[] = [];
  readonly #inTurn: boolean;
  #at = 0;

  /** @param inTurn `false` empties the oldest pipe first, for types with one peer at a time */
  constructor(inTurn = true) {
    this.#inTurn = inTurn;
  }

  add(pipe: Pipe): void {
    if (pipe.queued) return;
    pipe.queued = true;
    this.#pipes.push(pipe);
  }

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

  advance(pipe: Pipe): void {
    if (pipe.in.messages === 0) this.#drop(pipe);
    else if (this.#inTurn) this.#at += 1;
  }

  /** Takes nothing if several peers have messages. @param idFor a frame to prepend */
  takeMany(
    taken: TakenMessages,
    max: number,
    maxCost: number,
    lease: Lease | undefined,
    idFor?: (pipe: Pipe) => Buffer | undefined,
  ): void {
    const pipe = this.next();
    // Several peers take turns, one message each.
    if (pipe === undefined || (this.#inTurn && this.#pipes.length > 1)) return;
    pipe.takeMany(taken, max, maxCost, lease, idFor?.(pipe));
    this.advance(pipe);
  }

  #drop(pipe: Pipe): void {
    pipe.queued = false;
    this.#pipes.splice(this.#at, 1);
  }
}

/** In turn, skipping full pipes. */
export class LoadBalancer {
  readonly #open: Pipe[] = [];
  /** Pipes found full since the last waiting send. */
  #full: Set<Pipe> | undefined = undefined;
  #at = 0;

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

  next(): Pipe | undefined {
    const open = this.#open;
    while (open.length > 0) {
      if (this.#at >= open.length) this.#at = 0;
      const pipe = open[this.#at] as Pipe;
      if (pipe.hasRoom()) return pipe;
      if (!pipe.open) continue; // The check itself may end the pipe.
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

  awaited(): void {
    if (this.#full === undefined) return;
    for (const pipe of this.#full) pipe.awaited();
    this.#full.clear();
  }

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

  get alone(): boolean {
    return this.#open.length === 1;
  }

  advance(): void {
    this.#at += 1;
  }
}

/** Prefers linked pipes. @param most targets @returns the targets; if empty, the queue stays */
export function moveToOthers(from: Pipe, pipes: Iterable<Pipe>, most = Number.POSITIVE_INFINITY): Pipe[] {
  if (from.out.length === 0) return [];
  const others = [...pipes].filter((pipe) => pipe !== from && pipe.takesMoved);
  const linked = others.filter(({ link }) => link !== undefined);
  const targets = (linked.length > 0 ? linked : others).slice(0, most);
  if (targets.length > 0) from.moveTo(targets);
  else for (const pipe of pipes) if (pipe !== from && !pipe.released) pipe.awaitRoom();
  return targets;
}
