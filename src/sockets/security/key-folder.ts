/**
 * A folder of client keys, read again at intervals that grow with the time a reading takes.
 *
 *   open --reads--> waits --> reads --other keys or problems--> `changed`
 *
 *   NAME          a certificate (ZPL, as czmq, pyzmq and `shoal keygen` write it), or keys, one per line:
 *                 40 characters of Z85; empty lines, and lines that begin with "# ", are skipped
 *   NAME_secret   the client's own: not read, so that removing NAME revokes the key
 *   .NAME NAME~   files of editors and tools: not read
 *
 * While the folder cannot be read, or a file for a reason of the system such as EMFILE, known keys stay valid and the
 * problem is reported. A file without permission has no keys.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { InvalidArgumentError } from "../../core/errors.js";
import { isKey } from "../../core/z85.js";
import { MAX_FILE, parseCertificate } from "./certificate.js";

export interface FolderKeys {
  /** Z85. */
  readonly keys: ReadonlySet<string>;
  /** File names with their problems; never a key. */
  readonly problems: readonly string[];
}

function isKeyFile(name: string): boolean {
  return !name.startsWith(".") && !name.endsWith("~") && !name.endsWith("_secret");
}

/** @returns the keys of a file, or its problem */
export function parseKeys(text: string): readonly string[] | string {
  if (/^\s*(?:public|secret)-key\s*=/m.test(text)) {
    try {
      return [parseCertificate(text).publicKey];
    } catch (error) {
      return (error as Error).message;
    }
  }
  const keys: string[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const word = line.trim();
    if (word === "" || word === "#" || /^#\s/.test(word)) continue;
    if (!isKey(word))
      return `line ${index + 1}: expected a certificate, or a public key of 40 characters of Z85`;
    keys.push(word);
  }
  return keys.length > 0 ? keys : "it has no key";
}

/** Least and most ms between readings. */
const [LEAST_INTERVAL, MOST_INTERVAL] = [500, 10_000];
/** Readings take at most about one part in so many of the time. */
const SHARE = 20;
/** Most files, by name. */
const MAX_FILES = 16_384;
/** Faults of the file itself, or of a symbolic link. */
const FILE_FAULTS: readonly unknown[] = ["EACCES", "EPERM", "ELOOP", "ENOTDIR", "ENAMETOOLONG"];

export class KeyFolder {
  readonly path: string;
  readonly #changed: (now: FolderKeys) => void;
  now: FolderKeys = { keys: new Set(), problems: [] };
  #timer: NodeJS.Timeout | undefined = undefined;
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
    try {
      folder.now = await folder.#read();
    } catch (error) {
      folder.close();
      throw new InvalidArgumentError(`The folder of keys ${path} cannot be read: ${reasonOf(error)}`, {
        cause: error,
      });
    }
    return folder;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #readAgain(): Promise<void> {
    const before = this.now;
    let now: FolderKeys;
    try {
      now = await this.#read();
    } catch (error) {
      now = {
        keys: before.keys,
        problems: [`the folder cannot be read, its last keys stay: ${reasonOf(error)}`],
      };
    }
    if (this.#closed || textOf(before) === textOf(now)) return;
    this.now = now;
    this.#changed(now);
  }

  /** Reads, and afterwards sets the time of the next reading. */
  async #read(): Promise<FolderKeys> {
    const started = performance.now();
    try {
      const names = (await readdir(this.path)).filter(isKeyFile).sort();
      const keys = new Set<string>();
      const problems: string[] = [];
      for (const name of names.slice(0, MAX_FILES)) {
        const found = await this.#readFile(name);
        if (typeof found === "string") problems.push(`${name}: ${found}`);
        else for (const key of found) keys.add(key);
      }
      const more = names.length - MAX_FILES;
      if (more > 0) problems.push(`${more} files behind the first ${MAX_FILES} are not read`);
      return { keys, problems };
    } finally {
      const interval = SHARE * (performance.now() - started);
      const bounded = Math.min(MOST_INTERVAL, Math.max(LEAST_INTERVAL, interval));
      if (!this.#closed) this.#timer = setTimeout(() => void this.#readAgain(), bounded).unref();
    }
  }

  /** @returns its keys, or its problem @throws the system's faults: they would revoke valid keys */
  async #readFile(name: string): Promise<readonly string[] | string> {
    const path = join(this.path, name);
    try {
      const entry = await stat(path);
      if (entry.isDirectory()) return [];
      if (!entry.isFile()) return "it is not a file";
      if (entry.size > MAX_FILE) return "it is too large for a key";
      return parseKeys(await readFile(path, "utf8"));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") return []; // Removed meanwhile.
      if (FILE_FAULTS.includes(code)) return reasonOf(error);
      throw error;
    }
  }
}

function textOf({ keys, problems }: FolderKeys): string {
  return JSON.stringify([[...keys].sort(), problems]);
}

function reasonOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return code ?? String(error);
}
