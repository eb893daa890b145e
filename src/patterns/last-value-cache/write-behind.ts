/**
 * Writes to a store what changed, behind the messages: no message waits for the disk.
 *
 *   idle --interval--> committing --done--> idle
 *                         └─ failed: the same is written at the next interval
 *
 * A topic that changes a thousand times between two commits is written once. What
 * changed since the last commit is lost when the process is killed.
 */
import type { CacheChanges } from "./value-cache.js";
import type { ValueStore } from "./value-store.js";

/** Topics of one commit at most: what the event loop is busy with at once. */
const MAX_COMMIT = 4_096;

/** What changes come from. */
export interface ChangeSource {
  readonly pending: number;
  takeChanges(max: number): CacheChanges;
  putBack(changes: CacheChanges): void;
}

export class WriteBehind {
  readonly #source: ChangeSource;
  readonly #store: ValueStore;
  readonly #failed: (error: unknown) => void;
  readonly #timer: NodeJS.Timeout;
  #running: Promise<boolean> | undefined;
  commits = 0;
  failures = 0;
  /** Values and removals written. */
  written = 0;
  /** Changes on their way to the disk. */
  inFlight = 0;

  /**
   * @param interval ms between two commits
   * @param failed called with why a commit failed
   */
  constructor(source: ChangeSource, store: ValueStore, interval: number, failed: (error: unknown) => void) {
    this.#source = source;
    this.#store = store;
    this.#failed = failed;
    this.#timer = setInterval(() => void this.#commit(), interval);
    // The sockets hold the process, not the disk.
    this.#timer.unref();
  }

  /** Writes everything that is left, and closes the store. What cannot be written is lost, and reported. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
    await this.#store.close();
  }

  /** Writes everything that is left; ends when a commit fails. */
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
