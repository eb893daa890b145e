/**
 * Upkeep of a store by each of its servers, part by part: signs of life, sessions of lost servers, expired sessions,
 * messages of removed sessions.
 */
import {
  after,
  decodeJson,
  keys,
  lastPart,
  PAGE,
  PAGE_BYTES,
  rangeOf,
  type SessionRecord,
} from "./records.js";
import * as rules from "./rules.js";
import type { ServerContext } from "./server-context.js";
import type { SessionStoreEntry, SessionStoreScan } from "./store.js";

export class Sweeper {
  readonly #context: ServerContext;
  /** Running servers: their numbers in the store, and since when. */
  #servers = new Map<string, { readonly heartbeats: number; readonly since: number }>();
  #cursor = "";
  #heartbeats = 0;
  #hasLeft = false;

  constructor(context: ServerContext) {
    this.#context = context;
  }

  async heartbeat(): Promise<void> {
    if (this.#hasLeft) return; // No sign of life may follow the leave.
    const { server, transactions } = this.#context;
    const heartbeats = ++this.#heartbeats;
    await transactions.run((view) => view.setJson(keys.server(server), heartbeats));
  }

  leave(): Promise<void> {
    this.#hasLeft = true;
    const { server, transactions } = this.#context;
    return transactions.run((view) => view.set(keys.server(server), undefined));
  }

  async sweep(): Promise<void> {
    await this.heartbeat();
    await this.#sweepServers();
    await this.#sweepSessions();
    // It may take half of an interval.
    if (await this.#sweepMessages()) await this.heartbeat();
  }

  #scan(range: Omit<SessionStoreScan, "maxBytes">): Promise<readonly SessionStoreEntry[]> {
    return this.#context.settings.store.scan({ ...range, maxBytes: PAGE_BYTES });
  }

  /** A server without its key is lost: its sessions are free. */
  async #sweepServers(): Promise<void> {
    const { server: self, settings, transactions } = this.#context;
    const entries = await this.#scan({ ...rangeOf(keys.server("")), limit: 1_000 });
    const now = performance.now();
    const before = this.#servers;
    this.#servers = new Map();
    for (const { key, value } of entries) {
      const server = lastPart(key);
      const heartbeats = decodeJson(key, value) as number;
      const seen = before.get(server);
      const since = seen?.heartbeats === heartbeats ? seen.since : now;
      if (server === self || now - since <= settings.serverTimeout)
        this.#servers.set(server, { heartbeats, since });
      else
        await transactions.run((view) => {
          if (view.getJson(key) === heartbeats) view.set(key, undefined);
        });
    }
  }

  async #sweepSessions(): Promise<void> {
    const { to, from } = rangeOf(keys.session(""));
    const entries = await this.#scan({ from: this.#cursor === "" ? from : this.#cursor, to, limit: PAGE });
    const last = entries.at(-1);
    this.#cursor = entries.length < PAGE || last === undefined ? "" : after(last.key);
    const now = Date.now();
    const { events, transactions } = this.#context;
    for (const { key, value } of entries) {
      const record = decodeJson(key, value) as SessionRecord;
      if (!rules.isDue(record, (server) => this.#servers.has(server), now)) continue;
      const id = lastPart(key);
      const isRemoved = await transactions.run((view) => rules.expire(view, id, now));
      if (isRemoved) events.emit({ type: "session:removed", id, reason: "expired" });
    }
  }

  /** @returns whether there were any */
  async #sweepMessages(): Promise<boolean> {
    const { settings, transactions } = this.#context;
    let wereAny = false;
    // The other half of the time is left to clients.
    for (const until = performance.now() + settings.pollInterval / 2; performance.now() < until; ) {
      const [removed] = await this.#scan({ ...rangeOf("g/"), limit: 1 });
      if (removed === undefined) break;
      wereAny = true;
      const [, id, life] = removed.key.split("/") as [string, string, string];
      let entries: readonly SessionStoreEntry[] = [];
      for (const kind of ["q", "i", "j"])
        if (entries.length === 0)
          entries = await this.#scan({ ...rangeOf(`${kind}/${id}/${life}/`), limit: PAGE });
      await transactions.run((view) => {
        for (const { key } of entries.length === 0 ? [removed] : entries) view.set(key, undefined);
      });
    }
    return wereAny;
  }
}
