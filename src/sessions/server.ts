/**
 * A server of sessions, with the upkeep of their store: a ROUTER, and a store with all state that any number of servers
 * can share.
 *
 *   client ──OPEN──> server ──open──> store          takes the session from its server, and wakes that one
 *          <─MESSAGE─       <─scan───                as many as the client's window allows
 *          ──SETTLE─>       ─settle─>
 *          ─PUBLISH─>       ─publish>                and wakes the servers whose clients have a message now
 */
import { randomBytes } from "node:crypto";
import { invalidArgument } from "../core/arguments.js";
import { ClosedError } from "../core/errors.js";
import { withTimeout } from "../core/waiter.js";
import { Driver } from "../kit/driver.js";
import { CLOSE_LINGER, checkOptions } from "../kit/options.js";
import { StoreError } from "../store/store.js";
import { SessionError } from "./protocol.js";
import {
  after,
  decodeJson,
  isSessionId,
  keys,
  lastPart,
  PAGE,
  PAGE_BYTES,
  rangeOf,
  type SessionRecord,
} from "./records.js";
import * as rules from "./rules.js";
import { SessionConnections } from "./server-connections.js";
import { Directory, type ServerContext } from "./server-context.js";
import {
  LIST_OPTIONS,
  SESSION_SERVER_EVENTS,
  type SessionInfo,
  type SessionServerEvent,
  type SessionServerOptions,
  type SessionServerStats,
  serverSettings,
  sessionInfo,
} from "./server-options.js";
import type { SessionStoreEntry, SessionStoreScan } from "./store.js";
import { Transactions } from "./transactions.js";

/**
 * Gives clients their sessions at any server of a store. When one ends, its clients connect to the next.
 *
 * @example
 * ```ts
 * import { MemorySessionStore, SessionServer } from "shoal/sessions";
 *
 * const server = new SessionServer({ store: new MemorySessionStore() });
 * await server.bind("tcp://127.0.0.1:*");
 * await server.close();
 * ```
 */
export class SessionServer extends Driver<SessionServerEvent, SessionServerStats> {
  readonly #context: ServerContext;
  readonly #sweeper: Sweeper;
  readonly #connections: SessionConnections;
  readonly #wakes = new Map<string, Set<string>>();
  readonly #withdraw: (() => void)[] = [];
  readonly #endpoints: string[] = [];
  #subscription: { close(): unknown } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #begun: Promise<void> | undefined;

  /** @throws InvalidArgumentError `EINVAL` */
  constructor(options: SessionServerOptions) {
    super("SessionServer", SESSION_SERVER_EVENTS);
    const settings = serverSettings(options);
    const { store } = settings;
    this.#context = {
      server: randomBytes(8).toString("hex"),
      settings,
      transactions: new Transactions(store, settings),
      directory: new Directory(store),
      events: this.events,
      wake: (server, session) => this.#wake(server, session),
      storeFailed: this.#storeFailed,
    };
    this.#connections = new SessionConnections(this.#context);
    this.#sweeper = new Sweeper(this.#context);
  }

  get endpoints(): readonly string[] {
    return [...this.#endpoints];
  }

  /**
   * Listens at an endpoint, and advertises it by the node.
   *
   * @returns the endpoint without wildcards
   * @throws as a socket's `bind`; StoreError when the store does not answer
   */
  async bind(endpoint: string): Promise<string> {
    this.assertOpen();
    this.#begun ??= this.#begin();
    await this.#begun;
    const bound = await this.#connections.socket.bind(endpoint);
    this.assertOpen(); // Nobody would withdraw it.
    const { node, name } = this.#context.settings;
    try {
      if (node !== undefined) this.#withdraw.push(node.advertise(name, bound));
    } catch (error) {
      await this.#connections.socket.unbind(bound);
      throw error;
    }
    this.#endpoints.push(bound);
    return bound;
  }

  /**
   * The sessions of the whole store, by id.
   *
   * @param options `after`: only greater ids; `limit`: default 1,000
   * @throws StoreError; ClosedError `EBADF`
   */
  async sessions(options: { readonly after?: string; readonly limit?: number } = {}): Promise<SessionInfo[]> {
    if (this.closed) this.assertOpen();
    const { after: last, limit } = checkOptions("sessions", LIST_OPTIONS, options);
    const range = rangeOf(keys.session(""));
    const from = last === undefined ? range.from : after(keys.session(last));
    const entries = await this.#context.settings.store.scan({
      from,
      to: range.to,
      limit,
      maxBytes: PAGE_BYTES,
    });
    return entries.map(({ key, value }) => sessionInfo(key, value, this.#context.server));
  }

  /**
   * Removes a session with filters and messages, and disconnects its client.
   *
   * @throws InvalidArgumentError `EINVAL` unless `id` is a text; SessionError `gone` for an unknown one; StoreError;
   *   ClosedError `EBADF`
   */
  async remove(id: string): Promise<void> {
    if (this.closed) this.assertOpen();
    if (typeof id !== "string") throw invalidArgument("id must be a text", id);
    if (!isSessionId(id)) throw new SessionError("gone");
    const owner = await this.#context.transactions.run((view) => rules.end(view, id));
    this.events.emit({ type: "session:removed", id, reason: "ended" });
    await this.#connections.check([id]).catch(this.#storeFailed);
    if (owner !== undefined) this.#wake(owner.server, id);
  }

  stats(): SessionServerStats {
    const { pending, commits, operations, conflicts } = this.#context.transactions;
    return {
      connections: this.#connections.open.size,
      ...this.#connections.counts,
      inFlightBytes: this.#connections.inFlight.used,
      pending,
      commits,
      operations,
      conflicts,
      filters: this.#context.directory.size,
    };
  }

  /** @internal Sends clients away, and releases their sessions. */
  protected override async onDrain(): Promise<void> {
    for (const withdraw of this.#withdraw.splice(0)) withdraw();
    this.#connections.endAll();
    await this.#context.transactions.run(() => undefined).catch(this.#storeFailed);
  }

  /** @internal */
  protected async onClose(linger: number): Promise<void> {
    clearTimeout(this.#timer);
    try {
      // The store may not answer. One that does is waited for, also with a linger of 0.
      await withTimeout(this.#leave(), linger < 0 ? linger : Math.max(linger, CLOSE_LINGER));
    } finally {
      this.#connections.reader.stop();
      await this.#connections.socket.close({
        linger: Math.min(linger < 0 ? CLOSE_LINGER : linger, CLOSE_LINGER),
      });
    }
  }

  async #leave(): Promise<void> {
    await this.onDrain();
    this.#connections.reader.stop();
    this.#subscription?.close();
    // Else the others notice the stop after `serverTimeout`.
    if (this.#begun !== undefined) await this.#sweeper.leave().catch(this.#storeFailed);
    await this.#context.transactions.close();
  }

  async #begin(): Promise<void> {
    try {
      await this.#sweeper.heartbeat();
      await this.#context.directory.refresh();
      this.assertOpen();
      const { node, name } = this.#context.settings;
      this.#subscription = node?.subscribe(topicOf(name, this.#context.server), ({ data }) =>
        this.#onWake(data),
      );
    } catch (error) {
      this.#begun = undefined;
      throw error;
    }
    this.#schedule();
  }

  #schedule(): void {
    if (this.closed) return;
    this.#timer = setTimeout(() => void this.#poll(), this.#context.settings.pollInterval);
  }

  async #poll(): Promise<void> {
    try {
      await this.#connections.checkAll();
      if (this.closed) return; // No sign of life may follow the leave.
      await this.#sweeper.sweep();
    } catch (error) {
      this.#storeFailed(error);
    }
    this.#schedule();
  }

  #storeFailed = (error: unknown): void => {
    if (error instanceof ClosedError) return;
    this.events.emit({ type: "store:failed", error });
  };

  #wake(server: string, session: string): void {
    if (server === this.#context.server) {
      this.#connections.wake(session);
      return;
    }
    if (this.#context.settings.node === undefined) return;
    if (this.#wakes.size === 0) setImmediate(this.#sendWakes);
    const sessions = this.#wakes.get(server);
    if (sessions === undefined) this.#wakes.set(server, new Set([session]));
    else sessions.add(session);
  }

  #sendWakes = (): void => {
    const { node, name } = this.#context.settings;
    for (const [server, sessions] of this.#wakes) {
      const all = [...sessions];
      for (let at = 0; at < all.length; at += PAGE) {
        const data = JSON.stringify(all.slice(at, at + PAGE));
        // The other server's poll makes up for a lost message.
        (async () => node?.publish(topicOf(name, server), data))().catch(() => undefined);
      }
    }
    this.#wakes.clear();
  };

  #onWake(data: Buffer): void {
    let ids: unknown;
    try {
      ids = JSON.parse(data.toString("utf8"));
    } catch {
      return; // The next poll finds the news.
    }
    if (Array.isArray(ids)) this.#connections.check(ids.slice(0, PAGE)).catch(this.#storeFailed);
  }
}

/** Topic of wake-ups for a server. */
function topicOf(name: string, server: string): string {
  return `$sessions/${name}/${server}`;
}

// --- Upkeep ----------------------------------------------------------------------------------------------------------

/**
 * Upkeep of a store by each of its servers, part by part: signs of life, sessions of lost servers, expired sessions,
 * messages of removed sessions.
 */
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
    for (const { key, value } of entries)
      try {
        const record = decodeJson(key, value) as SessionRecord;
        if (!rules.isDue(record, (server) => this.#servers.has(server), now)) continue;
        const id = lastPart(key);
        const isRemoved = await transactions.run((view) => rules.expire(view, id, now));
        if (isRemoved) events.emit({ type: "session:removed", id, reason: "expired" });
      } catch (error) {
        if (!(error instanceof StoreError) || error.reason !== "damaged") throw error;
        this.#context.storeFailed(error); // Of one session: the others are due all the same.
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
