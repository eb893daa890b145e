import { ClosedError } from "../core/errors.js";
import { SortedKeys } from "./sorted-keys.js";
import type {
  SessionStore,
  SessionStoreCheck,
  SessionStoreEntry,
  SessionStoreScan,
  SessionStoreValue,
  SessionStoreWrite,
} from "./store.js";

/** A {@link SessionStore} in memory, for tests, and for sessions that may end with the process. Servers of the process can share it. */
export class MemorySessionStore implements SessionStore {
  readonly name = "memory";
  readonly #values = new Map<string, SessionStoreValue>();
  readonly #keys = new SortedKeys();
  #version = 0;
  #closed = false;

  async read(keys: readonly string[]): Promise<readonly (SessionStoreValue | undefined)[]> {
    this.#assertOpen();
    return keys.map((key) => this.#values.get(key));
  }

  async scan({ from, to, limit, maxBytes }: SessionStoreScan): Promise<readonly SessionStoreEntry[]> {
    this.#assertOpen();
    const found: SessionStoreEntry[] = [];
    let bytes = 0;
    for (const key of this.#keys.from(from)) {
      if (key >= to || found.length >= limit) break;
      const entry = this.#values.get(key) as SessionStoreValue;
      bytes += entry.value.length;
      if (found.length > 0 && bytes > maxBytes) break;
      found.push({ key, ...entry });
    }
    return found;
  }

  async commit(checks: readonly SessionStoreCheck[], writes: readonly SessionStoreWrite[]): Promise<boolean> {
    this.#assertOpen();
    for (const { key, version } of checks) {
      if ((this.#values.get(key)?.version ?? 0) !== version) return false;
    }
    this.#version += 1;
    for (const { key, value } of writes) {
      if (value === undefined) {
        if (this.#values.delete(key)) this.#keys.delete(key);
        continue;
      }
      if (!this.#values.has(key)) this.#keys.add(key);
      this.#values.set(key, { value, version: this.#version });
    }
    return true;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#values.clear();
    this.#keys.clear();
  }

  #assertOpen(): void {
    if (this.#closed) throw new ClosedError("EBADF", "The store is closed");
  }
}
