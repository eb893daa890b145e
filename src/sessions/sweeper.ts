/**
 * What a server does for all sessions of its store, a part at a time: shows that it runs, takes sessions from servers that do not,
 * removes those whose time is over, and messages of those that were removed. Each server does this; which one is first is no matter.
 */
import { MAX_SERVERS, REMOVED_AT_ONCE, SWEPT_AT_ONCE } from "./bounds.js";
import { after, decodeJson, encodeJson, keys, lastPart, rangeOf, type SessionRecord } from "./records.js";
import * as rules from "./rules.js";
import type { SessionStore, SessionStoreEntry } from "./store.js";
import type { Transactions } from "./transactions.js";

/** Bytes of sessions, and of messages, that are read at once. */
const SCAN_BYTES = 4_194_304;

/** A server as this one sees it. Its clock is not asked: its number has to grow. */
interface Seen {
  beats: number;
  /** By this server's monotonic clock. */
  since: number;
}

export interface SweeperSettings {
  /** Of this server. */
  readonly server: string;
  /** ms after which a server that shows nothing is lost. */
  readonly timeout: number;
  /** ms on a monotonic scale, and ms since 1970. */
  readonly monotonic: () => number;
  readonly wallClock: () => number;
  /** A session was removed, since its time was over. */
  readonly expired: (id: string) => void;
}

export class Sweeper {
  readonly #store: SessionStore;
  readonly #transactions: Transactions;
  readonly #settings: SweeperSettings;
  readonly #servers = new Map<string, Seen>();
  /** Servers without a number in the store, and since when that is so. */
  readonly #absent = new Map<string, number>();
  #cursor = "";
  #beats = 0;
  #nextBeat = 0;

  constructor(store: SessionStore, transactions: Transactions, settings: SweeperSettings) {
    this.#store = store;
    this.#transactions = transactions;
    this.#settings = settings;
  }

  /** Shows that this server runs; before the first session is opened. */
  async beat(): Promise<void> {
    const { server, timeout, monotonic } = this.#settings;
    if (this.#beats > 0 && monotonic() < this.#nextBeat) return;
    this.#nextBeat = monotonic() + timeout / 5;
    this.#beats += 1;
    const beats = this.#beats;
    await this.#transactions.run((view) => view.set(keys.server(server), encodeJson(beats)));
  }

  /** This server stops, and has given all sessions back. */
  async leave(): Promise<void> {
    await this.#transactions.run((view) => view.set(keys.server(this.#settings.server), undefined));
  }

  /** Does a part of the work. @throws StoreError */
  async sweep(): Promise<void> {
    await this.beat();
    await this.#observe();
    await this.#sweepSessions();
    await this.#sweepMessages();
  }

  /** Whether a server has not shown itself for too long. */
  readonly isLost = (server: string): boolean => {
    const { server: self, timeout, monotonic } = this.#settings;
    if (server === self) return false;
    const since = this.#servers.get(server)?.since ?? this.#absent.get(server);
    if (since === undefined) {
      // It may have been removed from the store while this session was read.
      this.#absent.set(server, monotonic());
      return false;
    }
    return monotonic() - since > timeout;
  };

  async #observe(): Promise<void> {
    const { server: self, timeout, monotonic } = this.#settings;
    const range = rangeOf(keys.server(""));
    const entries = await this.#store.scan({ ...range, limit: MAX_SERVERS, maxBytes: SCAN_BYTES });
    const now = monotonic();
    const there = new Set<string>();
    for (const { key, value } of entries) {
      const server = lastPart(key);
      const beats = decodeJson(key, value) as number;
      const seen = this.#servers.get(server);
      if (seen !== undefined && seen.beats === beats) {
        // Long gone: its sessions were taken from it.
        if (server !== self && now - seen.since > 20 * timeout) await this.#forget(key);
      } else this.#servers.set(server, { beats, since: now });
      there.add(server);
      this.#absent.delete(server);
    }
    for (const server of this.#servers.keys()) if (!there.has(server)) this.#servers.delete(server);
    for (const [server, since] of this.#absent) if (now - since > 20 * timeout) this.#absent.delete(server);
  }

  #forget(key: string): Promise<void> {
    return this.#transactions.run((view) => view.set(key, undefined));
  }

  async #sweepSessions(): Promise<void> {
    const { to, from } = rangeOf(keys.session(""));
    const entries = await this.#store.scan({
      from: this.#cursor === "" ? from : this.#cursor,
      to,
      limit: SWEPT_AT_ONCE,
      maxBytes: SCAN_BYTES,
    });
    const last = entries.at(-1);
    this.#cursor = entries.length < SWEPT_AT_ONCE || last === undefined ? "" : after(last.key);
    const now = this.#settings.wallClock();
    for (const { key, value } of entries) {
      const record = decodeJson(key, value) as SessionRecord;
      const isDue =
        record.owner === undefined
          ? record.expiry >= 0 && now - record.since >= record.expiry
          : this.isLost(record.owner.server);
      if (!isDue) continue;
      const id = lastPart(key);
      const done = await this.#transactions.run((view) => rules.expire(view, id, this.isLost, now));
      if (done === "removed") this.#settings.expired(id);
    }
  }

  async #sweepMessages(): Promise<void> {
    const range = rangeOf("g/");
    for (const { key } of await this.#store.scan({ ...range, limit: 4, maxBytes: SCAN_BYTES })) {
      const [, id, life] = key.split("/") as [string, string, string];
      const entries: SessionStoreEntry[] = [];
      for (const kind of ["q", "i", "j"]) {
        const range = rangeOf(`${kind}/${id}/${life}/`);
        const limit = REMOVED_AT_ONCE - entries.length;
        if (limit > 0) entries.push(...(await this.#store.scan({ ...range, limit, maxBytes: SCAN_BYTES })));
      }
      await this.#transactions.run((view) => {
        for (const entry of entries) view.set(entry.key, undefined);
        if (entries.length === 0) view.set(key, undefined);
      });
    }
  }
}
