/**
 * A server of sessions: a ROUTER that clients connect to, and a store. It keeps nothing that the store has not: any number of servers
 * work on one store, and a client finds its session at each of them.
 *
 *   client ──OPEN──> server ──open──> store          takes the session from the server that had it, and wakes that
 *          <─MESSAGE─       <─scan───                as many as the client's window allows
 *          ──SETTLE─>       ─settle─>
 *          ─PUBLISH─>       ─publish>                and wakes the servers whose clients have a message now
 */
import { randomBytes } from "node:crypto";
import { ClosedError } from "../core/errors.js";
import { Driver } from "../patterns/kit/driver.js";
import { CLOSE_LINGER, checkOptions } from "../patterns/kit/options.js";
import { RouterReader } from "../patterns/kit/router-reader.js";
import { Router } from "../sockets/request-reply.js";
import { SERVER_HIGH_WATER_MARK, WOKEN_AT_ONCE } from "./bounds.js";
import { Bridge } from "./bridge.js";
import { Directory } from "./directory.js";
import { encodeServerMessage } from "./protocol.js";
import { after, keys, rangeOf } from "./records.js";
import * as rules from "./rules.js";
import { SessionConnections } from "./server-connections.js";
import {
  LIST_OPTIONS,
  SESSION_SERVER_EVENTS,
  type SessionInfo,
  type SessionNode,
  type SessionServerEvent,
  type SessionServerOptions,
  type SessionServerSettings,
  type SessionServerStats,
  serverSettings,
  sessionInfo,
} from "./server-options.js";
import type { SessionStore } from "./store.js";
import { Sweeper } from "./sweeper.js";
import { Transactions } from "./transactions.js";

/** Of the ROUTER: a client that is silent is left. */
const PEER_HEARTBEATS = { heartbeatInterval: 2_000, heartbeatTimeout: 6_000 } as const;
/** Bytes of sessions that are listed at once. */
const LIST_BYTES = 16_777_216;

/**
 * Gives clients their sessions: see {@link SessionClient}. Servers that share a store are one place for them: it does not matter which one a client
 * connects to, and one that ends is missed by nobody for longer than its clients take to connect to the next.
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
export class SessionServer extends Driver<SessionServerEvent, SessionServerStats> {
  readonly #settings: SessionServerSettings;
  readonly #server = randomBytes(8).toString("hex");
  readonly #store: SessionStore;
  readonly #socket: Router;
  readonly #reader: RouterReader;
  readonly #transactions: Transactions;
  readonly #directory: Directory;
  readonly #sweeper: Sweeper;
  readonly #connections: SessionConnections;
  readonly #wakes = new Map<string, Set<string>>();
  readonly #withdraw: (() => void)[] = [];
  readonly #endpoints: string[] = [];
  #subscription: { close(): unknown } | undefined;
  /** Of a server with `clusterTopics`, once it listens. */
  #bridge: Bridge | undefined;
  #timer: NodeJS.Timeout | undefined;
  #begun: Promise<void> | undefined;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option, a bad value, or no store */
  constructor(options: SessionServerOptions) {
    super("SessionServer", SESSION_SERVER_EVENTS);
    const settings = serverSettings(options);
    this.#settings = settings;
    this.#store = settings.store;
    this.#transactions = new Transactions(this.#store, settings);
    this.#directory = new Directory(this.#store);
    this.#connections = new SessionConnections(settings, this.#server, this.#transactions, this.#directory, {
      send: (peer, message) => this.#socket.tryDeliver([peer, ...encodeServerMessage(message)]) === "sent",
      event: (event) => this.events.emit(event),
      wake: (server, session) => this.#wake(server, session),
      filtersChanged: () => this.#bridge?.filtersChanged(),
      storeFailed: (error) => this.#storeFailed(error),
      resume: () => this.#reader.resume(),
      isStopping: () => this.stopping,
      isClosed: () => this.closed,
    });
    this.#sweeper = new Sweeper(this.#store, this.#transactions, {
      server: this.#server,
      timeout: settings.serverTimeout,
      monotonic: () => performance.now(),
      wallClock: Date.now,
      expired: (id) => this.events.emit({ type: "session:removed", id, reason: "expired" }),
    });
    this.#socket = new Router({
      linger: CLOSE_LINGER,
      sendHighWaterMark: SERVER_HIGH_WATER_MARK,
      ...PEER_HEARTBEATS,
      ...settings.socketOptions,
      mandatory: true,
    });
    this.#reader = new RouterReader(this.#socket, {
      room: () => (this.#transactions.hasRoom ? Number.POSITIVE_INFINITY : 0),
      message: (frames) => this.#connections.onMessage(frames),
      left: (peer) => this.#connections.onLeft(peer),
      afterBatch: () => undefined,
    });
  }

  /** Where it listens. */
  get endpoints(): readonly string[] {
    return [...this.#endpoints];
  }

  /**
   * Listens at an endpoint, and advertises it where the server has a node.
   *
   * @returns the endpoint, wildcards filled in
   * @throws as `bind` of a socket; StoreError when the store does not answer
   */
  async bind(endpoint: string): Promise<string> {
    this.assertOpen();
    this.#begun ??= this.#begin();
    await this.#begun;
    const bound = await this.#socket.bind(endpoint);
    this.#endpoints.push(bound);
    const { node, name } = this.#settings;
    if (node !== undefined) this.#withdraw.push(node.advertise(name, bound));
    return bound;
  }

  /**
   * Sessions of the store, in the order of their ids: those of all servers.
   *
   * @param options `after`: only those with a greater id; `limit`: at most so many, default 1,000
   * @throws StoreError; ClosedError `EBADF`
   */
  async sessions(options: { readonly after?: string; readonly limit?: number } = {}): Promise<SessionInfo[]> {
    if (this.closed) this.assertOpen();
    const { after: last, limit } = checkOptions("sessions", LIST_OPTIONS, options);
    const range = rangeOf(keys.session(""));
    const from = last === undefined ? range.from : after(keys.session(last));
    const entries = await this.#store.scan({ from, to: range.to, limit, maxBytes: LIST_BYTES });
    return entries.map(({ key, value }) => sessionInfo(key, value, this.#server));
  }

  /**
   * Removes a session with all that it keeps; its client is disconnected.
   *
   * @throws SessionError `gone` when there is none; StoreError; ClosedError `EBADF`
   */
  async remove(id: string): Promise<void> {
    if (this.closed) this.assertOpen();
    const owner = await this.#transactions.run((view) => rules.end(view, String(id)));
    this.events.emit({ type: "session:removed", id, reason: "ended" });
    if (owner !== undefined) this.#wake(owner.server, id);
  }

  stats(): SessionServerStats {
    const { pending, commits, operations, conflicts } = this.#transactions;
    return {
      connections: this.#connections.size,
      ...this.#connections.counts,
      clusterKept: this.#bridge?.kept ?? 0,
      clusterLost: this.#bridge?.lost ?? 0,
      inFlightBytes: this.#connections.inFlightBytes,
      pending,
      commits,
      operations,
      conflicts,
      filters: this.#directory.size,
    };
  }

  /** @internal Clients are sent away, and their sessions given back. */
  protected override onDrain(): Promise<void> {
    return this.#stop();
  }

  async #stop(): Promise<void> {
    for (const withdraw of this.#withdraw.splice(0)) withdraw();
    this.#connections.endAll("stopping");
    await this.#bridge?.stop().catch((error: unknown) => this.#storeFailed(error));
    // After all that was asked before.
    await this.#transactions.run(() => undefined).catch((error: unknown) => this.#storeFailed(error));
  }

  /** @internal */
  protected async onClose(linger: number): Promise<void> {
    await this.#stop();
    clearTimeout(this.#timer);
    this.#reader.stop();
    this.#subscription?.close();
    // Where the store keeps its number, the others find after `serverTimeout` that it has stopped.
    if (this.#begun !== undefined)
      await this.#sweeper.leave().catch((error: unknown) => this.#storeFailed(error));
    await this.#transactions.close();
    await this.#socket.close({ linger: Math.min(linger < 0 ? CLOSE_LINGER : linger, CLOSE_LINGER) });
  }

  async #begin(): Promise<void> {
    try {
      await this.#sweeper.beat();
      await this.#directory.refresh();
    } catch (error) {
      this.#begun = undefined;
      throw error;
    }
    const { node, name, clusterTopics: topics } = this.#settings;
    this.#subscription = node?.subscribe(topicOf(name, this.#server), ({ data }) => this.#onWake(data));
    if (node !== undefined && topics.length > 0) await this.#startBridge(node, topics);
    this.#schedule();
  }

  async #startBridge(node: SessionNode, topics: readonly string[]): Promise<void> {
    const { isLost } = this.#sweeper;
    const prefix = topicOf(this.#settings.name, "cluster");
    this.#bridge = new Bridge(
      this.#transactions,
      this.#directory,
      { node, prefix, server: this.#server, topics, isLost },
      {
        kept: (owned) => {
          for (const { session, server } of owned) this.#wake(server, session);
        },
        changed: (isHere) => this.events.emit({ type: isHere ? "topics:taken" : "topics:left" }),
        refused: (filter, error) => this.events.emit({ type: "topics:refused", filter, error }),
        storeFailed: (error) => this.#storeFailed(error),
      },
    );
    // Where the store fails now, the next look of `#poll` takes it.
    await this.#bridge.look().catch((error: unknown) => this.#storeFailed(error));
  }

  #schedule(): void {
    if (this.closed) return;
    this.#timer = setTimeout(() => void this.#poll(), this.#settings.pollInterval);
  }

  async #poll(): Promise<void> {
    try {
      await this.#connections.lookAtAll();
      await this.#sweeper.sweep();
      await this.#bridge?.look();
    } catch (error) {
      this.#storeFailed(error);
    }
    this.#schedule();
  }

  #storeFailed(error: unknown): void {
    if (error instanceof ClosedError) return;
    this.events.emit({ type: "store:failed", error });
  }

  /** A session of a server has something new. */
  #wake(server: string, session: string): void {
    if (server === this.#server) {
      this.#connections.wake(session);
      return;
    }
    if (this.#settings.node === undefined) return;
    if (this.#wakes.size === 0) setImmediate(this.#sendWakes);
    const sessions = this.#wakes.get(server);
    if (sessions === undefined) this.#wakes.set(server, new Set([session]));
    else sessions.add(session);
  }

  #sendWakes = (): void => {
    const { node, name } = this.#settings;
    for (const [server, sessions] of this.#wakes) {
      const all = [...sessions];
      for (let at = 0; at < all.length; at += WOKEN_AT_ONCE) {
        const data = JSON.stringify(all.slice(at, at + WOKEN_AT_ONCE));
        // One that is lost, or refused since the bus closes, is made up for by the other server's own look.
        node?.publish(topicOf(name, server), data).catch(() => undefined);
      }
    }
    this.#wakes.clear();
  };

  #onWake(data: Buffer): void {
    let ids: unknown;
    try {
      ids = JSON.parse(data.toString("utf8"));
    } catch {
      return; // What is new is found by this server's own look.
    }
    if (!Array.isArray(ids)) return;
    this.#connections.look(ids.slice(0, WOKEN_AT_ONCE)).catch((error: unknown) => this.#storeFailed(error));
  }
}

/** Of the messages between servers: which of their sessions have something new. */
function topicOf(name: string, server: string): string {
  return `$sessions/${name}/${server}`;
}
