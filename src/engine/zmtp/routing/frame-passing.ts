/**
 * Messages that pass as their frames, in both directions, of socket types that look at nothing in them (engine.ts).
 *
 * The same rules as on the way of all others, which is the way of whatever is refused here: the balancer's turn, the marks, what waits
 * before. It is short, so that V8 makes one piece of code of it.
 */
import type { FramePassing, ReceivedList } from "../../engine.js";
import type { Pipe } from "../pipe.js";
import type { FairQueue } from "./queues.js";

/** Where the next message goes, as a LoadBalancer says it. */
interface OutgoingPipes {
  /** One with room. */
  next(): Pipe | undefined;
  advance(): void;
}

/** Of a socket type with one peer. */
export function onePipe(pipe: () => Pipe | undefined): OutgoingPipes {
  return {
    next() {
      const only = pipe();
      return only?.hasRoom() === true ? only : undefined;
    },
    advance() {},
  };
}

class Passing implements FramePassing {
  readonly #out: OutgoingPipes | undefined;
  readonly #in: FairQueue;

  constructor(out: OutgoingPipes | undefined, from: FairQueue) {
    this.#out = out;
    this.#in = from;
  }

  pass(frame: Buffer): boolean {
    const out = this.#out;
    const pipe = out?.next();
    if (pipe === undefined || !pipe.passFrames(frame)) return false;
    (out as OutgoingPipes).advance();
    return true;
  }

  takeList(max: number, maxCost: number): ReceivedList | undefined {
    const pipe = this.#in.nextAlone();
    const list = pipe?.takeList(max, maxCost);
    if (list !== undefined) this.#in.advance(pipe as Pipe);
    return list;
  }
}

/** @param out undefined: it sends nothing */
export function framePassing(out: OutgoingPipes | undefined, from: FairQueue): FramePassing {
  return new Passing(out, from);
}
