/** Between a server's rules and its store: one call at a time, with wall-clock times. */
import type { DriverTimer } from "../../core/driver-timer.js";
import { StoreError } from "../kit/store/error.js";
import type { Operation } from "./operation.js";
import { conflictMark, type LoadedMap, uuidsOf } from "./server-map.js";
import type { ServerRules } from "./server-rules.js";
import { adopted, encodeStanding } from "./standing.js";
import type { CloneStore, CloneStoredChange, CloneStoredEntry } from "./store.js";

/** Entries and bytes of one commit of a whole map, about. */
const REPLACE_BATCH = 2_000;
const REPLACE_BYTES = 4_194_304;

export class StoreWriter {
  readonly #store: CloneStore;
  readonly #rules: ServerRules;
  readonly #timer: DriverTimer;
  #running: Promise<void> = Promise.resolve();

  constructor(store: CloneStore, rules: ServerRules, timer: DriverTimer) {
    this.#store = store;
    this.#rules = rules;
    this.#timer = timer;
  }

  /** @throws StoreError `ERR_STORE` */
  async load(): Promise<void> {
    const now = this.#timer.now();
    const wall = Date.now();
    const state = await this.#store.load((entry) => {
      // A key that ended meanwhile is deleted at the first tick: clients hear of it.
      const left = entry.expires === 0 ? 0 : now + Math.max(0, entry.expires - wall);
      this.#rules.restore(entry, left === 0 ? 0 : Math.max(left, Number.MIN_VALUE));
    });
    if (!this.#rules.restored(state))
      throw new StoreError(
        "failed",
        `The store (${this.#store.name}) is of a version that this one cannot read`,
      );
  }

  commit(operations: readonly Operation[]): void {
    const shift = Date.now() - this.#timer.now();
    const changes: CloneStoredChange[] = [];
    const uuids: Buffer[] = [];
    for (const { kind, key, value, sequence, uuid, expires } of operations) {
      if (kind === "announce") continue;
      if (uuid.length > 0) uuids.push(kind === "conflict" ? conflictMark(uuid) : uuid);
      if (kind === "conflict") continue;
      const ends = expires === 0 ? 0 : expires + shift;
      changes.push({ key, value: kind === "set" ? value : undefined, sequence, expires: ends });
    }
    const last = operations.at(-1)?.sequence ?? 0;
    this.#run(
      () => this.#store.commit(changes, last, uuids),
      () => this.#rules.committed(this.#timer.now()),
      (error) => this.#rules.commitFailed(error, this.#timer.now()),
    );
  }

  mark(standing: Buffer): void {
    this.#run(
      () => this.#store.mark(standing),
      () => this.#rules.marked(this.#timer.now()),
      (error) => this.#rules.markFailed(error, this.#timer.now()),
    );
  }

  replace(loaded: LoadedMap, wanted: () => boolean, aside: number | undefined): void {
    let path: string | undefined;
    this.#run(
      async () => {
        if (aside !== undefined && wanted()) path = await this.#setAside(aside);
        await this.#replace(loaded, wanted);
      },
      () => this.#rules.replaced(loaded, this.#timer.now(), path),
      (error) => this.#rules.replaceFailed(loaded, error, this.#timer.now()),
    );
  }

  /** The current write may lead to others. */
  async close(): Promise<void> {
    let running: Promise<void>;
    do {
      running = this.#running;
      await running;
    } while (running !== this.#running);
    await this.#store.close();
  }

  #run(work: () => Promise<void>, done: () => void, failed: (error: unknown) => void): void {
    this.#running = this.#running.then(work).then(done, failed);
    void this.#running.finally(() => this.#timer.update());
  }

  async #setAside(after: number): Promise<string | undefined> {
    const rules = this.#rules;
    const { table } = rules;
    const shift = Date.now() - this.#timer.now();
    function* entries(): Generator<CloneStoredEntry, undefined> {
      for (let id = 0; id < table.high; id++) {
        if (!table.isLive(id) || table.sequence(id) <= after) continue;
        const time = rules.expiryOf(id);
        const expires = time === 0 ? 0 : time + shift;
        yield { key: table.key(id), value: table.value(id), sequence: table.sequence(id), expires };
      }
      return undefined;
    }
    return this.#store.setAside?.(entries());
  }

  async #replace(loaded: LoadedMap, wanted: () => boolean): Promise<void> {
    const { table, expires, sequence, seen } = loaded;
    const replacement = await this.#store.replace();
    const shift = Date.now() - this.#timer.now();
    let entries: CloneStoredEntry[] = [];
    let bytes = 0;
    for (let id = 0; id < table.high; id++) {
      if (!table.isLive(id)) continue;
      const time = expires.get(id) ?? 0;
      const value = table.value(id);
      const ends = time === 0 ? 0 : time + shift;
      entries.push({ key: table.key(id), value, sequence: table.sequence(id), expires: ends });
      bytes += value.length;
      if (entries.length < REPLACE_BATCH && bytes < REPLACE_BYTES) continue;
      if (!wanted()) return;
      await replacement.add(entries);
      entries = [];
      bytes = 0;
    }
    if (!wanted()) return;
    if (entries.length > 0) await replacement.add(entries);
    if (wanted()) await replacement.finish(sequence, uuidsOf(seen), encodeStanding(adopted(loaded.standing)));
  }
}
