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
 *      └──── a message in time, nothing queued or lost past its limit
 */
import { Link, LinkedList } from "../../core/collections/linked-list.js";

/** Rise of a baseline in ms per ms: 200 ppm, twice the drift of cheap clocks. */
const DRIFT = 0.0002;

export interface SuicidalSnailStamp {
  /** Owner of the clock; one baseline each. */
  readonly source: string;
  /** ms by the source's clock. */
  readonly time: number;
  /** Number in `row`, increasing by one. */
  readonly sequence?: number;
  /** Scope of `sequence`. Default: the source. */
  readonly row?: string;
}

export interface LatenessLimits {
  /** ms above the baseline. */
  readonly maxLateness: number;
  /** 0: any number. */
  readonly maxQueue: number;
  /** Within `lossWindow`; 0: any number. */
  readonly maxLost: number;
  /** ms. */
  readonly lossWindow: number;
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
  /** In the window. */
  readonly lost: number;
  readonly cause: SuicidalSnailCause;
}

export type Verdict = "on-time" | "suspect" | "late";

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
  /** Infinite when in time. */
  #since = Number.POSITIVE_INFINITY;
  #windowStart = Number.NEGATIVE_INFINITY;
  #windowLost = 0;
  #lost = 0;
  #forgotten = 0;

  constructor(limits: LatenessLimits) {
    this.#limits = limits;
  }

  get lost(): number {
    return this.#lost;
  }

  get forgotten(): number {
    return this.#forgotten;
  }

  /** Updates the baseline, and counts losses. */
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

  /** At delivery. */
  latenessOf(stamp: SuicidalSnailStamp, now: number): number {
    const source = this.#sources.peek(stamp.source);
    return source === undefined ? 0 : Math.max(0, now - stamp.time - source.baseline);
  }

  /** @param queued messages behind this one */
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

  /** Baselines stay. */
  reset(): void {
    this.#since = Number.POSITIVE_INFINITY;
    this.#windowLost = 0;
    this.#rows.clear();
  }

  describe(lateness: number, queued: number, now: number): SuicidalSnailLateness {
    return { lateness, queued, lost: this.recentlyLost(now), cause: queued > 0 ? "slow" : "upstream" };
  }

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
    // A lower sequence is a repetition or a restart.
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

/** Evicts the least recently used. */
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

  /** @returns evictions */
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
