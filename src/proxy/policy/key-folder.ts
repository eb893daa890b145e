/**
 * A folder of client keys, read again when it changes (keys.ts has what its files say).
 *
 *   open --reads--> watches --changes, 50 ms later--> reads --other keys, or other problems--> tells
 *                      ^------ every 5 s, too: not every file system tells of changes -----|
 *
 * A folder that cannot be read any more says nothing of keys: those known stay, and the problem is told. A file that
 * cannot be read is no key.
 *
 * fs.watch and one timer, not a watcher library: those watch each file, and what is wanted here is one folder, read as a
 * whole whenever anything in it changes.
 */
import { type FSWatcher, watch } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { Debounce, DebounceTimer } from "../../core/debounce.js";
import { InvalidArgumentError } from "../../core/errors.js";

import { type FolderKeys, isKeyFile, type KeyFile, keysOf } from "./keys.js";

/** ms without a change after which the folder is read: several files change together. */
const QUIET = 50;
/** ms after the first change after which it is read in any case: a key that has gone is to be revoked soon. */
const PATIENCE = 200;
/** ms between two looks at a folder that says nothing. */
const LOOK_EVERY = 5_000;
/** ms between two while it cannot be read. */
const RETRY = 500;
/** Files that are read, the first by name. */
const MAX_FILES = 16_384;
/** Bytes of one that is read. */
const MAX_FILE = 65_536;

/** A file as it was read last. */
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
  /** Of the folder that is watched: another may have been put in its place. */
  #inode = 0;
  #looking: NodeJS.Timeout | undefined = undefined;
  readonly #settling = new DebounceTimer(new Debounce(QUIET, PATIENCE), () => void this.#look(true));
  #retrying: NodeJS.Timeout | undefined = undefined;
  #reading = false;
  /** Something changed while it was read. */
  #again = false;
  #closed = false;

  private constructor(path: string, changed: (now: FolderKeys) => void) {
    this.path = path;
    this.#changed = changed;
  }

  /**
   * Reads the folder, and from then on tells what has changed.
   *
   * @throws InvalidArgumentError `EINVAL` naming a folder that cannot be read
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
    folder.#readAgain();
    folder.#looking = setInterval(() => void folder.#look(false), LOOK_EVERY).unref();
    return folder;
  }

  get now(): FolderKeys {
    return this.#now;
  }

  close(): void {
    this.#closed = true;
    this.#watcher?.close();
    clearInterval(this.#looking);
    this.#settling.close();
    clearTimeout(this.#retrying);
  }

  async #watch(): Promise<void> {
    const { ino } = await stat(this.path);
    if (this.#closed || (this.#watcher !== undefined && this.#inode === ino)) return;
    this.#watcher?.close();
    this.#inode = ino;
    try {
      const watcher = watch(this.path, { persistent: false }, () => this.#settling.note());
      watcher.on("error", () => {
        watcher.close();
        this.#watcher = undefined; // It is tried again with the next look.
        this.#settling.note();
      });
      this.#watcher = watcher;
    } catch {
      this.#watcher = undefined; // Nothing is left to watch with: the looks remain.
    }
  }

  #retry(): void {
    if (this.#closed) return;
    this.#retrying ??= setTimeout(() => {
      this.#retrying = undefined;
      void this.#look(true);
    }, RETRY).unref();
  }

  /** @param fresh reads files again whose time and size are the same, too: those are not exact enough right after a change */
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
      this.#retry();
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

  /** A reading is over. */
  #readAgain(): void {
    this.#reading = false;
    if (!this.#again) return;
    this.#again = false;
    this.#settling.note();
  }

  async #read(): Promise<FolderKeys> {
    await this.#watch(); // First: a change during the reading is not missed.
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

  /** @returns `undefined` for a folder, and for a file that has just gone */
  async #readFile(name: string): Promise<Known | undefined> {
    const path = join(this.path, name);
    try {
      const entry = await stat(path);
      if (entry.isDirectory()) return undefined;
      const { size, mtimeMs, ctimeMs, ino } = entry;
      const stamp = `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
      const known = this.#known.get(name);
      if (known?.stamp === stamp) return known;
      if (!entry.isFile()) return { stamp, file: { name, unreadable: "it is no file" } };
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

/** The system's reason, without the path. */
function reasonOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return code ?? String(error);
}
