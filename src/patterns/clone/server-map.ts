/** The map of a server: its keys, when they end, and which updates it has had. */
import { Chains } from "./chains.js";
import { Expiry } from "./expiry.js";
import type { LoadedMap } from "./follower.js";
import type { Operation } from "./operation.js";
import { encodeTimeToLive } from "./properties.js";
import { sequenceFrame } from "./protocol.js";
import type { StoredEntry, StoredState } from "./store.js";
import { CloneTable } from "./table.js";
import { UuidWindow } from "./uuid-window.js";

export class ServerMap {
  readonly chains = new Chains();
  #table = new CloneTable();
  #expiry = new Expiry(this.#table);
  #window = new UuidWindow();
  /** Of the last update that was applied. */
  #applied = 0;
  #updates = 0;

  get table(): CloneTable {
    return this.#table;
  }

  get expiry(): Expiry {
    return this.#expiry;
  }

  /** Updates that were applied lately, or are on their way. */
  get window(): UuidWindow {
    return this.#window;
  }

  get sequence(): number {
    return this.#applied;
  }

  /** Of clients, that were applied. */
  get updates(): number {
    return this.#updates;
  }

  /** An entry of the store. @param expires in the rules' time; 0: never */
  restore(entry: StoredEntry, expires: number): void {
    const id = this.#table.put(entry.key, entry.value, entry.sequence);
    this.#expiry.set(id, expires);
  }

  /** All of the store was read. */
  restored({ sequence, uuids }: StoredState): void {
    this.#applied = sequence;
    for (const uuid of uuids) this.#window.add(uuid);
  }

  /** The map is the other server's from now on, but for what came after it. */
  adopt(loaded: LoadedMap): void {
    this.#table = loaded.table;
    this.#expiry = new Expiry(this.#table);
    for (const [name, time] of loaded.expires) {
      const id = this.#table.find(Buffer.from(name, "latin1"));
      if (id >= 0) this.#expiry.set(id, time);
    }
    this.#window = new UuidWindow();
    this.#applied = loaded.sequence;
  }

  /**
   * An update takes effect.
   *
   * @param beforeChange told of a key that is there and about to change; left out when nobody has to know
   * @returns the KVPUB that tells of it
   */
  apply(operation: Operation, now: number, beforeChange?: (id: number) => void): Buffer[] {
    const table = this.#table;
    const { key, sequence, kind } = operation;
    let { value, properties } = operation;
    let id = kind === "set" && beforeChange === undefined ? -1 : table.find(key);
    if (id >= 0) beforeChange?.(id);
    if (kind === "set") {
      id = table.put(key, value, sequence);
      this.#expiry.set(id, operation.expires);
    } else if (kind === "announce") {
      const time = id < 0 ? 0 : this.#expiry.timeOf(id);
      if (id >= 0) {
        value = table.value(id);
        table.touch(id, sequence);
        this.#expiry.set(id, time);
      }
      properties = encodeTimeToLive(time === 0 ? 0 : Math.max(1, Math.ceil(time - now)));
    } else if (id >= 0) {
      this.#expiry.remove(id);
      table.remove(id);
    }
    this.#applied = sequence;
    if (operation.counted && kind !== "announce") this.#updates += 1;
    const added = this.chains.advance(key, sequence);
    if (added !== "") properties = Buffer.concat([properties, Buffer.from(added)]);
    return [key, sequenceFrame(sequence), operation.uuid, properties, value];
  }
}
