/** Takes messages from several pipes in turn, one of each (30/PIPELINE, The PULL Socket Type). */
import type { FrameBatch } from "../../frame-batch.js";
import type { Pipe } from "../pipe.js";

export class FairQueue {
  readonly #pipes: Pipe[] = [];
  #at = 0;

  get length(): number {
    return this.#pipes.length;
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
