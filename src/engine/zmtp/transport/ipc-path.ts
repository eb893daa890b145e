/**
 * Socket files of ipc listeners. A killed process leaves its file behind, and the path is then in use for the system.
 *
 *   bind --in use--> a probe connects --refused--> the file is removed, and the bind tried again
 *                                      `--accepted, or no socket--> EADDRINUSE
 */
import { lstatSync, mkdirSync, readFileSync, rmdirSync, rmSync, statSync, unlinkSync } from "node:fs";

/** A probe's result. */
export type Answer = "listens" | "refuses" | "gone";

/** What identifies a socket file. The time tells it from a later one with the same inode. */
function socketAt(path: string): string | undefined {
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return found?.isSocket() === true ? `${found.ino} ${found.mtimeNs}` : undefined;
}

/**
 * @returns the socket file that may be dead; "gone" for an empty path; `undefined` for another kind of file, and for a
 *   bound socket
 */
export function suspectAt(path: string): string | undefined {
  const suspect = socketAt(path);
  if (suspect === undefined)
    return lstatSync(path, { throwIfNoEntry: false }) === undefined ? "gone" : undefined;
  // The list is read after the file: a listener that replaced it meanwhile is bound, and the suspect is another file.
  return isBoundByName(path) ? undefined : suspect;
}

/**
 * Whether the system lists a socket bound to this path. Sockets refuse connections between `bind` and `listen`, which
 * a probe takes for dead.
 */
function isBoundByName(path: string): boolean {
  let names: string;
  try {
    names = readFileSync("/proc/net/unix", "latin1");
  } catch {
    return false; // Only Linux has the list.
  }
  const end = ` ${Buffer.from(path).toString("latin1")}`;
  return names.split("\n").some((line) => line.endsWith(end));
}

/** Age in ms of a lock whose process was killed. */
const STALE_LOCK = 10_000;

/**
 * Removes a dead socket file. A folder is the lock for that: whoever made it compares the file with the one that was
 * probed, and nobody replaces a file that nobody else removes.
 *
 * @returns whether a bind is worth another attempt: `false` if another process removes the file, and binds the path
 */
export function removeDead(path: string, dead: string): boolean {
  const lock = `${path}.lock`;
  try {
    mkdirSync(lock);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return isStale(lock);
  }
  try {
    if (socketAt(path) === dead) unlinkSync(path);
  } finally {
    rmdirSync(lock);
  }
  return true;
}

/** Whether a process was killed that had the lock, which is then removed. */
function isStale(lock: string): boolean {
  const found = statSync(lock, { throwIfNoEntry: false });
  if (found === undefined) return true;
  if (Date.now() - found.mtimeMs < STALE_LOCK) return false;
  rmSync(lock, { recursive: true, force: true });
  return true;
}

interface Owned {
  readonly file: string | undefined;
  readonly folder: string | undefined;
}

const owned = new Map<string, Owned>();

/**
 * Registers a listener's path for removal by `disown`, or at the end of the process or thread.
 *
 * @param folder created for the path, removed with it
 */
export function own(path: string, folder?: string): void {
  if (owned.size === 0) process.on("exit", disownAll);
  owned.set(path, { file: socketAt(path), folder });
}

export function disown(path: string): void {
  const entry = owned.get(path);
  if (entry === undefined) return;
  owned.delete(path);
  if (owned.size === 0) process.off("exit", disownAll);
  try {
    if (entry.file !== undefined && socketAt(path) === entry.file) unlinkSync(path);
    if (entry.folder !== undefined) rmdirSync(entry.folder);
  } catch {
    // The folder is gone or read-only, or another process has put a file there.
  }
}

function disownAll(): void {
  for (const path of [...owned.keys()]) disown(path);
}
