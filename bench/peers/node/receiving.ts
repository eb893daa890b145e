/** Streams that a side receives: each message is checked, and the clock runs from the first warm stream to the last end. */
import { sumOfChecksums } from "../../sequences.js";
import type { Outcome, Side } from "./side.js";

interface Checking {
  take(message: Uint8Array): void;
  readonly checksum: string;
  readonly ordered: boolean;
}

export class Stream {
  seen = 0;
  readonly #checker: Checking;
  /** Messages until half of the warm-up, its end, and the stream's. */
  readonly #half: number;
  readonly #first: number;
  readonly #total: number;
  readonly #onWarm: (isHalf: boolean) => void;
  readonly #onEnd: () => void;

  /** @param onWarm called halfway through the warm-up, too */
  constructor(side: Side, checker: Checking, onWarm: (isHalf: boolean) => void, onEnd: () => void) {
    this.#checker = checker;
    this.#half = side.warmup >> 1;
    this.#first = Math.max(1, side.warmup);
    this.#total = side.warmup + side.count;
    this.#onWarm = onWarm;
    this.#onEnd = onEnd;
  }

  /** Messages to receive at once at most, so that the clock starts and stops at the right one. */
  get room(): number {
    return (this.seen < this.#first ? this.#first : this.#total) - this.seen;
  }

  /** @returns whether it was the last one */
  take(message: Uint8Array): boolean {
    this.#checker.take(message);
    const seen = ++this.seen;
    if (seen === this.#half || seen === this.#first) this.#onWarm(seen !== this.#first);
    if (seen < this.#total) return false;
    this.#onEnd();
    return true;
  }
}

export class Receiving {
  readonly streams: readonly Stream[];
  readonly #side: Side;
  readonly #checkers: readonly Checking[];
  readonly #finished: Promise<void>;
  #finish: () => void = () => undefined;
  #open: number;
  #isRehearsed = false;
  #late: number | undefined;

  constructor(side: Side, checkers: readonly Checking[]) {
    this.#side = side;
    this.#checkers = checkers;
    this.#open = checkers.length;
    this.#finished = new Promise((resolve) => (this.#finish = resolve));
    const onWarm = (isHalf: boolean) => (isHalf ? this.#rehearse() : this.#begin());
    const onEnd = () => this.#end();
    this.streams = checkers.map((checker) => new Stream(side, checker, onWarm, onEnd));
  }

  /** One stream. */
  static one(side: Side, checker: Checking = side.checker()): { receiving: Receiving; stream: Stream } {
    const receiving = new Receiving(side, [checker]);
    return { receiving, stream: receiving.streams[0] as Stream };
  }

  /** Waits for the end of all streams, and prints `done`. */
  async done(): Promise<void> {
    await this.#finished;
    await this.#side.done(this.outcome());
  }

  outcome(): Outcome {
    const messages = this.#side.count * this.#checkers.length;
    return {
      messages,
      bytes: messages * this.#side.size,
      checksum: sumOfChecksums(this.#checkers.map(({ checksum }) => checksum)),
      ordered: this.#checkers.every(({ ordered }) => ordered),
      extra: { late: this.#late ?? 0 },
    };
  }

  #rehearse(): void {
    if (!this.#isRehearsed) this.#side.begin(true);
    this.#isRehearsed = true;
  }

  /** Warm-up messages that other streams receive from now on are reported: they take the same time. */
  #begin(): void {
    if (this.#late !== undefined) return;
    const { warmup } = this.#side;
    this.#late = this.streams.reduce((late, { seen }) => late + Math.max(0, warmup - seen), 0);
    this.#side.begin();
  }

  #end(): void {
    this.#open -= 1;
    if (this.#open > 0) return;
    this.#side.end();
    this.#finish();
  }
}
