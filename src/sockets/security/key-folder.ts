/**
 * A folder of client keys, polled for changes.
 *
 *   open --reads--> polls --the folder has changed, or a reading is due--> reads --other keys or problems--> `changed`
 *
 * While the folder cannot be read, known keys stay valid and the problem is reported. An unreadable file has no keys.
 */
import type { Stats } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { InvalidArgumentError } from "../../core/errors.js";
import { type FolderKeys, isKeyFile, type KeyFile, keysOf } from "./key-files.js";

/** ms between polls. */
const POLL_INTERVAL = 500;
/** Files whose changes in place are noticed at once; of more, after more polls, which cost as much, up to `MAX_POLLS`. */
const FILES_PER_POLL = 100;
const MAX_POLLS = 10;
/** ms within which a second change may have the times of the first. */
const INEXACT = 1_000;
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
  /** Of the folder, before it was read. */
  #stamp = "";
  #polls = 0;
  #timer: NodeJS.Timeout | undefined = undefined;
  #isReading = false;

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
    try {
      folder.#now = await folder.#read();
    } catch (error) {
      throw new InvalidArgumentError(`The folder of keys ${path} cannot be read: ${reasonOf(error)}`, {
        cause: error,
      });
    }
    folder.#timer = setInterval(() => void folder.#poll(), POLL_INTERVAL).unref();
    return folder;
  }

  get now(): FolderKeys {
    return this.#now;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #poll(): Promise<void> {
    if (this.#isReading) return;
    this.#isReading = true;
    this.#polls += 1;
    const before = this.#now;
    let now = before;
    try {
      const every = Math.max(1, Math.ceil(this.#known.size / FILES_PER_POLL));
      const isDue = this.#polls % Math.min(every, MAX_POLLS) === 0;
      if (isDue || this.#stamp === "" || stampOf(await stat(this.path)) !== this.#stamp)
        now = await this.#read();
    } catch (error) {
      this.#stamp = "";
      now = {
        keys: before.keys,
        problems: [`the folder cannot be read, its last keys stay: ${reasonOf(error)}`],
      };
    }
    this.#isReading = false;
    if (this.#timer === undefined || isSame(before, now)) return;
    this.#now = now;
    this.#changed(now);
  }

  async #read(): Promise<FolderKeys> {
    this.#stamp = stampOf(await stat(this.path));
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
      const stamp = stampOf(entry);
      const known = this.#known.get(name);
      if (stamp !== "" && known?.stamp === stamp) return known;
      if (!entry.isFile()) return { stamp, file: { name, unreadable: "it is not a file" } };
      if (entry.size > MAX_FILE) return { stamp, file: { name, unreadable: "it is too large for a key" } };
      return { stamp, file: { name, text: await readFile(path, "utf8") } };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      return { stamp: "", file: { name, unreadable: reasonOf(error) } };
    }
  }
}

/** "": changed so recently, by a clock within 1 s of this one, that another change may have the same times. */
function stampOf({ ino, size, mtimeMs, ctimeMs }: Stats): string {
  return Math.abs(Date.now() - ctimeMs) < INEXACT ? "" : `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
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
