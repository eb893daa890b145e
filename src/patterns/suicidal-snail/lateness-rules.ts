/**
 * Measures a subscriber's lateness, and decides when to act. Pure.
 *
 * Clocks differ, so a message's timestamp does not show its age. Its offset (local arrival minus remote sending) is
 * the clocks' difference plus the delay. The smallest offset seen is the baseline; lateness is the excess above it.
 * Clocks also drift, so the baseline rises by DRIFT: a permanently late subscriber stays late for hours, and a slow
 * clock does not count as late.
 *
 *   on-time --too late--> suspect --still so after `patience`--> late: act
 *      ^                     │                                    │
 *      └──── a message in time, nothing queued past its limit
 */
import { Link, LinkedList } from "../../core/collections/queues.js";

/** Rise of a baseline in ms per ms: 200 ppm, twice the drift of cheap clocks. */
const DRIFT = 0.0002;

export interface SuicidalSnailStamp {
  /** Owner of the clock; one baseline each. */
  readonly source: string;
  /** ms by the source's clock. */
  readonly time: number;
  /** Handed over with the message. */
  readonly sequence?: number;
}

export interface LatenessLimits {
  /** ms above the baseline. */
  readonly maxLateness: number;
  /** 0: any number. */
  readonly maxQueue: number;
  /** ms. */
  readonly patience: number;
  readonly maxSources: number;
}

export type SuicidalSnailCause =
  /** Messages are queued here. */
  | "slow"
  /** The network, the publisher, or a clock change. */
  | "upstream";

export interface SuicidalSnailLateness {
  /** ms above the baseline. */
  readonly lateness: number;
  readonly queued: number;
  readonly cause: SuicidalSnailCause;
}

export type Verdict = "on-time" | "suspect" | "late";

interface Source {
  readonly key: string;
  baseline: number;
  at: number;
}

export class LatenessRules {
  readonly #limits: LatenessLimits;
  readonly #sources = new Map<string, Link<Source>>();
  /** Least recently heard first. */
  readonly #order = new LinkedList<Source>();
  /** Infinite when in time. */
  #since = Number.POSITIVE_INFINITY;
  #forgotten = 0;

  constructor(limits: LatenessLimits) {
    this.#limits = limits;
  }

  get forgotten(): number {
    return this.#forgotten;
  }

  /** Updates the baseline. */
  arrived({ source: key, time }: SuicidalSnailStamp, now: number): void {
    const offset = now - time;
    let link = this.#sources.get(key);
    if (link === undefined) {
      link = new Link({ key, baseline: offset, at: now });
      this.#sources.set(key, link);
      if (this.#sources.size > this.#limits.maxSources) {
        this.#sources.delete((this.#order.shift() as Source).key);
        this.#forgotten += 1;
      }
    }
    this.#order.push(link);
    const source = link.value;
    source.baseline = Math.min(offset, source.baseline + DRIFT * Math.max(0, now - source.at));
    source.at = now;
  }

  /** At delivery. */
  latenessOf(stamp: SuicidalSnailStamp, now: number): number {
    const source = this.#sources.get(stamp.source)?.value;
    return source === undefined ? 0 : Math.max(0, now - stamp.time - source.baseline);
  }

  /** @param queued messages behind this one */
  assess(lateness: number, queued: number, now: number): Verdict {
    const { maxLateness, maxQueue, patience } = this.#limits;
    if (lateness <= maxLateness && (maxQueue === 0 || queued <= maxQueue)) {
      this.#since = Number.POSITIVE_INFINITY;
      return "on-time";
    }
    if (this.#since === Number.POSITIVE_INFINITY) this.#since = now;
    return now - this.#since >= patience ? "late" : "suspect";
  }
}
