/** A store of a server on the disk of a simulated machine, which may refuse what it is given. */
import { deserialize, serialize } from "node:v8";
import {
  type CloneStore,
  type CloneStoredChange,
  type CloneStoredEntry,
  type CloneStoredState,
  type CloneStoreReplacement,
  StoreError,
} from "../../../src/patterns/clone/index.js";
import type { ProgramContext } from "../../../src/testing/index.js";

/** A file for each call that wrote. */
interface Written {
  readonly changes?: readonly CloneStoredChange[];
  /** A whole map, in place of all that was. */
  readonly entries?: readonly CloneStoredEntry[];
  readonly sequence?: number;
  readonly uuids?: readonly Buffer[];
  readonly standing?: Buffer;
}

export class DiskStore implements CloneStore {
  readonly name = "disk";
  readonly #disk: ProgramContext["disk"];
  readonly #fails: () => boolean;
  #count: number;

  constructor(disk: ProgramContext["disk"], fails: () => boolean) {
    this.#disk = disk;
    this.#fails = fails;
    this.#count = disk.list().length;
  }

  async load(visit: (entry: CloneStoredEntry) => void): Promise<CloneStoredState> {
    const map = new Map<string, CloneStoredEntry>();
    let uuids: Buffer[] = [];
    let [sequence, standing]: [number, Buffer | undefined] = [0, undefined];
    for (const file of this.#disk.list()) {
      const written = deserialize(this.#disk.read(file) as Buffer) as Written;
      if (written.entries !== undefined) {
        map.clear();
        uuids = [];
      }
      for (const change of [...(written.entries ?? []), ...(written.changes ?? [])]) {
        const name = change.key.toString("latin1");
        if (change.value === undefined) map.delete(name);
        else map.set(name, change as CloneStoredEntry);
      }
      uuids.push(...(written.uuids ?? []));
      sequence = written.sequence ?? sequence;
      standing = written.standing ?? standing;
    }
    for (const entry of map.values()) visit(entry);
    return { sequence, uuids, damaged: 0, standing };
  }

  commit(changes: readonly CloneStoredChange[], sequence: number, uuids: readonly Buffer[]): Promise<void> {
    return this.#write({ changes, sequence, uuids });
  }

  mark(standing: Buffer): Promise<void> {
    return this.#write({ standing });
  }

  async replace(): Promise<CloneStoreReplacement> {
    const entries: CloneStoredEntry[] = [];
    return {
      add: async (some) => {
        await this.#disk.sync();
        entries.push(...some);
      },
      finish: (sequence, uuids, standing) => this.#write({ entries, sequence, uuids, standing }),
    };
  }

  async close(): Promise<void> {}

  async #write(written: Written): Promise<void> {
    if (this.#fails()) throw new StoreError("failed", "The disk does not take it");
    this.#disk.write(String(this.#count++).padStart(6, "0"), serialize(written));
    await this.#disk.sync();
  }
}
