/** Gives messages to several pipes in turn, passing over those without room (30/PIPELINE, The PUSH Socket Type). */

import type { OutgoingFrame, OutgoingMessage } from "../../engine.js";
import type { FrameBatch } from "../../frame-batch.js";
import type { Pipe } from "../pipe.js";

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
