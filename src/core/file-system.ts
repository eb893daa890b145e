/**
 * The file system: makes folders, and detects that the process can open no more files. The system does not report that:
 * libuv accepts new connections and closes them at once.
 *
 *   open /dev/null ──fails with EMFILE or ENFILE──> exhausted, once ──opens again──> available
 */
import { closeSync, existsSync, mkdirSync, openSync, statSync } from "node:fs";
import { devNull } from "node:os";
import { dirname } from "node:path";
import { type ShoalError, TransportError } from "./errors.js";

type Listener = (error: ShoalError | undefined) => void;

const listeners = new Set<Listener>();
let timer: NodeJS.Timeout | undefined;
let exhausted: ShoalError | undefined;
let hasWarned = false;

/**
 * The first time is a process warning, too.
 *
 * @param onChange gets `undefined` when files can be opened again
 * @returns stops
 */
export function watchFileLimit(onChange: Listener): () => void {
  listeners.add(onChange);
  timer ??= setInterval(check, 1_000).unref();
  return () => {
    listeners.delete(onChange);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
    exhausted = undefined;
  };
}

/** It takes about 10 µs. */
function check(): void {
  const cause = fault();
  if ((cause === undefined) === (exhausted === undefined)) return;
  const whose = cause?.code === "EMFILE" ? "this process" : "the system";
  exhausted = cause && new TransportError("EMFILE", `${whose} can open no more files`, { cause });
  if (exhausted !== undefined && !hasWarned) {
    hasWarned = true;
    const text = `${exhausted.message}: new connections are closed. Raise the limit (ulimit -n)`;
    process.emitWarning(text, { type: "ShoalWarning", code: "SHOAL_FILES" });
  }
  for (const listener of [...listeners]) listener(exhausted);
}

function fault(): NodeJS.ErrnoException | undefined {
  try {
    closeSync(openSync(devNull, "r"));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EMFILE" || code === "ENFILE") return error as NodeJS.ErrnoException;
  }
  return undefined;
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
