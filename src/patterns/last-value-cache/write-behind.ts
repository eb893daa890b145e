/**
 * Writes changes to a store in the background.
 *
 *   idle --interval--> committing --done--> idle
 *                         └─ failed: the same is written at the next interval
 *
 * A topic that changes often is written once per commit. A crash loses the changes since the last one.
 */
import type { LmdbValueStore } from "./lmdb-value-store.js";
import type { ValueCache } from "./value-cache.js";

/** Bounds the time of a commit. */
const MAX_COMMIT = 4_096;

export class WriteBehind {
  readonly #source: ValueCache;
  readonly #store: LmdbValueStore;
  readonly #failed: (error: unknown) => void;
  readonly #timer: NodeJS.Timeout;
  #running: Promise<boolean> | undefined;
  commits = 0;
  failures = 0;
  written = 0;
  inFlight = 0;

  /** @param interval ms between commits */
  constructor(source: ValueCache, store: LmdbValueStore, interval: number, failed: (error: unknown) => void) {
    this.#source = source;
    this.#store = store;
    this.#failed = failed;
    this.#timer = setInterval(() => void this.#commit(), interval);
    this.#timer.unref();
  }

  /** Changes that cannot be written are lost and reported. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
    await this.#store.close();
  }

  /** Stops at a failed commit. */
  async flush(): Promise<void> {
    await this.#running;
    while (this.#source.pending > 0 && (await this.#commit()));
  }

  #commit(): Promise<boolean> {
    if (this.#running !== undefined) return this.#running;
    if (this.#source.pending === 0) return Promise.resolve(true);
    this.#running = this.#write().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #write(): Promise<boolean> {
    const changes = this.#source.takeChanges(MAX_COMMIT);
    const count = changes.changed.length + changes.removed.length;
    this.inFlight = count;
    try {
      await this.#store.commit(changes);
    } catch (error) {
      this.failures += 1;
      this.#source.putBack(changes);
      this.#failed(error);
      return false;
    } finally {
      this.inFlight = 0;
    }
    this.commits += 1;
    this.written += count;
    return true;
  }
}
