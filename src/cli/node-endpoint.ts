/**
 * The default control socket of a node, in a folder of the user that others cannot enter. The registry of this
 * host's nodes lists it, and removes it after the node was killed.
 *
 *   SHOAL_RUNTIME_DIR, or XDG_RUNTIME_DIR/shoal, or shoal-UID in the folder for temporary files   mode 700
 *     └── 3f9a04c2b1d7.sock      the first 12 digits of the node's id                              mode 600
 */
import { lstatSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isMainThread } from "node:worker_threads";
import { makeFolder } from "../core/file-limit.js";
import { Failure, hasCode } from "./failure.js";

const NAME_DIGITS = 12;

function runtimeFolder(): string {
  const { SHOAL_RUNTIME_DIR: own, XDG_RUNTIME_DIR: session } = process.env;
  if (own !== undefined && own !== "") return own;
  if (session !== undefined && session !== "") return join(session, "shoal");
  return join(tmpdir(), `shoal-${process.getuid?.() ?? "user"}`);
}

/** Creates the folder. @throws Failure for one that others can enter, or that cannot be created */
export function defaultEndpoint(id: string): string {
  const folder = runtimeFolder();
  try {
    makeFolder(folder, 0o700);
  } catch (error) {
    throw new Failure(`cannot make the folder ${folder}: ${(error as Error).message}`);
  }
  const fault = folderFault(folder);
  if (fault !== undefined) throw new Failure(fault);
  return `ipc://${join(folder, `${id.slice(0, NAME_DIGITS)}.sock`)}`;
}

function folderFault(folder: string): string | undefined {
  const stat = lstatSync(folder, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  if (!stat.isDirectory()) return `${folder} is not a folder`;
  const uid = process.getuid?.();
  if (uid === undefined) return undefined;
  if (stat.uid !== uid) return `the folder ${folder} belongs to another user (uid ${stat.uid})`;
  const mode = stat.mode & 0o777;
  if ((mode & 0o077) !== 0)
    return `others can enter the folder ${folder} (mode ${mode.toString(8)}); expected its owner only: chmod 700`;
  return undefined;
}

/** Whether the system or a user made the folder unusable; the node runs without a control socket. */
export function isFolderFault(error: unknown): error is Failure {
  return error instanceof Failure || hasCode(error, "EACCES") || hasCode(error, "EROFS");
}

/** Number of sockets being created, and the umask to restore. */
let making = 0;
let mask = 0;

/** Creates a socket that only its owner can connect to, from the first moment. */
export async function asOwner<T>(action: () => Promise<T>): Promise<T> {
  // A thread cannot set the umask.
  if (!isMainThread) return action();
  if (making++ === 0) mask = process.umask(0o177);
  try {
    return await action();
  } finally {
    if (--making === 0) process.umask(mask);
  }
}
