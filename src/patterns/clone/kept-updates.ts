/**
 * What clients send to a server that stands by: kept until the other server's update
 * with the same UUID comes, or this one takes over.
 */
import { copyOf, type Operation, sizeOf } from "./operation.js";

/** Bytes that may be kept, beside their number. */
const MAX_KEPT_BYTES = 268_435_456;

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
  #bytes = 0;

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
    const bytes = sizeOf(operation);
    if (this.#kept.size >= this.#max || this.#bytes + bytes > MAX_KEPT_BYTES) return false;
    this.#bytes += bytes;
    this.#kept.set(nameOf(operation.uuid), { operation: copyOf(operation), until: now + this.#wait });
    return true;
  }

  /** The other server has it. @returns whether it was kept */
  remove(uuid: Buffer): boolean {
    return this.#kept.size > 0 && this.#delete(nameOf(uuid));
  }

  /** All of them, which are kept no more. */
  take(): Operation[] {
    const operations = Array.from(this.#kept.values(), ({ operation }) => operation);
    this.#kept.clear();
    this.#bytes = 0;
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
      this.#delete(name);
      count += 1;
    }
    return count;
  }

  #delete(name: string): boolean {
    const kept = this.#kept.get(name);
    if (kept === undefined) return false;
    this.#bytes -= sizeOf(kept.operation);
    return this.#kept.delete(name);
  }
}

function nameOf(uuid: Buffer): string {
  return uuid.toString("latin1");
}
