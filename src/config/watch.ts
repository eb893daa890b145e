/**
 * Notices changes of a file, and of those that it names: in the folder that each is in, since editors replace it by another, and in
 * the folder that it really is in where it is a link, as Kubernetes mounts it. The reader finds out what changed, if anything.
 */
import { realpath } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { FolderWatch } from "../core/folder-watch.js";

/** ms without a change after which a file counts as written. */
const QUIET = 200;
/** ms after the first change after which it is read in any case. */
const PATIENCE = 2_000;

export class FileWatch {
  /** The file, and those that it names. */
  #files: readonly string[];
  readonly #watch: FolderWatch;
  readonly #onChange: () => void;
  #closed = false;

  /**
   * @param onChange the file may have changed, and nothing has for a while; or some seconds have passed
   * @param onError a folder cannot be watched
   */
  constructor(file: string, onChange: () => void, onError: (error: Error) => void) {
    this.#files = [resolve(file)];
    this.#onChange = onChange;
    this.#watch = new FolderWatch(QUIET, PATIENCE, { onChange: () => void this.#changed(), onError });
  }

  /** Settles when it watches. */
  async start(): Promise<void> {
    const folders = new Set<string>();
    for (const file of this.#files) {
      folders.add(dirname(file));
      folders.add(dirname(await realpath(file).catch(() => file)));
    }
    if (!this.#closed) await this.#watch.follow([...folders]);
  }

  /** Other files that matter, in place of those before: from the next change on, or `start`. @param files whole paths */
  alsoFollow(files: readonly string[]): void {
    this.#files = [this.#files[0] as string, ...files];
  }

  close(): void {
    this.#closed = true;
    this.#watch.close();
  }

  /** Watches the folders that matter now, first: a change while the file is read is not missed. */
  async #changed(): Promise<void> {
    await this.start();
    if (!this.#closed) this.#onChange();
  }
}
