/**
 * Where a running node takes commands by default: a socket in a folder of the user's own. The registry of this host's nodes has its
 * endpoint, and removes it when the node was killed.
 *
 *   SHOAL_RUNTIME_DIR, or XDG_RUNTIME_DIR/shoal, or shoal-UID in the folder for temporary files   mode 700
 *     └── 3f9a04c2b1d7.sock      the first 12 digits of the node's id                              mode 600
 *
 * A folder that others can enter is not used: what is in it could be anybody's.
 */
import { lstatSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isMainThread } from "node:worker_threads";
import { makeFolder } from "../core/make-folder.js";
import { Failure, hasCode } from "./failure.js";

/** Digits of an id in a socket's name. */
const NAME_DIGITS = 12;

/** The folder of this user's sockets. */
function runtimeFolder(): string {
  const { SHOAL_RUNTIME_DIR: own, XDG_RUNTIME_DIR: session } = process.env;
  if (own !== undefined && own !== "") return own;
  if (session !== undefined && session !== "") return join(session, "shoal");
  return join(tmpdir(), `shoal-${process.getuid?.() ?? "user"}`);
}

/**
 * The endpoint of a node that was given none; makes the folder.
 *
 * @throws Failure for a folder that is another's, that others can enter, or that cannot be made
 */
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

/** Why a folder is not to be trusted. */
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

/** Whether a folder cannot be used because of what the system or a user did: the node can do without. */
export function isFolderFault(error: unknown): error is Failure {
  return error instanceof Failure || hasCode(error, "EACCES") || hasCode(error, "EROFS");
}

/** What makes sockets now, and the mask that other files are made with. */
let making = 0;
let mask = 0;

/** Runs what makes a socket, which nobody but its owner can connect to from the first moment. */
export async function asOwner<T>(action: () => Promise<T>): Promise<T> {
  // A thread cannot set it: only tests run the program in one.
  if (!isMainThread) return action();
  if (making++ === 0) mask = process.umask(0o177);
  try {
    return await action();
  } finally {
    if (--making === 0) process.umask(mask);
  }
}
