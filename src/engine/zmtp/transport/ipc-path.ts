/**
 * Socket files of ipc listeners. A killed process leaves its file, and the path then counts as in use.
 *
 *   bind --in use--> a probe connects --refused--> the file is removed, and the bind tried once more
 *                  |                   |--gone--> the bind is tried once more
 *                  |                   `--accepted, or no socket--> EADDRINUSE
 *                  `--gone by now--> the bind is tried once more
 *
 * Processes that take over the same dead path within microseconds may all succeed; the last one has the path.
 */
import { lstatSync, rmdirSync, unlinkSync } from "node:fs";

/** @returns which socket lies at the path; the time tells a file from a later one with the same inode */
export function socketAt(path: string): string | undefined {
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return found?.isSocket() === true ? `${found.ino} ${found.mtimeNs}` : undefined;
}

/** Removes the socket unless another one has taken its place. */
export function removeSocket(path: string, socket: string): void {
  if (socketAt(path) === socket) unlinkSync(path);
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
    if (entry.file !== undefined) removeSocket(path, entry.file);
    if (entry.folder !== undefined) rmdirSync(entry.folder);
  } catch {
    // The folder is gone or read-only, or another process has put a file there.
  }
}

function disownAll(): void {
  for (const path of [...owned.keys()]) disown(path);
}
