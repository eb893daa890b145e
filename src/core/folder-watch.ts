/**
 * Watches folders by path.
 *
 *   a reported change --quiet, patience--> onChange(true)
 *   every 5 s                          --> onChange(false)   some file systems report no changes
 *   a missing folder --500 ms-->           onChange(true)
 *
 * The system watches an inode, so callers call `follow`, which compares inodes, before they read.
 */
import { type FSWatcher, watch } from "node:fs";
import { stat } from "node:fs/promises";
import { systemClock } from "./clock.js";

const LOOK_EVERY = 5_000;
/** ms between polls while a folder is missing. */
const RETRY = 500;

export interface FolderWatchEffects {
  /** @param reported `false` for a periodic poll */
  onChange(reported: boolean): void;
  /** A folder cannot be watched; polling continues. */
  onError?(error: Error): void;
}

interface Watched {
  readonly watcher: FSWatcher;
  readonly inode: number;
}

export class FolderWatch {
  readonly #effects: FolderWatchEffects;
  readonly #quiet: number;
  readonly #patience: number;
  readonly #watched = new Map<string, Watched>();
  #firstChange: number | undefined = undefined;
  #settling: NodeJS.Timeout | undefined = undefined;
  #looking: NodeJS.Timeout | undefined = undefined;
  #retrying: NodeJS.Timeout | undefined = undefined;
  #closed = false;

  /**
   * @param quiet ms without changes before a report @param patience ms from the first change to the report at
   * most
   */
  constructor(quiet: number, patience: number, effects: FolderWatchEffects) {
    this.#effects = effects;
    this.#quiet = quiet;
    this.#patience = patience;
  }

  /** Watches these folders and no others. Never rejects. */
  async follow(folders: readonly string[]): Promise<void> {
    for (const folder of this.#watched.keys()) if (!folders.includes(folder)) this.#forget(folder);
    for (const folder of folders) {
      const inode = await stat(folder).then(
        ({ ino }) => ino,
        () => undefined, // The folder is missing.
      );
      if (this.#closed) return;
      if (inode !== undefined && this.#watched.get(folder)?.inode === inode) continue;
      this.#forget(folder);
      if (inode === undefined) this.retry();
      else this.#watch(folder, inode);
    }
    this.#looking ??= setInterval(() => this.#effects.onChange(false), LOOK_EVERY).unref();
  }

  retry(): void {
    if (this.#closed) return;
    this.#retrying ??= setTimeout(() => {
      this.#retrying = undefined;
      this.#effects.onChange(true);
    }, RETRY).unref();
  }

  note(): void {
    if (this.#closed) return;
    const now = systemClock.now();
    this.#firstChange ??= now;
    const left = this.#firstChange + this.#patience - now;
    if (left <= 0) return; // More changes must not delay it.
    clearTimeout(this.#settling);
    const wait = Math.min(this.#quiet, left);
    this.#settling = setTimeout(() => {
      this.#firstChange = undefined;
      this.#effects.onChange(true);
    }, wait).unref();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#settling);
    clearInterval(this.#looking);
    clearTimeout(this.#retrying);
    for (const folder of this.#watched.keys()) this.#forget(folder);
  }

  #watch(folder: string, inode: number): void {
    try {
      const watcher = watch(folder, { persistent: false }, () => this.note());
      watcher.on("error", (error) => {
        if (this.#watched.get(folder)?.watcher !== watcher) return;
        this.#forget(folder); // The next `follow` tries again.
        this.note();
        this.#effects.onError?.(error as Error);
      });
      this.#watched.set(folder, { watcher, inode });
    } catch (error) {
      this.#effects.onError?.(error as Error);
    }
  }

  #forget(folder: string): void {
    this.#watched.get(folder)?.watcher.close();
    this.#watched.delete(folder);
  }
}
