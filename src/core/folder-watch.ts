/**
 * Watches folders by their paths: a client's keys (sockets/security/key-folder.ts), a configuration's file (config/watch.ts).
 *
 *   a change that the system reports --quiet, patience--> onChange(true)
 *   every 5 s                                         --> onChange(false)   not every file system reports changes
 *   a folder is missing --500 ms-->                       onChange(true)
 *
 * The system watches what a path led to, not the path: a folder that was replaced by another of its name would be watched
 * where it is now. So `follow` compares, and is to be called at each change before anything is read.
 *
 * fs.watch and timers, not a watcher library: those watch each file, and what is wanted here is a folder, read as a whole
 * whenever anything in it changes.
 */
import { type FSWatcher, watch } from "node:fs";
import { stat } from "node:fs/promises";
import { systemClock } from "./clock.js";

/** ms between two looks at folders that report nothing. */
const LOOK_EVERY = 5_000;
/** ms until the next look while one is missing. */
const RETRY = 500;

export interface FolderWatchEffects {
  /** @param reported whether the system reported a change, or a folder was missing; else it is only time for a look */
  onChange(reported: boolean): void;
  /** A folder is there and cannot be watched: there are only the looks. */
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
  /** When the first of the changes was noted that are not reported yet. */
  #firstChange: number | undefined = undefined;
  #settling: NodeJS.Timeout | undefined = undefined;
  #looking: NodeJS.Timeout | undefined = undefined;
  #retrying: NodeJS.Timeout | undefined = undefined;
  #closed = false;

  /**
   * @param quiet ms without a change after which it is reported: several files change together
   * @param patience ms after the first change after which it is reported in any case
   */
  constructor(quiet: number, patience: number, effects: FolderWatchEffects) {
    this.#effects = effects;
    this.#quiet = quiet;
    this.#patience = patience;
  }

  /** Watches these folders from now on, and no others. Never rejects. */
  async follow(folders: readonly string[]): Promise<void> {
    for (const folder of this.#watched.keys()) if (!folders.includes(folder)) this.#forget(folder);
    for (const folder of folders) {
      const inode = await stat(folder).then(
        ({ ino }) => ino,
        () => undefined, // It is not there: looked for again soon.
      );
      if (this.#closed) return;
      if (inode !== undefined && this.#watched.get(folder)?.inode === inode) continue;
      this.#forget(folder);
      if (inode === undefined) this.retry();
      else this.#watch(folder, inode);
    }
    this.#looking ??= setInterval(() => this.#effects.onChange(false), LOOK_EVERY).unref();
  }

  /** Looks again soon: something could not be read. */
  retry(): void {
    if (this.#closed) return;
    this.#retrying ??= setTimeout(() => {
      this.#retrying = undefined;
      this.#effects.onChange(true);
    }, RETRY).unref();
  }

  /** Something changed: reported once changes have settled. */
  note(): void {
    if (this.#closed) return;
    const now = systemClock.now();
    this.#firstChange ??= now;
    const left = this.#firstChange + this.#patience - now;
    if (left <= 0) return; // The timer is due: more changes must not put it off.
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
