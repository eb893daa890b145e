/**
 * What clients send to a server that stands by: kept until the other server's update
 * with the same UUID comes, or this one takes over.
 */
import { copyOf, type Operation } from "./operation.js";

/** ms, at least, that an update is kept while standing by; the other server refused what it has not applied by then. */
const MIN_KEPT = 10_000;
/** Intervals for which it is kept, where that is longer. */
const KEPT_INTERVALS = 10;

interface Kept {
  readonly operation: Operation;
  readonly until: number;
}

export class KeptUpdates {
  readonly #max: number;
  readonly #wait: number;
  /** By UUID, the oldest first. */
  readonly #kept = new Map<string, Kept>();

  /** @param max updates. @param interval ms between two heartbeats */
  constructor(max: number, interval: number) {
    this.#max = max;
    this.#wait = Math.max(MIN_KEPT, KEPT_INTERVALS * interval);
  }

  get size(): number {
    return this.#kept.size;
  }

  has(uuid: Buffer): boolean {
    return this.#kept.has(nameOf(uuid));
  }

  /** @returns `false` when there is no room */
  add(operation: Operation, now: number): boolean {
    if (this.#kept.size >= this.#max) return false;
    this.#kept.set(nameOf(operation.uuid), { operation: copyOf(operation), until: now + this.#wait });
    return true;
  }

  /** The other server has it. @returns whether it was kept */
  remove(uuid: Buffer): boolean {
    return this.#kept.size > 0 && this.#kept.delete(nameOf(uuid));
  }

  /** All of them, which are kept no more. */
  take(): Operation[] {
    const operations = Array.from(this.#kept.values(), ({ operation }) => operation);
    this.#kept.clear();
    return operations;
  }

  /** When the oldest is kept no more. */
  next(): number | undefined {
    for (const { until } of this.#kept.values()) return until;
    return undefined;
  }

  /** @returns how many had their time */
  forget(now: number): number {
    let count = 0;
    for (const [name, { until }] of this.#kept) {
      if (until > now) break;
      this.#kept.delete(name);
      count += 1;
    }
    return count;
  }
}

function nameOf(uuid: Buffer): string {
  return uuid.toString("latin1");
}
