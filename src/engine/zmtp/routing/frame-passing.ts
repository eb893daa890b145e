/**
 * Passes messages as frames in both directions, for socket types that do not inspect them (engine.ts).
 * Refused messages take the usual way, with the same rules: the balancer's turn, the marks, earlier messages.
 * Short methods let V8 inline the path.
 */
import type { FramePassing, ReceivedList } from "../../engine.js";
import type { Pipe } from "../pipe.js";
import type { FairQueue } from "./queues.js";

interface OutgoingPipes {
  next(): Pipe | undefined;
  advance(): void;
}

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

export function framePassing(out: OutgoingPipes | undefined, from: FairQueue): FramePassing {
  return new Passing(out, from);
}
