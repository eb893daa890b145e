/**
 * Socket files of ipc listeners. A killed process leaves its file, and the path then counts as in use.
 *
 *   bind --in use--> a probe connects --refused--> the file is removed, and the bind tried again
 *                                      `--accepted, or no socket--> EADDRINUSE
 */
import { lstatSync, mkdirSync, readFileSync, rmdirSync, statSync, unlinkSync } from "node:fs";

export type Answer = "listens" | "refuses" | "gone";

/** The time tells a file from a later one with the same inode. */
function socketAt(path: string): string | undefined {
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return found?.isSocket() === true ? `${found.ino} ${found.mtimeNs}` : undefined;
}

/**
 * @returns a socket file that may be dead; "gone" for an empty path; `undefined` for another file or a bound
 * socket
 */
export function suspectAt(path: string): string | undefined {
  const suspect = socketAt(path);
  if (suspect === undefined)
    return lstatSync(path, { throwIfNoEntry: false }) === undefined ? "gone" : undefined;
  return isBeingBound(path) ? undefined : suspect;
}

/** Columns: the kernel's address, references, protocol, flags, type, state, inode, name. One that listens has a flag. */
const BOUND = /^\S+ \S+ \S+ 0+ \S+ 01 /;

/** Sockets refuse connections between `bind` and `listen`, which a probe would take for dead. */
function isBeingBound(path: string): boolean {
  let sockets: string;
  try {
    sockets = readFileSync("/proc/net/unix", "latin1");
  } catch {
    return false; // Only Linux has the list.
  }
  const end = ` ${Buffer.from(path).toString("latin1")}`;
  // Names are as they were given: other folders may have the same one.
  return sockets.split("\n").some((line) => line.endsWith(end) && BOUND.test(line));
}

/** ms after which a lock's process counts as killed. */
const STALE_LOCK = 10_000;

/**
 * Removes a dead socket file. A folder is the lock: its owner compares the file with the probed one.
 *
 * @returns `false`: another process is removing the file
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
    unlock(lock);
  }
  return true;
}

/** @returns whether a killed process's lock is gone */
function isStale(lock: string): boolean {
  const found = statSync(lock, { throwIfNoEntry: false });
  if (found === undefined) return true;
  // The clock may have been set back.
  if (Math.abs(Date.now() - found.mtimeMs) < STALE_LOCK) return false;
  unlock(lock);
  return true;
}

/** Removes the empty folder, which another process may have done if this one was stopped for long. */
function unlock(lock: string): void {
  try {
    rmdirSync(lock);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

interface Owned {
  readonly file: string | undefined;
  readonly folder: string | undefined;
}

const owned = new Map<string, Owned>();

/** Removes the path by `disown`, or at the end of the process or thread. @param folder created for it */
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
