/**
 * The file system: makes folders, chooses the one of the user's sockets, and warns of a process that can open no more
 * files. Nothing else does: libuv accepts new connections and closes them at once.
 */
import { closeSync, existsSync, lstatSync, mkdirSync, openSync, type Stats, statSync } from "node:fs";
import { devNull, tmpdir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { InvalidStateError } from "./errors.js";

let watchers = 0;
let timer: NodeJS.Timeout | undefined;

/** Warns once. @returns stops */
export function watchFileLimit(): () => void {
  watchers += 1;
  timer ??= setInterval(check, 1_000).unref();
  return () => {
    watchers -= 1;
    if (watchers > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** It takes about 10 µs. */
function check(): void {
  try {
    closeSync(openSync(devNull, "r"));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EMFILE" && code !== "ENFILE") return;
    clearInterval(timer);
    const whose = code === "EMFILE" ? "This process" : "The system";
    const text = `${whose} can open no more files: new connections are closed. Raise the limit (ulimit -n)`;
    process.emitWarning(text, { type: "ShoalWarning", code: "SHOAL_FILES" });
  }
}

/**
 * Makes a folder and those above it. Node's `mkdir` with `recursive` spins forever if the system reports ENOENT for an
 * existing parent (/proc).
 *
 * @param path absolute
 * @param mode of created folders
 * @throws the system's error
 */
export function makeFolder(path: string, mode = 0o777): void {
  if (isFolder(path)) return;
  const parent = dirname(path);
  if (parent !== path && !existsSync(parent)) makeFolder(parent, mode);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (!isFolder(path)) throw error;
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/**
 * Folder for sockets by which commands find the programs of this user on this host:
 *
 *   SHOAL_RUNTIME_DIR, else XDG_RUNTIME_DIR/shoal, else /run/user/UID/shoal if the system has that, else TMPDIR/shoal-UID
 */
export function runtimeFolder(env: NodeJS.ProcessEnv = process.env): string {
  const { SHOAL_RUNTIME_DIR: own = "", XDG_RUNTIME_DIR: session = "" } = env;
  if (isAbsolute(own)) return own;
  if (isAbsolute(session)) return join(session, "shoal");
  const uid = process.getuid?.() ?? "user";
  return existsSync(`/run/user/${uid}`) ? `/run/user/${uid}/shoal` : join(tmpdir(), `shoal-${uid}`);
}

/** Makes a folder that is missing, with mode 700. @throws InvalidStateError `EFSM` for an unsafe one; the system's error */
export function makeOwnFolder(path: string): void {
  makeFolder(path, 0o700);
  const fault = ownFolderFault(path);
  if (fault !== undefined) throw new InvalidStateError("EFSM", fault);
}

/** @returns why other users could change what is in a folder, or that there is none, if so */
export function ownFolderFault(path: string): string | undefined {
  const stat = statOf(path);
  if (stat?.isDirectory() !== true) return `${path} is not a folder`;
  const uid = process.getuid?.();
  if (uid === undefined) return undefined;
  if (stat.uid !== uid) return `the folder ${path} belongs to another user (uid ${stat.uid})`;
  const mode = stat.mode & 0o777;
  if ((mode & 0o077) === 0) return undefined;
  return `others can enter the folder ${path} (mode ${mode.toString(8)}); expected its owner only: chmod 700`;
}

/** Of a link itself. */
function statOf(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined; // It is missing, or in a folder of another user.
  }
}
