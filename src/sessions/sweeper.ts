/**
 * Upkeep of a store by each of its servers, part by part: signs of life, sessions of lost servers, expired sessions,
 * messages of removed sessions.
 */
import { MAX_SERVERS, PAGE, PAGE_BYTES } from "./bounds.js";
import { after, decodeJson, keys, lastPart, rangeOf, type SessionRecord } from "./records.js";
import * as rules from "./rules.js";
import type { ServerContext } from "./server-context.js";
import type { SessionStoreEntry, SessionStoreScan } from "./store.js";

/** A running server's number in the store grows. */
interface Seen {
  beats: number;
  since: number;
}

export class Sweeper {
  readonly #context: ServerContext;
  readonly #servers = new Map<string, Seen>();
  /** Servers without a number, and since when. */
  readonly #absent = new Map<string, number>();
  #cursor = "";
  #beats = 0;
  #nextBeat = 0;

  constructor(context: ServerContext) {
    this.#context = context;
  }

  async beat(): Promise<void> {
    const { server, settings, transactions } = this.#context;
    const now = performance.now();
    if (this.#beats > 0 && now < this.#nextBeat) return;
    this.#nextBeat = now + settings.serverTimeout / 5;
    this.#beats += 1;
    const beats = this.#beats;
    await transactions.run((view) => view.setJson(keys.server(server), beats));
  }

  leave(): Promise<void> {
    return this.#forget(keys.server(this.#context.server));
  }

  async sweep(): Promise<void> {
    await this.beat();
    await this.#observe();
    await this.#sweepSessions();
    await this.#sweepMessages();
  }

  readonly isLost = (server: string): boolean => {
    if (server === this.#context.server) return false;
    const since = this.#servers.get(server)?.since ?? this.#absent.get(server);
    if (since === undefined) {
      this.#absent.set(server, performance.now());
      return false;
    }
    return performance.now() - since > this.#context.settings.serverTimeout;
  };

  async #observe(): Promise<void> {
    const { server: self, settings } = this.#context;
    const entries = await this.#scan({ ...rangeOf(keys.server("")), limit: MAX_SERVERS });
    const now = performance.now();
    const longGone = 20 * settings.serverTimeout;
    const there = new Set<string>();
    for (const { key, value } of entries) {
      const server = lastPart(key);
      const beats = decodeJson(key, value) as number;
      const seen = this.#servers.get(server);
      if (seen !== undefined && seen.beats === beats) {
        if (server !== self && now - seen.since > longGone) await this.#forget(key);
      } else this.#servers.set(server, { beats, since: now });
      there.add(server);
      this.#absent.delete(server);
    }
    for (const server of this.#servers.keys()) if (!there.has(server)) this.#servers.delete(server);
    for (const [server, since] of this.#absent) if (now - since > longGone) this.#absent.delete(server);
  }

  #forget(key: string): Promise<void> {
    return this.#context.transactions.run((view) => view.set(key, undefined));
  }

  #scan(range: Omit<SessionStoreScan, "maxBytes">): Promise<readonly SessionStoreEntry[]> {
    return this.#context.settings.store.scan({ ...range, maxBytes: PAGE_BYTES });
  }

  async #sweepSessions(): Promise<void> {
    const { to, from } = rangeOf(keys.session(""));
    const entries = await this.#scan({ from: this.#cursor === "" ? from : this.#cursor, to, limit: PAGE });
    const last = entries.at(-1);
    this.#cursor = entries.length < PAGE || last === undefined ? "" : after(last.key);
    const now = Date.now();
    for (const { key, value } of entries) {
      const record = decodeJson(key, value) as SessionRecord;
      const isDue =
        record.owner === undefined
          ? record.expiry >= 0 && now - record.since >= record.expiry
          : this.isLost(record.owner.server);
      if (!isDue) continue;
      const id = lastPart(key);
      const { events, transactions } = this.#context;
      const done = await transactions.run((view) => rules.expire(view, id, this.isLost, now));
      if (done === "removed") events.emit({ type: "session:removed", id, reason: "expired" });
    }
  }

  async #sweepMessages(): Promise<void> {
    const { settings, transactions } = this.#context;
    // The other half of the time is left to clients.
    for (const until = performance.now() + settings.pollInterval / 2; performance.now() < until; ) {
      const [removed] = await this.#scan({ ...rangeOf("g/"), limit: 1 });
      if (removed === undefined) return;
      const [, id, life] = removed.key.split("/") as [string, string, string];
      let entries: readonly SessionStoreEntry[] = [];
      for (const kind of ["q", "i", "j"])
        if (entries.length === 0)
          entries = await this.#scan({ ...rangeOf(`${kind}/${id}/${life}/`), limit: PAGE });
      await transactions.run((view) => {
        for (const { key } of entries.length === 0 ? [removed] : entries) view.set(key, undefined);
      });
    }
  }
}
