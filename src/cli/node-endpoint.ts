/**
 * Where a running node takes commands, when nobody says where: a socket in a folder of the user's own.
 *
 *   SHOAL_RUNTIME_DIR, or XDG_RUNTIME_DIR/shoal, or shoal-UID in the folder for temporary files   mode 700
 *     └── 3f9a04c2b1d7.sock      the first 12 digits of the node's id                              mode 600
 *
 * A folder that others can enter is not used, neither for listening nor for looking: what is in it could be anybody's. A socket
 * where nobody answers was left by a process that was killed, and is removed.
 */
import { lstatSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isMainThread } from "node:worker_threads";
import { makeFolder } from "../core/make-folder.js";
import { Failure, hasCode } from "./failure.js";

/** Nodes that are found, and sockets in the folder that are tried at a time: killed processes leave any number. */
const MAX_SOCKETS = 256;
/** ms until a socket that does not accept a connection counts as hung. */
const PROBE_TIMEOUT = 1_000;
/** Digits of an id in a socket's name. */
const NAME_DIGITS = 12;

/** The folder of this user's sockets. */
export function runtimeFolder(env: NodeJS.ProcessEnv = process.env): string {
  const { SHOAL_RUNTIME_DIR: own, XDG_RUNTIME_DIR: session } = env;
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

/** The endpoints of this user's nodes that run. @throws Failure for a folder that is not to be trusted, or that cannot be read */
export async function runningEndpoints(): Promise<string[]> {
  const folder = runtimeFolder();
  const fault = folderFault(folder);
  if (fault !== undefined) throw new Failure(fault);
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException): string[] => {
    if (error.code === "ENOENT") return [];
    throw new Failure(`cannot read the folder ${folder}: ${error.message}`);
  });
  const sockets = names.filter((name) => /^[0-9a-f]{12}\.sock$/.test(name));
  const found: string[] = [];
  while (sockets.length > 0 && found.length < MAX_SOCKETS) {
    const tried = sockets.splice(0, MAX_SOCKETS).map((name) => probed(join(folder, name)));
    found.push(...(await Promise.all(tried)).flat());
  }
  return found.slice(0, MAX_SOCKETS);
}

/** The endpoint of a socket, if a node has it; one that nobody has is removed. */
async function probed(path: string): Promise<string[]> {
  const fault = await probe(path);
  if (fault === "EMFILE" || fault === "ENFILE")
    throw new Failure(`cannot look for nodes: too many open files (ulimit -n)`);
  if (fault === "ECONNREFUSED") await rm(path, { force: true }).catch(() => undefined); // It is tried again at the next look.
  return fault === undefined || fault === "ETIMEDOUT" ? [`ipc://${path}`] : [];
}

/** Why nobody can be asked at an endpoint, in words; `undefined`: it may answer. Looks at paths of ipc only. */
export async function endpointFault(endpoint: string): Promise<string | undefined> {
  const path = /^ipc:\/\/([^@*].*)$/.exec(endpoint)?.[1];
  if (path === undefined) return undefined;
  switch (await probe(path)) {
    case "ENOENT":
      return `no node listens at ${endpoint}: there is no such socket`;
    case "ECONNREFUSED":
      return `no node listens at ${endpoint}: its process ended without removing the socket`;
    case "EACCES":
      return `no permission to connect to ${endpoint}: it is its owner's only`;
    default:
      return undefined;
  }
}

/** The system's code for a socket that takes no connection; `undefined`: it takes one. */
function probe(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const done = (code: string | undefined): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(code);
    };
    const timer = setTimeout(() => done("ETIMEDOUT"), PROBE_TIMEOUT);
    const socket = connect({ path });
    socket.on("connect", () => done(undefined));
    socket.on("error", (error: NodeJS.ErrnoException) => done(error.code ?? "ECONNREFUSED"));
  });
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
