/**
 * Hears of changes of a file: of the folder that it is in, since editors replace it by another, and of the folder that it
 * really is in where it is a link, as Kubernetes mounts it. What changed there is for the reader to find out.
 */
import { type FSWatcher, watch } from "node:fs";
import { realpath } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { Debounce, DebounceTimer } from "../../core/debounce.js";

/** ms without a change after which a file counts as written. */
const QUIET = 200;
/** ms after the first change after which it is read in any case. */
const PATIENCE = 2_000;

export class FileWatch {
  readonly #file: string;
  readonly #onError: (error: Error) => void;
  readonly #timer: DebounceTimer;
  readonly #watches = new Map<string, FSWatcher>();
  #closed = false;

  /**
   * @param onChange the file may have changed, and nothing has for a while
   * @param onError a folder cannot be watched
   */
  constructor(file: string, onChange: () => void, onError: (error: Error) => void) {
    this.#file = resolve(file);
    this.#onError = onError;
    this.#timer = new DebounceTimer(new Debounce(QUIET, PATIENCE), () => {
      onChange();
      void this.#follow();
    });
  }

  /** Settles when it watches. */
  async start(): Promise<void> {
    await this.#follow();
  }

  close(): void {
    this.#closed = true;
    this.#timer.close();
    for (const each of this.#watches.values()) each.close();
    this.#watches.clear();
  }

  /** Watches the folders that matter now. */
  async #follow(): Promise<void> {
    const real = await realpath(this.#file).catch(() => this.#file);
    if (this.#closed) return;
    const folders = new Set([dirname(this.#file), dirname(real)]);
    for (const [folder, each] of this.#watches) {
      if (folders.has(folder)) continue;
      each.close();
      this.#watches.delete(folder);
    }
    for (const folder of folders) if (!this.#watches.has(folder)) this.#watch(folder);
  }

  #watch(folder: string): void {
    try {
      const each = watch(folder, { persistent: false }, this.#onEvent);
      each.on("error", (error) => this.#onError(error as Error));
      this.#watches.set(folder, each);
    } catch (error) {
      this.#onError(error as Error);
    }
  }

  #onEvent = (): void => this.#timer.note();
}
