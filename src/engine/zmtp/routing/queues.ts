/**
 * How messages are shared out over pipes: fair queueing and load balancing (30/PIPELINE, The PULL and The PUSH Socket
 * Type), and fan-out (PUB, XPUB, RADIO).
 */
import {
  type Lease,
  OfferResult,
  type OutgoingFrame,
  type OutgoingMessage,
  type TakenMessages,
} from "../../engine.js";
import { Encoder, letGo } from "../codec/encoder.js";
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
  #at = 0;

  add(pipe: Pipe): void {
    if (pipe.open) return;
    pipe.open = true;
    this.#open.push(pipe);
  }

  remove(pipe: Pipe): void {
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
    }
    return undefined;
  }

  #close(pipe: Pipe, at: number): void {
    this.#open.splice(at, 1);
    pipe.open = false;
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

export interface FanOutEffects {
  readonly options: { readonly noDrop?: boolean | undefined };
  dropped(reason: "peer-full", messages: number, pipe: Pipe): void;
}

/** One message to many pipes, encoded once. In use during one send. Small neighbours share the encoder's slab. */
export class FanOut {
  readonly encoder = new Encoder();
  readonly pipes: Pipe[] = [];

  /** Drops the message for full pipes; with `noDrop` none gets it then. */
  send(message: OutgoingMessage, pipes: readonly Pipe[], effects: FanOutEffects): OfferResult {
    if (pipes.length === 0) return OfferResult.Accepted;
    const { encoder } = this;
    const { noDrop } = effects.options;
    if (noDrop === true) {
      let isFull = false;
      for (let i = 0; i < pipes.length; i++) if (!(pipes[i] as Pipe).hasRoom()) isFull = true;
      if (isFull) return OfferResult.Mute;
    }
    encoder.encode(message, 0, undefined);
    const held = encoder.hold();
    let full: Pipe[] | undefined;
    for (let i = 0; i < pipes.length; i++) {
      const pipe = pipes[i] as Pipe;
      if (noDrop === true || pipe.hasRoom()) pipe.sendEncoded(encoder);
      else if (full === undefined) full = [pipe];
      else full.push(pipe);
    }
    letGo(held);
    // Last, because a listener may publish: its message comes after this one.
    if (full !== undefined) for (const pipe of full) effects.dropped("peer-full", 1, pipe);
    return OfferResult.Accepted;
  }
}

/** A listener of dropped messages may publish within a write, when the first one is in use. */
export class FanOuts {
  #idle: FanOut | undefined = undefined;

  begin(): FanOut {
    const fanOut = this.#idle ?? new FanOut();
    this.#idle = undefined;
    return fanOut;
  }

  end(fanOut: FanOut): void {
    if (this.#idle === undefined) this.#idle = fanOut;
    else fanOut.encoder.close();
  }
}
