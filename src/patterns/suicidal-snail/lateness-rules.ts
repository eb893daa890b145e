/**
 * How late a subscriber is, and whether it is late enough to act. Pure.
 *
 * Two clocks never agree, so a message's age cannot be read off its time. What can
 * be read is its offset: arrival by our clock minus sending by the source's, that is
 * the clocks' difference plus the way's delay. The smallest offset seen is the
 * baseline; lateness is what a message has above it. Clocks also run at different
 * speeds, so the baseline rises by DRIFT: a subscriber that is late for good stays
 * late for hours, and one whose clock is slow is not taken for late.
 *
 *   on-time --too late--> suspect --still so after `patience`--> late: act
 *      ^                     │                                    │
 *      └──── a message in time, nothing queued or lost past its limit
 */
import { Link, LinkedList } from "../../core/collections/linked-list.js";

/** ms that a baseline rises in a ms: 200 millionths, twice what cheap clocks differ by. */
const DRIFT = 0.0002;

/** Where and when a message was published. */
export interface SuicidalSnailStamp {
  /** Whose clock `time` is of; one baseline each. */
  readonly source: string;
  /** ms by the source's clock. */
  readonly time: number;
  /** Numbers the messages of `row`, each one more than the last. */
  readonly sequence?: number;
  /** What `sequence` counts. Default: the source. */
  readonly row?: string;
}

/** When a subscriber counts as late. */
export interface LatenessLimits {
  /** ms above the baseline. */
  readonly maxLateness: number;
  /** Messages waiting; 0: any number. */
  readonly maxQueue: number;
  /** Messages lost within `lossWindow`; 0: any number. */
  readonly maxLost: number;
  /** ms. */
  readonly lossWindow: number;
  /** ms that it may be late before it acts. */
  readonly patience: number;
  /** Sources, and rows, that are remembered. */
  readonly maxSources: number;
}

/** What made a subscriber late. */
export type SuicidalSnailCause =
  /** This subscriber: messages wait for it. */
  | "slow"
  /** The way, the publisher, or a clock that was set: nothing waits here. */
  | "upstream";

/** How late. */
export interface SuicidalSnailLateness {
  /** ms above the baseline. */
  readonly lateness: number;
  /** Messages that wait in this process. */
  readonly queued: number;
  /** Messages lost in the window. */
  readonly lost: number;
  readonly cause: SuicidalSnailCause;
}

/** What is to be done about a message. */
export type Verdict =
  | "on-time"
  /** Late, and patient. */
  | "suspect"
  /** Late for `patience`. */
  | "late";

interface Source {
  readonly key: string;
  baseline: number;
  at: number;
}

interface Row {
  readonly key: string;
  last: number;
}

export class LatenessRules {
  readonly #limits: LatenessLimits;
  readonly #sources = new Recent<Source>();
  readonly #rows = new Recent<Row>();
  /** When it became late; infinite: it is in time. */
  #since = Number.POSITIVE_INFINITY;
  #windowStart = Number.NEGATIVE_INFINITY;
  #windowLost = 0;
  #lost = 0;
  #forgotten = 0;

  constructor(limits: LatenessLimits) {
    this.#limits = limits;
  }

  /** Messages lost, by the sequences, since the beginning. */
  get lost(): number {
    return this.#lost;
  }

  /** Sources and rows that were forgotten, since others needed their place. */
  get forgotten(): number {
    return this.#forgotten;
  }

  /** A message arrived: teaches the baseline, and counts what was lost before it. */
  arrived(stamp: SuicidalSnailStamp, now: number): void {
    const offset = now - stamp.time;
    const source = this.#sources.get(stamp.source);
    if (source === undefined) {
      this.#forgotten += this.#sources.add(
        { key: stamp.source, baseline: offset, at: now },
        this.#limits.maxSources,
      );
    } else {
      source.baseline = Math.min(offset, source.baseline + DRIFT * Math.max(0, now - source.at));
      source.at = now;
    }
    if (stamp.sequence !== undefined) this.#count(stamp.row ?? stamp.source, stamp.sequence, now);
  }

  /** How late a message is that is handed over now. */
  latenessOf(stamp: SuicidalSnailStamp, now: number): number {
    const source = this.#sources.peek(stamp.source);
    return source === undefined ? 0 : Math.max(0, now - stamp.time - source.baseline);
  }

  /** @param queued messages that wait behind this one */
  assess(lateness: number, queued: number, now: number): Verdict {
    const { maxLateness, maxQueue, maxLost, patience } = this.#limits;
    const late =
      lateness > maxLateness ||
      (maxQueue > 0 && queued > maxQueue) ||
      (maxLost > 0 && this.recentlyLost(now) > maxLost);
    if (!late) {
      this.#since = Number.POSITIVE_INFINITY;
      return "on-time";
    }
    if (this.#since === Number.POSITIVE_INFINITY) this.#since = now;
    return now - this.#since >= patience ? "late" : "suspect";
  }

  /** What was late no longer counts; baselines stay. */
  reset(): void {
    this.#since = Number.POSITIVE_INFINITY;
    this.#windowLost = 0;
    this.#rows.clear();
  }

  describe(lateness: number, queued: number, now: number): SuicidalSnailLateness {
    return { lateness, queued, lost: this.recentlyLost(now), cause: queued > 0 ? "slow" : "upstream" };
  }

  /** Messages lost in the window at hand. */
  recentlyLost(now: number): number {
    return now - this.#windowStart > this.#limits.lossWindow ? 0 : this.#windowLost;
  }

  #count(key: string, sequence: number, now: number): void {
    const row = this.#rows.get(key);
    if (row === undefined) {
      this.#forgotten += this.#rows.add({ key, last: sequence }, this.#limits.maxSources);
      return;
    }
    const lost = sequence - row.last - 1;
    // One that is lower came before, or its source started again: nothing is known to be lost.
    row.last = sequence;
    if (lost <= 0) return;
    this.#lost += lost;
    if (now - this.#windowStart > this.#limits.lossWindow) {
      this.#windowStart = now;
      this.#windowLost = 0;
    }
    this.#windowLost += lost;
  }
}

/** Things by their key, of which the one used the longest ago makes room. */
class Recent<T extends { readonly key: string }> {
  readonly #links = new Map<string, Link<T>>();
  readonly #order = new LinkedList<T>();

  peek(key: string): T | undefined {
    return this.#links.get(key)?.value;
  }

  get(key: string): T | undefined {
    const link = this.#links.get(key);
    if (link !== undefined) this.#order.push(link);
    return link?.value;
  }

  /** @returns how many had to go */
  add(value: T, max: number): number {
    const link = new Link(value);
    this.#links.set(value.key, link);
    this.#order.push(link);
    if (this.#links.size <= max) return 0;
    this.#links.delete((this.#order.shift() as T).key);
    return 1;
  }

  clear(): void {
    this.#links.clear();
    while (this.#order.shift() !== undefined);
  }
}
