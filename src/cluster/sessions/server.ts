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
import { ClosedError, ProtocolError } from "../../core/errors.js";
import { Driver } from "../../patterns/kit/driver.js";
import { CLOSE_LINGER, checkOptions } from "../../patterns/kit/options.js";
import { RouterReader } from "../../patterns/kit/router-reader.js";
import { Router } from "../../sockets/request-reply.js";
import { DELIVERED_AT_ONCE, SERVER_HIGH_WATER_MARK, WOKEN_AT_ONCE } from "./bounds.js";
import { Bridge } from "./bridge.js";
import { Deliveries, InFlightBytes } from "./deliveries.js";
import { Directory } from "./directory.js";
import { SessionError, type SessionFailure } from "./error.js";
import {
  type ClientMessage,
  decodeClientMessage,
  encodeServerMessage,
  type OpenRequest,
  Refused,
  type ServerMessage,
} from "./protocol.js";
import {
  after,
  decodeJson,
  decodeMessage,
  keys,
  messageSize,
  numberOf,
  rangeOf,
  type SessionRecord,
} from "./records.js";
import * as rules from "./rules.js";
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
import type { View } from "./view.js";

/** A client's connection. */
interface Connection {
  readonly peer: Buffer;
  readonly id: string;
  /** `closing`: what came before its CLOSE is still done; `ended`: nothing is. */
  state: "opening" | "open" | "closing" | "ended";
  handle: rules.SessionHandle;
  deliveries: Deliveries;
  /** Messages below this number may have been delivered before. */
  mark: number;
  maxAge: number;
  /** Drops that the client was sent. */
  drops: number;
  isReading: boolean;
  /** There may be messages that the reading under way does not see. */
  readAgain: boolean;
  isSettling: boolean;
}

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
  /** By routing id, and those that are open by the id of their session. */
  readonly #connections = new Map<string, Connection>();
  readonly #open = new Map<string, Connection>();
  readonly #inFlight: InFlightBytes;
  /** Sessions that could not be given back while the store failed. */
  readonly #kept: { readonly handle: rules.SessionHandle; readonly sent: number }[] = [];
  readonly #wakes = new Map<string, Set<string>>();
  readonly #withdraw: (() => void)[] = [];
  readonly #endpoints: string[] = [];
  #subscription: { close(): unknown } | undefined;
  /** Of a server with `clusterTopics`, once it listens. */
  #bridge: Bridge | undefined;
  #timer: NodeJS.Timeout | undefined;
  #begun: Promise<void> | undefined;
  readonly #counts = { published: 0, delivered: 0, acknowledged: 0, duplicates: 0 };

  /** @throws InvalidArgumentError `EINVAL` for an unknown option, a bad value, or no store */
  constructor(options: SessionServerOptions) {
    super("SessionServer", SESSION_SERVER_EVENTS);
    const settings = serverSettings(options);
    this.#settings = settings;
    this.#store = settings.store;
    this.#transactions = new Transactions(this.#store, settings);
    this.#directory = new Directory(this.#store);
    this.#inFlight = new InFlightBytes(settings.maxInFlightBytes, () => this.#open.size);
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
      message: (frames) => this.#onMessage(frames),
      left: (peer) => this.#onLeft(peer),
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
      connections: this.#open.size,
      ...this.#counts,
      clusterKept: this.#bridge?.kept ?? 0,
      clusterLost: this.#bridge?.lost ?? 0,
      inFlightBytes: this.#inFlight.used,
      pending,
      commits,
      operations,
      conflicts,
      filters: this.#directory.size,
    };
  }

  /** @internal Clients are sent away, and their sessions given back. */
  protected override onDrain(): Promise<void> {
    return this.#stop(-1);
  }

  /** @param limit ms until the cluster's messages are another server's, at most */
  async #stop(limit: number): Promise<void> {
    for (const withdraw of this.#withdraw.splice(0)) withdraw();
    for (const connection of [...this.#connections.values()]) this.#end(connection, "stopping");
    await this.#bridge?.stop(limit).catch((error: unknown) => this.#storeFailed(error));
    // After all that was asked before.
    await this.#transactions.run(() => undefined).catch((error: unknown) => this.#storeFailed(error));
  }

  /** @internal */
  protected async onClose(linger: number): Promise<void> {
    await this.#stop(linger);
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
      { node, prefix, server: this.#server, topics, isLost, hasOthers: () => this.#sweeper.hasOthers() },
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
      for (const { handle, sent } of this.#kept.splice(0)) this.#detach(handle, sent);
      await this.#check([...this.#open.values()]);
      await this.#sweeper.sweep();
      await this.#bridge?.look();
    } catch (error) {
      this.#storeFailed(error);
    }
    this.#schedule();
  }

  /** Compares connections to what the store has of their sessions. */
  async #check(connections: readonly Connection[]): Promise<void> {
    for (let at = 0; at < connections.length; at += WOKEN_AT_ONCE) {
      const some = connections.slice(at, at + WOKEN_AT_ONCE);
      const values = await this.#store.read(some.map(({ id }) => keys.session(id)));
      for (const [i, connection] of some.entries()) {
        if (connection.state !== "open") continue;
        const bytes = values[i]?.value;
        const record = bytes === undefined ? undefined : (decodeJson(connection.id, bytes) as SessionRecord);
        if (record === undefined || record.life !== connection.handle.life) this.#end(connection, "gone");
        // A reading that began before this connection was made may have been slow.
        else if (record.epoch > connection.handle.epoch) this.#end(connection, "taken");
        else if (record.epoch === connection.handle.epoch && record.owner === undefined)
          this.#end(connection, "unavailable");
        else this.#look(connection, record);
      }
    }
  }

  /** There may be something new for a client. */
  #look(connection: Connection, record: SessionRecord): void {
    this.#reportDrops(connection, record);
    if (record.tail > connection.deliveries.next) void this.#deliver(connection);
  }

  #reportDrops(connection: Connection, { drops, reported }: SessionRecord): void {
    const total = drops.full + drops.old;
    if (total <= Math.max(connection.drops, reported)) return;
    connection.drops = total;
    this.#send(connection, { kind: "dropped", drops: total, unreported: total - reported, old: drops.old });
  }

  #onMessage(frames: Buffer[]): void {
    const [peer, ...rest] = frames as [Buffer, ...Buffer[]];
    const name = peer.toString("latin1");
    const connection = this.#connections.get(name);
    let message: ClientMessage;
    try {
      message = decodeClientMessage(rest);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#invalid(peer, connection, error.message);
      return;
    }
    if (message.kind === "ping") this.#reply(peer, { kind: "pong" });
    else if (message.kind === "open") {
      if (connection !== undefined) this.#invalid(peer, connection, "a connection has one session");
      else void this.#openSession(peer, message.open);
    } else if (connection === undefined) {
      // This server has not known it from before its own start.
      this.#refuse(peer, this.stopping ? "stopping" : "unavailable");
    } else if (connection.state === "opening") this.#invalid(peer, connection, "the session is not open yet");
    else if (connection.state === "open") this.#handle(connection, message);
  }

  #invalid(peer: Buffer, connection: Connection | undefined, reason: string): void {
    this.events.emit({ type: "message:invalid", reason });
    if (connection === undefined) this.#refuse(peer, "invalid", reason);
    else this.#end(connection, "invalid", reason);
  }

  async #openSession(peer: Buffer, request: OpenRequest): Promise<void> {
    const { authorize, maxConnections } = this.#settings;
    const { id, token } = request;
    if (this.stopping) {
      this.#refuse(peer, "stopping");
      return;
    }
    if (this.#connections.size >= maxConnections) {
      const reason = `There are ${maxConnections} connections`;
      this.events.emit({ type: "session:refused", id, reason });
      this.#refuse(peer, "unavailable", reason);
      return;
    }
    const connection: Connection = {
      peer,
      id,
      state: "opening",
      handle: { id, life: "", epoch: 0 },
      deliveries: new Deliveries({ messages: 0, bytes: 0 }, this.#inFlight, 0),
      mark: 0,
      maxAge: -1,
      drops: 0,
      isReading: false,
      readAgain: false,
      isSettling: false,
    };
    this.#connections.set(peer.toString("latin1"), connection);
    try {
      if (authorize !== undefined && (await authorize({ id, token })) !== true) {
        this.events.emit({ type: "session:refused", id, reason: "authorize" });
        this.#end(connection, "refused");
        return;
      }
    } catch (error) {
      this.events.emit({ type: "session:refused", id, reason: String(error) });
      this.#end(connection, "refused");
      return;
    }
    const owner = { server: this.#server, connection: randomBytes(8).toString("hex") };
    const life = randomBytes(8).toString("hex");
    const terms = this.#terms(request);
    try {
      const opened = await this.#transactions.run((view) => {
        // The client has gone meanwhile: the session stays where it is.
        if (connection.state === "ended") throw new SessionError("unavailable");
        return rules.open(view, id, owner, terms, life, this.#settings, Date.now());
      });
      this.#onOpened(connection, request, opened);
    } catch (error) {
      if (error instanceof SessionError && connection.state !== "ended")
        this.events.emit({ type: "session:refused", id, reason: error.message });
      this.#failed(connection, error);
    }
  }

  #onOpened(connection: Connection, request: OpenRequest, opened: rules.OpenedSession): void {
    const { record, previous } = opened;
    const { id } = connection;
    connection.handle = { id, life: record.life, epoch: record.epoch };
    if (connection.state === "ended") {
      this.#detach(connection.handle, 0);
      return;
    }
    const before = this.#open.get(id);
    if (before !== undefined) this.#end(before, "taken");
    else if (previous !== undefined) this.#wake(previous.server, id);
    connection.state = "open";
    connection.mark = record.mark;
    connection.maxAge = record.limits.maxAge;
    connection.deliveries = new Deliveries(
      { messages: request.window, bytes: request.windowBytes },
      this.#inFlight,
      record.head,
    );
    this.#open.set(id, connection);
    const { isPresent, isContinued, published, count, life } = record;
    this.#send(connection, { kind: "opened", isPresent, isContinued, published, count, life });
    this.events.emit({ type: "session:opened", id, isPresent });
    this.#look(connection, record);
  }

  #terms(request: OpenRequest): rules.SessionTerms {
    const { maxQueue, maxQueueBytes, maxExpiry } = this.#settings;
    const { instance, attempt, clean, again, maxAge, drop } = request;
    return {
      instance,
      attempt,
      clean,
      again,
      expiry: request.expiry < 0 ? maxExpiry : Math.min(request.expiry, maxExpiry),
      limits: {
        maxQueue: Math.min(request.maxQueue, maxQueue),
        maxQueueBytes: Math.min(request.maxQueueBytes, maxQueueBytes),
        maxAge,
        drop,
      },
    };
  }

  #handle(connection: Connection, message: Exclude<ClientMessage, { readonly kind: "open" | "ping" }>): void {
    switch (message.kind) {
      case "subscribe":
      case "unsubscribe": {
        const { request, filters } = message;
        const [added, removed] = message.kind === "subscribe" ? [filters, []] : [[], filters];
        this.#run(
          connection,
          (view) => rules.changeFilters(view, connection.handle, added, removed, this.#settings),
          {
            done: () => {
              this.#bridge?.filtersChanged();
              this.#send(connection, { kind: "done", request });
            },
            refused: (error) => this.#sendRefused(connection, Refused.REQUEST, request, error),
          },
        );
        break;
      }
      case "publish":
        this.#publish(connection, message.publication);
        break;
      case "settle":
        // One that acknowledges what it has not got costs the store nothing.
        if (!connection.deliveries.settle(message.low, message.numbers)) break;
        void this.#settle(connection);
        if (connection.deliveries.room > 0) void this.#deliver(connection);
        break;
      case "reported":
        if (connection.deliveries.reported(Math.min(message.drops, connection.drops)))
          void this.#settle(connection);
        break;
      case "close":
        this.#close(connection, message.end);
        break;
    }
  }

  #publish(connection: Connection, publication: rules.Publication): void {
    const { number } = publication;
    this.#run(
      connection,
      (view) => rules.publish(view, connection.handle, this.#directory, publication, Date.now()),
      {
        done: ({ isDuplicate, refusedBy, sessions, owned }) => {
          this.#counts.published += sessions;
          if (isDuplicate) this.#counts.duplicates += 1;
          for (const { session, server } of owned) this.#wake(server, session);
          if (refusedBy === undefined)
            this.#send(connection, { kind: "published", number, isDuplicate, sessions });
          else {
            const error = new SessionError("full", `The session ${refusedBy} has no room`);
            this.#sendRefused(connection, Refused.PUBLICATION, number, error);
          }
        },
        refused: (error) => this.#sendRefused(connection, Refused.PUBLICATION, number, error),
      },
      publication.data.length,
    );
  }

  /** An operation of a client, unless its connection has ended by then. */
  #run<T>(
    connection: Connection,
    operation: (view: View) => T,
    effects: { done(result: T): void; refused(error: SessionError): void },
    size = 0,
  ): void {
    this.#transactions
      .run((view) => {
        if (connection.state === "ended") throw new SessionError("unavailable");
        return operation(view);
      }, size)
      .then(
        (result) => effects.done(result),
        (error) => {
          if (error instanceof SessionError && error.reason === "too-large") effects.refused(error);
          else this.#failed(connection, error);
        },
      )
      .finally(() => this.#reader.resume());
  }

  async #settle(connection: Connection): Promise<void> {
    if (connection.isSettling) return;
    connection.isSettling = true;
    try {
      while (connection.state === "open" && connection.deliveries.hasProgress) {
        const progress = connection.deliveries.progress();
        const record = await this.#transactions.run((view) => {
          if (connection.state === "ended") throw new SessionError("unavailable");
          return rules.settle(view, connection.handle, progress);
        });
        this.#counts.acknowledged += progress.acknowledged.length;
        if (connection.state === "open") this.#reportDrops(connection, record);
      }
    } catch (error) {
      this.#failed(connection, error);
    } finally {
      connection.isSettling = false;
      this.#reader.resume();
    }
  }

  async #deliver(connection: Connection): Promise<void> {
    connection.readAgain = true;
    if (connection.isReading) return;
    connection.isReading = true;
    const { id, deliveries } = connection;
    const { life } = connection.handle;
    const { to } = rangeOf(`q/${id}/${life}/`);
    try {
      while (connection.readAgain) {
        connection.readAgain = false;
        while (connection.state === "open" && deliveries.room > 0) {
          const from = keys.message(id, life, deliveries.next);
          const limit = Math.min(deliveries.room, DELIVERED_AT_ONCE);
          const entries = await this.#store.scan({ from, to, limit, maxBytes: deliveries.roomBytes });
          if (entries.length === 0 || connection.state !== "open") break;
          for (const { key, value } of entries) this.#sendMessage(connection, key, value);
        }
      }
    } catch (error) {
      this.#failed(connection, error);
    } finally {
      connection.isReading = false;
    }
    if (connection.state === "open" && deliveries.hasProgress) void this.#settle(connection);
  }

  #sendMessage(connection: Connection, key: string, value: Buffer): void {
    if (connection.state !== "open") return;
    const { deliveries, mark, maxAge } = connection;
    const number = numberOf(key);
    const message = decodeMessage(key, value);
    if (maxAge >= 0 && Date.now() - message.time > maxAge) {
      deliveries.passed(number);
      return;
    }
    deliveries.sent(number, messageSize(message));
    this.#counts.delivered += 1;
    this.#send(connection, {
      kind: "message",
      message: { ...message, number, redelivered: number < mark },
    });
  }

  #close(connection: Connection, isEnd: boolean): void {
    const { handle, deliveries, id } = connection;
    const progress = deliveries.progress();
    const operation = this.#transactions.run((view) =>
      rules.close(view, handle, progress, isEnd, Date.now()),
    );
    connection.state = "closing";
    operation.then(
      () => {
        if (connection.state === "ended") return;
        this.#forget(connection);
        this.#reply(connection.peer, { kind: "done", request: 0 });
        this.events.emit({ type: "session:closed", id, reason: "closed" });
        if (isEnd) this.events.emit({ type: "session:removed", id, reason: "ended" });
      },
      (error: unknown) => {
        this.#failed(connection, error);
        this.#kept.push({ handle, sent: progress.sent });
      },
    );
  }

  #onLeft(peer: Buffer): void {
    const connection = this.#connections.get(peer.toString("latin1"));
    if (connection === undefined) return;
    const wasOpen = connection.state === "open";
    this.#forget(connection);
    if (!wasOpen) return;
    this.#detach(connection.handle, connection.deliveries.next);
    this.events.emit({ type: "session:closed", id: connection.id, reason: "left" });
  }

  /** An operation of a connection has failed. */
  #failed(connection: Connection, error: unknown): void {
    if (connection.state === "ended") return;
    if (error instanceof SessionError) this.#end(connection, error.reason, error.message);
    else {
      this.#storeFailed(error);
      this.#end(connection, "unavailable");
    }
  }

  #storeFailed(error: unknown): void {
    if (error instanceof ClosedError) return;
    this.events.emit({ type: "store:failed", error });
  }

  /** Ends a connection, and says why. */
  #end(connection: Connection, reason: SessionFailure, text?: string): void {
    if (connection.state === "ended") return;
    const wasOpen = connection.state === "open";
    this.#forget(connection);
    this.#refuse(connection.peer, reason, text);
    if (!wasOpen) return;
    if (reason !== "taken" && reason !== "gone") this.#detach(connection.handle, connection.deliveries.next);
    this.events.emit({ type: "session:closed", id: connection.id, reason });
  }

  #forget(connection: Connection): void {
    connection.state = "ended";
    connection.deliveries.end();
    this.#connections.delete(connection.peer.toString("latin1"));
    if (this.#open.get(connection.id) === connection) this.#open.delete(connection.id);
  }

  /** Gives a session back. */
  #detach(handle: rules.SessionHandle, sent: number): void {
    this.#transactions
      .run((view) => rules.detach(view, handle, sent, Date.now()))
      .catch((error: unknown) => {
        this.#storeFailed(error);
        if (!this.closed) this.#kept.push({ handle, sent });
      });
  }

  /** A session of a server has something new. */
  #wake(server: string, session: string): void {
    if (server === this.#server) {
      const connection = this.#open.get(session);
      if (connection !== undefined) void this.#deliver(connection);
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
    const woken = ids.slice(0, WOKEN_AT_ONCE).flatMap((id: unknown) => this.#open.get(id as string) ?? []);
    this.#check(woken).catch((error: unknown) => this.#storeFailed(error));
  }

  #sendRefused(connection: Connection, what: number, number: number, error: SessionError): void {
    this.#send(connection, { kind: "refused", what, number, reason: error.reason, text: error.message });
  }

  /** A client that does not take what its window allows is lost. */
  #send(connection: Connection, message: ServerMessage): void {
    if (connection.state === "ended") return;
    if (!this.#reply(connection.peer, message)) this.#onLeft(connection.peer);
  }

  #refuse(peer: Buffer, reason: SessionFailure, text = ""): void {
    this.#reply(peer, { kind: "ended", reason, text });
  }

  #reply(peer: Buffer, message: ServerMessage): boolean {
    return this.#socket.tryDeliver([peer, ...encodeServerMessage(message)]) === "sent";
  }
}

/** Of the messages between servers: which of their sessions have something new. */
function topicOf(name: string, server: string): string {
  return `$sessions/${name}/${server}`;
}
