/** The part of the package `lmdb` that is used here: named, so that the types do not need the package. */
import { join } from "node:path";
import { loadOptional } from "../../../core/optional-package.js";
import { StoreError } from "../../titanic/store.js";
import { type DamagedFile, findDamage, setAside } from "./lmdb-check.js";

export interface LmdbRange {
  readonly start?: Buffer;
  readonly end?: Buffer;
  readonly limit?: number;
}

/** Pages and entries of one tree. */
export interface LmdbTree {
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
  readonly entryCount: number;
}

/** Of a database, with those of the tree of names and the tree of free pages. */
export interface LmdbStats extends LmdbTree {
  readonly pageSize: number;
  readonly lastPageNumber: number;
  readonly root: LmdbTree;
  readonly free: LmdbTree;
}

export interface LmdbDatabase {
  getBinary(key: Buffer): Buffer | undefined;
  getKeys(range: LmdbRange): Iterable<Buffer>;
  getStats(): LmdbStats;
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

/**
 * Opens a folder. Each commit is on the disk when its promise settles.
 *
 * @param tables that the store makes, in their order
 * @param damagedFile what to do with a file that is damaged: leave it as it is, or rename it and begin with none
 * @throws StoreError `damaged`
 */
export function openEnvironment(
  directory: string,
  tables: readonly string[] = [],
  damagedFile: DamagedFile = "refuse",
  onSetAside: (file: string, reason: string) => void = () => undefined,
): LmdbEnvironment {
  const { open } = loadOptional("lmdb", "A store on LMDB") as {
    open(options: object): LmdbEnvironment;
  };
  const damage = findDamage(directory, tables);
  if (damage !== undefined && damagedFile === "refuse") {
    const message = `${join(directory, "data.mdb")} is damaged, and is left as it is: ${damage}`;
    throw new StoreError("damaged", message);
  }
  if (damage !== undefined) onSetAside(setAside(directory, Date.now()), damage);
  return open({
    path: directory,
    noSubdir: false,
    maxDbs: 16,
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
