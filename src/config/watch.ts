/**
 * Watches a file and the files it names by their folders, since editors replace files, and by folders of link targets,
 * as in Kubernetes mounts. The reader decides whether anything changed.
 */
import { realpath } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { FolderWatch } from "../core/folder-watch.js";

/** ms without a change after which a file is written. */
const QUIET = 200;
/** ms after the first change after which it is read in any case. */
const PATIENCE = 2_000;

export class FileWatch {
  /** The first is the file itself. */
  #files: readonly string[];
  readonly #watch: FolderWatch;
  readonly #onChange: () => void;
  #closed = false;

  /**
   * @param onChange called after a quiet period, or 2 s of changes
   * @param onError a folder cannot be watched
   */
  constructor(file: string, onChange: () => void, onError: (error: Error) => void) {
    this.#files = [resolve(file)];
    this.#onChange = onChange;
    this.#watch = new FolderWatch(QUIET, PATIENCE, { onChange: () => void this.#changed(), onError });
  }

  async start(): Promise<void> {
    const folders = new Set<string>();
    for (const file of this.#files) {
      folders.add(dirname(file));
      folders.add(dirname(await realpath(file).catch(() => file)));
    }
    if (!this.#closed) await this.#watch.follow([...folders]);
  }

  /** Replaces the other files, from the next change or `start`. @param files absolute paths */
  alsoFollow(files: readonly string[]): void {
    this.#files = [this.#files[0] as string, ...files];
  }

  close(): void {
    this.#closed = true;
    this.#watch.close();
  }

  /** Watches first, so that no change during the read is missed. */
  async #changed(): Promise<void> {
    await this.start();
    if (!this.#closed) this.#onChange();
  }
}
