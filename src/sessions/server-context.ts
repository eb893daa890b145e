/** What the parts of a session server share: its settings, its transactions, and the filters of all sessions. */

import { SubscriptionTable } from "../cluster/messaging/subscription-table.js";
import type { EventStream } from "../core/event-stream.js";
import { after, decodeJson, KEPT_CHANGES, keys, lastPart, PAGE, PAGE_BYTES, rangeOf } from "./records.js";
import type { SubscriptionDirectory } from "./rules.js";
import type { SessionServerEvent, SessionServerSettings } from "./server-options.js";
import { readMany, type SessionStore } from "./store.js";
import type { Transactions } from "./transactions.js";

export interface ServerContext {
  readonly server: string;
  readonly settings: SessionServerSettings;
  readonly transactions: Transactions;
  readonly directory: Directory;
  readonly events: Pick<EventStream<SessionServerEvent>, "emit">;
  /** A session may have a new message, or another owner. @param server of its client */
  wake(server: string, session: string): void;
  storeFailed(error: unknown): void;
}

/** Filters of all sessions in a server's memory. Each publication compares their version to the store's. */
export class Directory implements SubscriptionDirectory {
  readonly #store: SessionStore;
  /** Bounded by the servers' `maxFilters` and `maxFilterBytes`; shapes, by those of each session. */
  readonly #table = new SubscriptionTable<string>(undefined, Infinity);
  readonly #filters = new Map<string, readonly string[]>();
  version = -1;
  #refreshing: Promise<void> | undefined;

  constructor(store: SessionStore) {
    this.#store = store;
  }

  get size(): number {
    return this.#table.size;
  }

  match(topic: string): readonly string[] {
    const sessions: string[] = [];
    this.#table.match(topic, sessions);
    return [...new Set(sessions)];
  }

  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #refresh(): Promise<void> {
    const [bytes] = await this.#store.read([keys.directory]);
    const version = bytes === undefined ? 0 : (decodeJson(keys.directory, bytes.value) as number);
    if (version === this.version) return;
    const missed = version - this.version;
    const isKnown = this.version >= 0 && missed > 0 && missed < KEPT_CHANGES;
    if (!isKnown || !(await this.#readChanges(this.version + 1, version))) await this.#readAll();
    this.version = version;
  }

  /** @returns `false` if the store lacks a change */
  async #readChanges(from: number, to: number): Promise<boolean> {
    const changes = Array.from({ length: to - from + 1 }, (_, i) => keys.change(from + i));
    const changed = new Set<string>();
    for (const [i, each] of (await readMany(this.#store, changes)).entries()) {
      if (each === undefined) return false;
      changed.add(decodeJson(changes[i] as string, each.value) as string);
    }
    const sessions = [...changed];
    const values = await readMany(this.#store, sessions.map(keys.filters));
    for (const [i, id] of sessions.entries()) this.#set(id, values[i]?.value);
    return true;
  }

  async #readAll(): Promise<void> {
    const gone = new Set(this.#filters.keys());
    const range = rangeOf(keys.filters(""));
    for (let { from } = range; ; ) {
      const entries = await this.#store.scan({ from, to: range.to, limit: PAGE, maxBytes: PAGE_BYTES });
      for (const { key, value } of entries) {
        const id = lastPart(key);
        gone.delete(id);
        this.#set(id, value);
      }
      const last = entries.at(-1);
      if (last === undefined) break;
      from = after(last.key);
    }
    for (const id of gone) this.#set(id, undefined);
  }

  #set(id: string, bytes: Buffer | undefined): void {
    const filters = bytes === undefined ? [] : (decodeJson(keys.filters(id), bytes) as string[]);
    const before = this.#filters.get(id) ?? [];
    const [had, has] = [new Set(before), new Set(filters)];
    for (const filter of before) if (!has.has(filter)) this.#table.delete(filter, id);
    for (const filter of filters) if (!had.has(filter)) this.#table.add(filter, id);
    if (filters.length === 0) this.#filters.delete(id);
    else this.#filters.set(id, filters);
  }
}
