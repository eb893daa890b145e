/**
 * The clients of a server of sessions: what each asks, and what it is sent.
 *
 *            OPEN                 the store has it               CLOSE                  done
 *   (none) ---------> opening -------------------------> open ----------> closing ------------> ended
 *                        |  refused                       |  taken, gone, invalid, its connection's end, stopping
 *                        +--------------------------------+-----------------------------------> ended
 */
import { randomBytes } from "node:crypto";
import { ProtocolError } from "../core/errors.js";
import {
  isMessageProcessObserved,
  isMessageTraced,
  type MessageProcessOperation,
  startMessageProcess,
} from "../core/message-operations.js";
import { StoreError } from "../patterns/kit/store/error.js";
import { DELIVERED_AT_ONCE, WOKEN_AT_ONCE } from "./bounds.js";
import { Deliveries, InFlightBytes } from "./deliveries.js";
import type { Directory } from "./directory.js";
import { SessionError, type SessionFailure } from "./error.js";
import {
  type ClientMessage,
  decodeClientMessage,
  type OpenRequest,
  Refused,
  type ServerMessage,
} from "./protocol.js";
import {
  decodeJson,
  decodeMessage,
  keys,
  messageSize,
  numberOf,
  rangeOf,
  type SessionRecord,
} from "./records.js";
import * as rules from "./rules.js";
import type { SessionServerEvent, SessionServerSettings } from "./server-options.js";
import type { Operation, Transactions } from "./transactions.js";

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

/** What becomes of an operation of a client. */
interface ClientOperation<T> {
  done(result: T): void;
  refused(error: SessionError): void;
  /** Runs in its place where the store has no room. Default: it is refused as `full`. */
  readonly whenFull?: Operation<T>;
}

const STORE_FULL = "The store of the sessions has no room.";
/** Reasons that end a call, and not its connection. */
const REFUSALS: ReadonlySet<SessionFailure> = new Set(["too-large", "full"]);

/** What the connections need of their server. */
export interface ConnectionsEffects {
  /** @returns whether the client is there and takes it */
  send(peer: Buffer, message: ServerMessage): boolean;
  event(event: SessionServerEvent): void;
  /** A session has something new. @param server that has its client, this one perhaps */
  wake(server: string, session: string): void;
  /** Sessions have other filters than before. */
  filtersChanged(): void;
  storeFailed(error: unknown): void;
  /** There may be room for what clients ask. */
  resume(): void;
  isStopping(): boolean;
  isClosed(): boolean;
}

/** The connections of a server's clients. */
export class SessionConnections {
  readonly counts = { published: 0, delivered: 0, acknowledged: 0, duplicates: 0 };
  readonly #settings: SessionServerSettings;
  readonly #server: string;
  readonly #transactions: Transactions;
  readonly #directory: Directory;
  readonly #effects: ConnectionsEffects;
  readonly #inFlight: InFlightBytes;
  /** By routing id, and those that are open by the id of their session. */
  readonly #connections = new Map<string, Connection>();
  readonly #open = new Map<string, Connection>();
  /** Sessions that could not be given back while the store failed. */
  readonly #kept: { readonly handle: rules.SessionHandle; readonly sent: number }[] = [];

  /** @param server the id of this one */
  constructor(
    settings: SessionServerSettings,
    server: string,
    transactions: Transactions,
    directory: Directory,
    effects: ConnectionsEffects,
  ) {
    this.#settings = settings;
    this.#server = server;
    this.#transactions = transactions;
    this.#directory = directory;
    this.#effects = effects;
    this.#inFlight = new InFlightBytes(settings.maxInFlightBytes, () => this.#open.size);
  }

  /** Clients that have their sessions here. */
  get size(): number {
    return this.#open.size;
  }

  /** Bytes that clients have without having acknowledged them. */
  get inFlightBytes(): number {
    return this.#inFlight.used;
  }

  /** There may be messages for a session, if its client is here. */
  wake(session: string): void {
    const connection = this.#open.get(session);
    if (connection !== undefined) void this.#deliver(connection);
  }

  /** Compares those of these sessions that are here to what the store has of them. @throws StoreError */
  look(sessions: readonly string[]): Promise<void> {
    return this.#check(sessions.flatMap((id) => this.#open.get(id) ?? []));
  }

  /** The same of all; and gives sessions back that could not be before. @throws StoreError */
  async lookAtAll(): Promise<void> {
    for (const { handle, sent } of this.#kept.splice(0)) this.#detach(handle, sent);
    await this.#check([...this.#open.values()]);
  }

  /** Sends all clients away. */
  endAll(reason: SessionFailure): void {
    for (const connection of [...this.#connections.values()]) this.#end(connection, reason);
  }

  /** Compares connections to what the store has of their sessions. */
  async #check(connections: readonly Connection[]): Promise<void> {
    for (let at = 0; at < connections.length; at += WOKEN_AT_ONCE) {
      const some = connections.slice(at, at + WOKEN_AT_ONCE);
      const values = await this.#settings.store.read(some.map(({ id }) => keys.session(id)));
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

  /** What a client sent, its routing id first. */
  onMessage(frames: Buffer[]): void {
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
    if (message.kind === "ping") this.#effects.send(peer, { kind: "pong" });
    else if (message.kind === "open") {
      if (connection !== undefined) this.#invalid(peer, connection, "a connection has one session");
      else void this.#openSession(peer, message.open);
    } else if (connection === undefined) {
      // This server has not known it from before its own start.
      this.#refuse(peer, this.#effects.isStopping() ? "stopping" : "unavailable");
    } else if (connection.state === "opening") this.#invalid(peer, connection, "the session is not open yet");
    else if (connection.state === "open") this.#handle(connection, message);
  }

  #invalid(peer: Buffer, connection: Connection | undefined, reason: string): void {
    this.#effects.event({ type: "message:invalid", reason });
    if (connection === undefined) this.#refuse(peer, "invalid", reason);
    else this.#end(connection, "invalid", reason);
  }

  async #openSession(peer: Buffer, request: OpenRequest): Promise<void> {
    const { authorize, maxConnections } = this.#settings;
    const { id, token } = request;
    if (this.#effects.isStopping()) {
      this.#refuse(peer, "stopping");
      return;
    }
    if (this.#connections.size >= maxConnections) {
      const reason = `There are ${maxConnections} connections`;
      this.#effects.event({ type: "session:refused", id, reason });
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
        this.#effects.event({ type: "session:refused", id, reason: "authorize" });
        this.#end(connection, "refused");
        return;
      }
    } catch (error) {
      this.#effects.event({ type: "session:refused", id, reason: String(error) });
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
        this.#effects.event({ type: "session:refused", id, reason: error.message });
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
    else if (previous !== undefined) this.#effects.wake(previous.server, id);
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
    this.#effects.event({ type: "session:opened", id, isPresent });
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
              this.#effects.filtersChanged();
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
    const { number, data, context } = publication;
    const observed = observedPublication(connection.id, publication);
    this.#run(
      connection,
      (view) => rules.publish(view, connection.handle, this.#directory, publication, Date.now()),
      {
        done: ({ isDuplicate, refusedBy, sessions, owned }) => {
          this.counts.published += sessions;
          if (isDuplicate) this.counts.duplicates += 1;
          for (const { session, server } of owned) this.#effects.wake(server, session);
          if (refusedBy === undefined)
            this.#send(connection, { kind: "published", number, isDuplicate, sessions });
          else {
            const error = new SessionError(
              "full",
              refusedBy === "" ? STORE_FULL : `The session ${refusedBy} has no room`,
            );
            observed?.end(error);
            this.#sendRefused(connection, Refused.PUBLICATION, number, error);
          }
        },
        refused: (error) => this.#sendRefused(connection, Refused.PUBLICATION, number, error),
        whenFull: (view) => rules.refusePublication(view, connection.handle, number),
      },
      data.length + (context?.length ?? 0),
      observed,
    );
  }

  /** An operation of a client, unless its connection has ended by then. @param observed ends with it */
  #run<T>(
    connection: Connection,
    operation: Operation<T>,
    effects: ClientOperation<T>,
    size = 0,
    observed?: MessageProcessOperation,
  ): void {
    const unlessEnded =
      (run: Operation<T>): Operation<T> =>
      (view) => {
        if (connection.state === "ended") throw new SessionError("unavailable");
        return run(view);
      };
    const whenFull = (error: StoreError): Operation<T> => {
      this.#effects.storeFailed(error);
      return unlessEnded(effects.whenFull ?? refuseAsFull);
    };
    this.#transactions
      .run(unlessEnded(operation), size, whenFull)
      .then(
        (result) => {
          effects.done(result);
          observed?.end();
        },
        (error: unknown) => {
          observed?.end(error);
          if (error instanceof SessionError && REFUSALS.has(error.reason)) effects.refused(error);
          else this.#failed(connection, error);
        },
      )
      .finally(() => this.#effects.resume());
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
        this.counts.acknowledged += progress.acknowledged.length;
        if (connection.state === "open") this.#reportDrops(connection, record);
      }
    } catch (error) {
      this.#failed(connection, error);
    } finally {
      connection.isSettling = false;
      this.#effects.resume();
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
          const entries = await this.#settings.store.scan({
            from,
            to,
            limit,
            maxBytes: deliveries.roomBytes,
          });
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
    deliveries.sent(number, messageSize(message) + (message.context?.length ?? 0));
    this.counts.delivered += 1;
    this.#send(connection, { kind: "message", message: { ...message, number, redelivered: number < mark } });
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
        this.#effects.send(connection.peer, { kind: "done", request: 0 });
        this.#effects.event({ type: "session:closed", id, reason: "closed" });
        if (isEnd) this.#effects.event({ type: "session:removed", id, reason: "ended" });
      },
      (error: unknown) => {
        this.#failed(connection, error);
        this.#kept.push({ handle, sent: progress.sent });
      },
    );
  }

  /** A client's connection has ended. */
  onLeft(peer: Buffer): void {
    const connection = this.#connections.get(peer.toString("latin1"));
    if (connection === undefined) return;
    const wasOpen = connection.state === "open";
    this.#forget(connection);
    if (!wasOpen) return;
    this.#detach(connection.handle, connection.deliveries.next);
    this.#effects.event({ type: "session:closed", id: connection.id, reason: "left" });
  }

  /** An operation of a connection has failed. */
  #failed(connection: Connection, error: unknown): void {
    if (connection.state === "ended") return;
    if (error instanceof SessionError) this.#end(connection, error.reason, error.message);
    else {
      this.#effects.storeFailed(error);
      if (error instanceof StoreError && error.reason === "full") this.#end(connection, "full", STORE_FULL);
      else this.#end(connection, "unavailable");
    }
  }

  /** Ends a connection, and says why. */
  #end(connection: Connection, reason: SessionFailure, text?: string): void {
    if (connection.state === "ended") return;
    const wasOpen = connection.state === "open";
    this.#forget(connection);
    this.#refuse(connection.peer, reason, text);
    if (!wasOpen) return;
    if (reason !== "taken" && reason !== "gone") this.#detach(connection.handle, connection.deliveries.next);
    this.#effects.event({ type: "session:closed", id: connection.id, reason });
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
        this.#effects.storeFailed(error);
        if (!this.#effects.isClosed()) this.#kept.push({ handle, sent });
      });
  }

  #sendRefused(connection: Connection, what: number, number: number, error: SessionError): void {
    this.#send(connection, { kind: "refused", what, number, reason: error.reason, text: error.message });
  }

  /** A client that does not take what its window allows is lost. */
  #send(connection: Connection, message: ServerMessage): void {
    if (connection.state === "ended") return;
    if (!this.#effects.send(connection.peer, message)) this.onLeft(connection.peer);
  }

  #refuse(peer: Buffer, reason: SessionFailure, text = ""): void {
    this.#effects.send(peer, { kind: "ended", reason, text });
  }
}

function refuseAsFull(): never {
  throw new SessionError("full", STORE_FULL);
}

/** @returns `undefined`: nobody observes it */
function observedPublication(
  sender: string,
  publication: rules.Publication,
): MessageProcessOperation | undefined {
  const { topic: destination, data, context } = publication;
  if (!isMessageProcessObserved() && (context === undefined || !isMessageTraced())) return undefined;
  return startMessageProcess("publication", {
    system: "sessions",
    destination,
    filter: "",
    sender,
    bytes: data.length,
    message: publication,
    context,
  });
}
