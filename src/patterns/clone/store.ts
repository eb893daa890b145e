/** A server's durable store: on LMDB, or a program's own. */
import { checkOptions, type Given } from "../../kit/options.js";
import { FOLDER_OPTIONS, type LmdbDatabase, LmdbFolder } from "../../store/lmdb.js";
import { decodeRecord, encodeRecord, StoreError } from "../../store/store.js";
import { readSequence, SEQUENCE_BYTES, sequenceFrame, uuidsOf } from "./protocol.js";

/** A stored key. */
export interface CloneStoredEntry {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly sequence: number;
  /** ms since 1970; 0: never. */
  readonly expires: number;
}

/** A set key, or with the value `undefined` a deleted one, in ascending order of sequences. */
export interface CloneStoredChange extends Omit<CloneStoredEntry, "value"> {
  readonly value: Buffer | undefined;
}

export interface CloneStoredState {
  /** Sequence of the last commit. */
  readonly sequence: number;
  /** UUIDs of recent commits, the oldest first. */
  readonly uuids: readonly Buffer[];
  /** Unreadable entries, left out. */
  readonly damaged: number;
  /** The last argument of `mark` or `finish`. */
  readonly standing?: Buffer | undefined;
}

/** The old map stays until `finish` settles. */
export interface CloneStoreReplacement {
  add(entries: readonly CloneStoredEntry[]): Promise<void>;
  /** @param standing as in `mark` */
  finish(sequence: number, uuids: readonly Buffer[], standing: Buffer): Promise<void>;
}

/** Results are durable when a call settles. Calls do not overlap. A rejection, a `StoreError`, changes nothing. */
export interface CloneStore {
  /** For messages: "lmdb", … */
  readonly name: string;
  /** Visits all entries, in any order. */
  load(visit: (entry: CloneStoredEntry) => void): Promise<CloneStoredState>;
  /**
   * Writes all changes, or none.
   *
   * @param sequence of the last update, with or without a change
   * @param uuids of all updates, 16 bytes each
   */
  commit(changes: readonly CloneStoredChange[], sequence: number, uuids: readonly Buffer[]): Promise<void>;
  replace(): Promise<CloneStoreReplacement>;
  /** Stores a pair's standing: about 100 opaque bytes. */
  mark(standing: Buffer): Promise<void>;
  close(): Promise<void>;
}

/** Options of {@link CloneLmdbStore.open}. */
export type CloneLmdbStoreOptions = Given<typeof FOLDER_OPTIONS>;

/** Updates whose UUIDs are kept. */
const MAX_RECENT = 262_144;
const CLEAR_BATCH = 5_000;
const CURRENT = Buffer.from("map");
const SEQUENCE = Buffer.from("sequence");
const STANDING = Buffer.from("standing");

/**
 * Tables.
 *
 *   map-0, map-1  key -> record with expiry: value | sequence 8 (store/store.ts)   one of the two counts
 *   recent        last sequence 8 -> UUIDs of a commit, 16 bytes each
 *   state         "map" -> 0 or 1   "sequence" -> 8   "owner" -> 16   "standing" -> standing.ts
 *
 * Numbers are big-endian, sequences of `recent` and `state` doubles. The other server's map goes to the unused table in many
 * commits, and is in use from the last: a process killed in between keeps the old map.
 */
const TABLES = ["map-0", "map-1", "recent", "state"] as const;

/**
 * A {@link CloneStore} in a folder of LMDB. Needs the package `lmdb`.
 *
 * @example
 * ```ts
 * import { mkdtempSync } from "node:fs";
 * import { CloneLmdbStore, CloneServer } from "shoal/clone";
 *
 * const server = new CloneServer({ store: CloneLmdbStore.open(mkdtempSync("/tmp/clone-")) });
 * await server.bind("tcp://127.0.0.1:*");
 * await server.close(); // The folder keeps the map.
 * ```
 */
export class CloneLmdbStore implements CloneStore {
  readonly name = "lmdb";
  readonly #folder: LmdbFolder<(typeof TABLES)[number]>;
  readonly #maps: readonly [LmdbDatabase, LmdbDatabase];
  readonly #recent: LmdbDatabase;
  readonly #state: LmdbDatabase;
  #current: 0 | 1;

  /**
   * Opens a folder, or makes it. A second process that opens it takes it over: the first one's commits are refused
   * with `taken`.
   *
   * @throws NotSupportedError `ERR_PACKAGE_UNAVAILABLE` without the package `lmdb`; InvalidArgumentError `EINVAL`;
   *   StoreError `ERR_STORE` for a folder that cannot be opened, or is open in this process
   */
  static open(directory: string, options: CloneLmdbStoreOptions = {}): CloneLmdbStore {
    return new CloneLmdbStore(directory, options);
  }

  private constructor(directory: string, options: CloneLmdbStoreOptions) {
    const settings = checkOptions("CloneLmdbStore", FOLDER_OPTIONS, options);
    this.#folder = new LmdbFolder(directory, { ...settings, tables: TABLES, owner: "state" });
    const { recent, state, "map-0": map0, "map-1": map1 } = this.#folder.tables;
    this.#maps = [map0, map1];
    this.#recent = recent;
    this.#state = state;
    this.#current = state.getBinary(CURRENT)?.[0] === 1 ? 1 : 0;
  }

  async load(visit: (entry: CloneStoredEntry) => void): Promise<CloneStoredState> {
    this.#folder.assertOpen();
    try {
      const map = this.#maps[this.#current];
      let damaged = 0;
      for (const key of map.getKeys({})) {
        const record = map.getBinary(key);
        const entry = record === undefined ? undefined : decode(key, record);
        if (entry === undefined) damaged += 1;
        else visit(entry);
      }
      const uuids: Buffer[] = [];
      for (const key of this.#recent.getKeys({}))
        for (const uuid of uuidsOf(this.#recent.getBinary(key) as Buffer)) uuids.push(Buffer.from(uuid));
      const sequence = this.#state.getBinary(SEQUENCE);
      const standing = this.#state.getBinary(STANDING);
      return {
        sequence: sequence?.length === 8 ? sequence.readDoubleBE() : 0,
        uuids,
        damaged,
        standing: standing === undefined ? undefined : Buffer.from(standing),
      };
    } catch (cause) {
      throw new StoreError("failed", `The store in ${this.#folder.directory} cannot be read`, { cause });
    }
  }

  async commit(
    changes: readonly CloneStoredChange[],
    sequence: number,
    uuids: readonly Buffer[],
  ): Promise<void> {
    this.#folder.assertOpen();
    const grows = changes.some(({ value }) => value !== undefined);
    const refusal = grows ? this.#folder.refusal() : undefined;
    if (refusal !== undefined) throw refusal;
    await this.#folder.transaction(() => {
      const map = this.#maps[this.#current];
      for (const { key, value, sequence: revision, expires } of changes) {
        if (value === undefined) map.remove(key);
        else map.put(key, encode(value, revision, expires));
      }
      this.#state.put(SEQUENCE, double(sequence));
      if (uuids.length > 0) this.#recent.put(double(sequence), Buffer.concat(uuids));
      // Each update has a sequence, and one UUID or none.
      for (const key of [...this.#recent.getKeys({ end: double(Math.max(0, sequence - MAX_RECENT)) })])
        this.#recent.remove(Buffer.from(key));
    });
  }

  async replace(): Promise<CloneStoreReplacement> {
    this.#folder.assertOpen();
    const target = this.#current === 0 ? 1 : 0;
    const map = this.#maps[target];
    for (;;) {
      const keys = [...map.getKeys({ limit: CLEAR_BATCH })].map((key) => Buffer.from(key));
      if (keys.length === 0) break;
      await this.#folder.transaction(() => {
        for (const key of keys) map.remove(key);
      });
    }
    return {
      add: async (entries) => {
        const refusal = this.#folder.refusal();
        if (refusal !== undefined) throw refusal;
        await this.#folder.transaction(() => {
          for (const { key, value, sequence, expires } of entries)
            map.put(key, encode(value, sequence, expires));
        });
      },
      finish: async (sequence, uuids, standing) => {
        await this.#folder.transaction(() => {
          for (const key of [...this.#recent.getKeys({})]) this.#recent.remove(Buffer.from(key));
          if (uuids.length > 0) this.#recent.put(double(sequence), Buffer.concat(uuids));
          this.#state.put(SEQUENCE, double(sequence));
          this.#state.put(CURRENT, Buffer.of(target));
          this.#state.put(STANDING, standing);
        });
        this.#current = target;
      },
    };
  }

  async mark(standing: Buffer): Promise<void> {
    await this.#folder.transaction(() => void this.#state.put(STANDING, standing));
  }

  close(): Promise<void> {
    return this.#folder.close();
  }
}

function encode(value: Buffer, sequence: number, expires: number): Buffer {
  return encodeRecord([value, sequenceFrame(sequence)], expires);
}

function decode(key: Buffer, bytes: Buffer): CloneStoredEntry | undefined {
  const record = decodeRecord(bytes);
  if (typeof record === "string") return undefined;
  const [value, sequence] = record.frames;
  if (value === undefined || sequence?.length !== SEQUENCE_BYTES) return undefined;
  return { key, value, sequence: readSequence(sequence), expires: record.expires };
}

function double(value: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(8);
  bytes.writeDoubleBE(value);
  return bytes;
}
