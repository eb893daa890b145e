/**
 * A folder of client keys, read again after changes.
 *
 *   open --reads--> watches --a change, after 100 ms--> reads --other keys, or other problems--> `changed`
 *                           --every 5 s-->              some file systems report no changes
 *                           --missing, 500 ms-->
 *
 * While the folder cannot be read, known keys stay valid and the problem is reported. An unreadable file has no keys.
 */
import { type FSWatcher, watch } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { InvalidArgumentError } from "../../core/errors.js";
import { type FolderKeys, isKeyFile, type KeyFile, keysOf } from "./key-files.js";

/** ms from a change until the folder is read, with the changes that follow. */
const SETTLE = 100;
/** ms between polls while the folder cannot be read, and otherwise. */
const RETRY = 500;
const LOOK_EVERY = 5_000;
/** Most files, by name. */
const MAX_FILES = 16_384;
const MAX_FILE = 65_536;

interface Known {
  readonly stamp: string;
  readonly file: KeyFile;
}

export class KeyFolder {
  readonly path: string;
  readonly #changed: (now: FolderKeys) => void;
  #now: FolderKeys = { keys: new Set(), problems: [] };
  #known = new Map<string, Known>();
  #watcher: FSWatcher | undefined = undefined;
  /** Of the watched folder: the system watches an inode, not a path, and a new folder may get the old one's inode. */
  #identity: string | undefined = undefined;
  #soon: NodeJS.Timeout | undefined = undefined;
  #polling: NodeJS.Timeout | undefined = undefined;
  #reading = false;
  /** Whether something changed during a reading. */
  #again = false;
  #closed = false;

  private constructor(path: string, changed: (now: FolderKeys) => void) {
    this.path = path;
    this.#changed = changed;
  }

  /**
   * Reads the folder, and calls `changed` when its keys or problems change.
   *
   * @throws InvalidArgumentError `EINVAL` for an unreadable folder
   */
  static async open(path: string, changed: (now: FolderKeys) => void): Promise<KeyFolder> {
    const folder = new KeyFolder(path, changed);
    folder.#reading = true;
    try {
      folder.#now = await folder.#read();
    } catch (error) {
      folder.close();
      throw new InvalidArgumentError(`The folder of keys ${path} cannot be read: ${reasonOf(error)}`, {
        cause: error,
      });
    }
    folder.#polling = setInterval(() => void folder.#look(false), LOOK_EVERY).unref();
    folder.#readAgain();
    return folder;
  }

  get now(): FolderKeys {
    return this.#now;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#soon);
    clearInterval(this.#polling);
    this.#unwatch();
  }

  /** @param fresh reads unchanged files again, since time and size are inexact right after a change */
  async #look(fresh: boolean): Promise<void> {
    if (this.#reading) {
      this.#again ||= fresh;
      return;
    }
    this.#reading = true;
    if (fresh) this.#known.clear();
    const before = this.#now;
    let now: FolderKeys;
    try {
      now = await this.#read();
    } catch (error) {
      this.#unwatch();
      this.#lookSoon(RETRY);
      now = {
        keys: before.keys,
        problems: [`the folder cannot be read, its last keys stay: ${reasonOf(error)}`],
      };
    }
    if (this.#closed) return;
    this.#now = now;
    if (!isSame(before, now)) this.#changed(now);
    this.#readAgain();
  }

  #readAgain(): void {
    this.#reading = false;
    if (!this.#again) return;
    this.#again = false;
    this.#lookSoon(SETTLE);
  }

  #lookSoon(ms: number): void {
    if (this.#closed) return;
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      void this.#look(true);
    }, ms).unref();
  }

  async #follow(): Promise<void> {
    const { ino, birthtimeMs } = await stat(this.path);
    const identity = `${ino} ${birthtimeMs}`;
    if (this.#closed || identity === this.#identity) return;
    this.#unwatch();
    try {
      const watcher = watch(this.path, { persistent: false }, () => this.#lookSoon(SETTLE));
      watcher.on("error", () => {
        if (this.#watcher === watcher) this.#unwatch(); // The next poll tries again.
      });
      this.#watcher = watcher;
      this.#identity = identity;
    } catch {
      // The polls go on.
    }
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#identity = undefined;
  }

  async #read(): Promise<FolderKeys> {
    await this.#follow(); // Watches first, to notice changes meanwhile.
    const names = (await readdir(this.path)).filter(isKeyFile).sort();
    const known = new Map<string, Known>();
    const files: KeyFile[] = [];
    for (const name of names.slice(0, MAX_FILES)) {
      const entry = await this.#readFile(name);
      if (entry === undefined) continue;
      known.set(name, entry);
      files.push(entry.file);
    }
    this.#known = known;
    const { keys, problems } = keysOf(files);
    const more = names.length - MAX_FILES;
    return {
      keys,
      problems:
        more > 0 ? [...problems, `${more} files behind the first ${MAX_FILES} are not read`] : problems,
    };
  }

  /** @returns `undefined` for a folder or a removed file */
  async #readFile(name: string): Promise<Known | undefined> {
    const path = join(this.path, name);
    try {
      const entry = await stat(path);
      if (entry.isDirectory()) return undefined;
      const { size, mtimeMs, ctimeMs, ino } = entry;
      const stamp = `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
      const known = this.#known.get(name);
      if (known?.stamp === stamp) return known;
      if (!entry.isFile()) return { stamp, file: { name, unreadable: "it is not a file" } };
      if (size > MAX_FILE) return { stamp, file: { name, unreadable: "it is too large for a key" } };
      return { stamp, file: { name, text: await readFile(path, "utf8") } };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      return { stamp: "", file: { name, unreadable: reasonOf(error) } };
    }
  }
}

function isSame(one: FolderKeys, other: FolderKeys): boolean {
  if (one.keys.size !== other.keys.size || one.problems.join("\n") !== other.problems.join("\n"))
    return false;
  for (const key of one.keys) if (!other.keys.has(key)) return false;
  return true;
}

function reasonOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return code ?? String(error);
}
