/** The part of the package `lmdb` that is used here: named, so that the types do not need the package. */
import { closeSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { loadOptional } from "./optional-package.js";

export interface LmdbRange {
  readonly start?: Buffer;
  readonly end?: Buffer;
  readonly limit?: number;
}

export interface LmdbDatabase {
  getBinary(key: Buffer): Buffer | undefined;
  getKeys(range: LmdbRange): Iterable<Buffer>;
  getStats(): { readonly entryCount: number };
  put(key: Buffer, value: Buffer): unknown;
  remove(key: Buffer): unknown;
}

export interface LmdbEnvironment {
  openDB(name: string, options: { encoding: "binary"; keyEncoding: "binary" }): LmdbDatabase;
  /** Runs `change` in a transaction of its own, undone when it throws; settles after the commit. */
  childTransaction<T>(change: () => T): Promise<T>;
  /** `change` must give nothing: what `put` gives is taken for a promise, and the transaction stays open. */
  transactionSync(change: () => undefined): void;
  close(): Promise<void>;
}

/** A file of LMDB begins with a meta page: a header of 24 bytes, then this number, in the machine's order. */
const MAGIC = 0xbeefc0de;
const MAGIC_AT = 24;

/**
 * Refuses a file that LMDB did not write: the package `lmdb` crashes the process on it (3.5.6).
 *
 * @throws Error for such a file, or one that cannot be read
 */
function assertEnvironment(directory: string): void {
  let file: number;
  try {
    file = openSync(join(directory, "data.mdb"), "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  try {
    const head = Buffer.alloc(MAGIC_AT + 4);
    const length = readSync(file, head, 0, head.length, 0);
    const magic = new Uint32Array(head.buffer, head.byteOffset + MAGIC_AT, 1)[0];
    if (length > 0 && magic !== MAGIC) throw new Error(`${directory}/data.mdb is no file of LMDB`);
  } finally {
    closeSync(file);
  }
}

/** Opens a folder. Each commit is on the disk when its promise settles. */
export function openEnvironment(directory: string): LmdbEnvironment {
  const { open } = loadOptional("lmdb", "A store on LMDB") as {
    open(options: object): LmdbEnvironment;
  };
  assertEnvironment(directory);
  return open({
    path: directory,
    noSubdir: false,
    maxDbs: 8,
    // With overlapping, a promise settles before the flush of its transaction: not what "stored" means here.
    overlappingSync: false,
    // Batches are made by GroupCommit. The package's own leave a rejected promise with nobody when a commit fails.
    eventTurnBatching: false,
  });
}

/** The system's error behind a failed commit, which the package gives apart. */
export async function commitCause(error: unknown): Promise<unknown> {
  const apart = (error as { commitError?: Promise<never> } | null)?.commitError;
  if (apart === undefined) return error;
  return apart.catch((cause: unknown) => cause);
}
