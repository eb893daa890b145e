/** Sessions in the memory of one process: they end with it. For tests, and for sessions that outlive connections alone. */
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

/**
 * A {@link SessionStore} that keeps nothing beyond the process. Any number of servers of the process may share it.
 *
 * @example
 * ```ts
 * import { MemorySessionStore, SessionClient, SessionServer } from "shoal/sessions";
 *
 * const store = new MemorySessionStore(); // Of one process: for tests.
 * const server = new SessionServer({ store });
 * const kitchen = new SessionClient(await server.bind("tcp://127.0.0.1:*"), { id: "kitchen" });
 * await kitchen.subscribe("orders/+/new");
 * await kitchen.publish("orders/7/new", "soup"); // In the store when it settles.
 * for await (const message of kitchen) {
 *   console.log(message.topic, String(message.data)); // orders/7/new soup
 *   message.acknowledge();
 *   break;
 * }
 * await kitchen.close(); // The session stays.
 * await server.close();
 * await store.close();
 * ```
 */
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
