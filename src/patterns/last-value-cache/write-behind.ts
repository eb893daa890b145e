/**
 * Writes changes to a store in the background.
 *
 *   idle --interval--> committing --done--> idle
 *                         └─ failed: the same is written at the next interval
 *
 * A topic that changes often is written once per commit. A crash loses the changes since the last one.
 */
import { LmdbValueStore } from "./lmdb-value-store.js";
import type { LastValueCacheStats } from "./options.js";
import type { ValueCache } from "./value-cache.js";

type StoreStats = NonNullable<LastValueCacheStats["store"]>;

/** Bounds the time of a commit. */
const MAX_COMMIT = 4_096;

export class WriteBehind {
  readonly #source: ValueCache;
  readonly #store: LmdbValueStore;
  readonly #failed: (error: unknown) => void;
  readonly #timer: NodeJS.Timeout;
  #running: Promise<boolean> | undefined;
  #inFlight = 0;
  readonly #counts = { restored: 0, damaged: 0, commits: 0, failures: 0, written: 0 };

  /**
   * Restores the values of a folder.
   * @param interval ms between commits
   * @throws as LmdbValueStore
   */
  constructor(source: ValueCache, directory: string, interval: number, failed: (error: unknown) => void) {
    this.#source = source;
    this.#failed = failed;
    this.#store = new LmdbValueStore(directory);
    try {
      const { values, damaged } = this.#store.load();
      for (const { frames, order } of values) source.restore(frames, order);
      this.#counts.restored = source.topics;
      this.#counts.damaged = damaged;
    } catch (error) {
      void this.#store.close();
      throw error;
    }
    this.#timer = setInterval(() => void this.#commit(), interval);
    this.#timer.unref();
  }

  stats(): StoreStats {
    return { ...this.#counts, pending: this.#source.pending + this.#inFlight };
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
    this.#inFlight = count;
    try {
      await this.#store.commit(changes);
    } catch (error) {
      this.#counts.failures += 1;
      this.#source.putBack(changes);
      this.#failed(error);
      return false;
    } finally {
      this.#inFlight = 0;
    }
    this.#counts.commits += 1;
    this.#counts.written += count;
    return true;
  }
}
