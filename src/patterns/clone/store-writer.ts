/** Between a server's rules and its store: one call at a time, with wall-clock times. */
import type { DriverTimer } from "../../core/driver-timer.js";
import { StoreError } from "../../store/store.js";
import type { Operation } from "./operation.js";
import { isOwnUuid } from "./protocol.js";
import type { ServerRules } from "./server-rules.js";
import { conflictMark, type LoadedMap, uuidsOf } from "./server-state.js";
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
      // A key that ended meanwhile ends a millisecond from now: clients hear of it.
      const expires = entry.expires === 0 ? 0 : now + Math.max(1, entry.expires - wall);
      this.#rules.map.restore({ ...entry, expires });
    });
    if (!this.#rules.restored(state))
      throw new StoreError(
        "failed",
        `The store (${this.#store.name}) is of a version that this one cannot read`,
      );
  }

  commit(operations: readonly Operation[]): void {
    const shift = this.#shift;
    const changes: CloneStoredChange[] = [];
    const uuids: Buffer[] = [];
    for (const { kind, key, value, sequence, uuid, expires } of operations) {
      if (kind === "announce") continue;
      if (uuid.length > 0 && !isOwnUuid(uuid)) uuids.push(kind === "conflict" ? conflictMark(uuid) : uuid);
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

  replace(loaded: LoadedMap, wanted: () => boolean): void {
    this.#run(
      () => this.#replace(loaded, wanted),
      () => this.#rules.replaced(loaded, this.#timer.now()),
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

  async #replace({ map, standing }: LoadedMap, wanted: () => boolean): Promise<void> {
    const replacement = await this.#store.replace();
    let entries: CloneStoredEntry[] = [];
    let bytes = 0;
    for (const entry of map.entries(this.#shift)) {
      entries.push(entry);
      bytes += entry.value.length;
      if (entries.length < REPLACE_BATCH && bytes < REPLACE_BYTES) continue;
      if (!wanted()) return;
      await replacement.add(entries);
      entries = [];
      bytes = 0;
    }
    if (!wanted()) return;
    if (entries.length > 0) await replacement.add(entries);
    if (wanted())
      await replacement.finish(map.sequence, uuidsOf(map.seen()), encodeStanding(adopted(standing)));
  }

  /** From the rules' clock to ms since 1970. */
  get #shift(): number {
    return Date.now() - this.#timer.now();
  }
}
