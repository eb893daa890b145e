/**
 *            OPEN                 the store has it               CLOSE                  done
 *   (none) ---------> opening -------------------------> open ----------> closing ------------> ended
 *                        |  refused                       |  taken, gone, invalid, disconnected, stopping
 *                        +--------------------------------+-----------------------------------> ended
 */
import { randomBytes } from "node:crypto";
import { thrownText } from "../core/arguments.js";
import { begin, isObserved, MESSAGE_PROCESS } from "../core/diagnostics.js";
import { ProtocolError } from "../core/errors.js";
import type { MessageProcessOperation } from "../core/message-operations.js";
import { CLOSE_LINGER } from "../kit/options.js";
import { RouterReader } from "../kit/router-reader.js";
import { Router } from "../sockets/request-reply.js";
import { StoreError } from "../store/store.js";
import { Deliveries, InFlightBytes } from "./deliveries.js";
import {
  type ClientMessage,
  decodeClientMessage,
  encodeServerMessage,
  type OpenRequest,
  type Publication,
  type ServerMessage,
  SessionError,
  type SessionFailure,
} from "./protocol.js";
import {
  decodeJson,
  decodeMessage,
  HIGH_WATER_MARK,
  keys,
  messageSize,
  numberOf,
  PAGE,
  rangeOf,
  type SessionRecord,
} from "./records.js";
import * as rules from "./rules.js";
import type { ServerContext } from "./server-context.js";
import type { Operation } from "./transactions.js";

interface Connection {
  readonly peer: Buffer;
  readonly id: string;
  /** While `closing`, earlier operations still finish. */
  state: "opening" | "open" | "closing" | "ended";
  handle: rules.SessionHandle;
  deliveries: Deliveries;
  /** Lower numbers may have been delivered before. */
  mark: number;
  maxAge: number;
  drops: number;
  isReading: boolean;
  /** The current read may not see all messages. */
  readAgain: boolean;
  isSettling: boolean;
}

interface ClientOperation<T> {
  readonly run: Operation<T>;
  done(result: T): void;
  refused(error: SessionError): void;
  /** Runs for a full store. Default: the operation is refused as `full`. */
  readonly whenFull?: Operation<T>;
  readonly bytes?: number;
  readonly observed?: MessageProcessOperation | undefined;
}

const STORE_FULL = "The store of the sessions has no room.";
const REFUSALS: ReadonlySet<SessionFailure> = new Set(["too-large", "full"]);

const PEER_HEARTBEATS = { heartbeatInterval: 2_000, heartbeatTimeout: 6_000 } as const;

export class SessionConnections {
  readonly counts = { published: 0, delivered: 0, acknowledged: 0, duplicates: 0 };
  readonly #context: ServerContext;
  readonly socket: Router;
  readonly reader: RouterReader;
  readonly inFlight: InFlightBytes;
  /** Connections by routing id, and open ones by session. */
  readonly #connections = new Map<string, Connection>();
  readonly open = new Map<string, Connection>();
  /** Sessions not released because the store failed. */
  readonly #unreleased: { readonly handle: rules.SessionHandle; readonly progress: rules.Progress }[] = [];
  #isStopping = false;
  /** Calls of `authorize`; those of departed clients count until they end. */
  #authorizing = 0;

  constructor(context: ServerContext) {
    const { settings, transactions } = context;
    this.#context = context;
    this.inFlight = new InFlightBytes(settings.maxInFlightBytes, () => this.open.size);
    this.socket = new Router({
      linger: CLOSE_LINGER,
      sendHighWaterMark: HIGH_WATER_MARK,
      ...PEER_HEARTBEATS,
      ...settings.socketOptions,
      mandatory: true,
    });
    this.reader = new RouterReader(this.socket, {
      room: () => (transactions.hasRoom ? Number.POSITIVE_INFINITY : 0),
      message: (frames) => this.#onMessage(frames),
      left: (peer) => {
        const connection = this.#connections.get(peer.toString("latin1"));
        if (connection !== undefined) this.#end(connection, "left");
      },
      afterBatch: () => undefined,
    });
  }

  wake(session: string): void {
    const connection = this.open.get(session);
    if (connection !== undefined) void this.#deliver(connection);
  }

  /** Compares these sessions' connections to the store. @throws StoreError */
  check(sessions: readonly string[]): Promise<void> {
    return this.#check(sessions.flatMap((id) => this.open.get(id) ?? []));
  }

  /** Compares all connections to the store, and retries failed releases. @throws StoreError */
  async checkAll(): Promise<void> {
    for (const { handle, progress } of this.#unreleased.splice(0)) this.#release(handle, progress);
    await this.#check([...this.open.values()]);
  }

  /** Sends clients to another server, and opens no sessions. */
  endAll(): void {
    this.#isStopping = true;
    for (const connection of [...this.#connections.values()]) this.#end(connection, "stopping");
  }

  async #check(connections: readonly Connection[]): Promise<void> {
    for (let at = 0; at < connections.length; at += PAGE) {
      const some = connections.slice(at, at + PAGE);
      const values = await this.#context.settings.store.read(some.map(({ id }) => keys.session(id)));
      for (const [i, connection] of some.entries())
        try {
          if (connection.state === "open") this.#compare(connection, values[i]?.value);
        } catch (error) {
          this.#failed(connection, error); // A damaged record is of one session: others are woken.
        }
    }
  }

  /** @throws StoreError `damaged` */
  #compare(connection: Connection, bytes: Buffer | undefined): void {
    const record = bytes === undefined ? undefined : (decodeJson(connection.id, bytes) as SessionRecord);
    if (record === undefined || record.life !== connection.handle.life) this.#end(connection, "gone");
    else if (record.epoch > connection.handle.epoch) this.#end(connection, "taken");
    else if (record.epoch === connection.handle.epoch && record.owner === undefined)
      this.#end(connection, "unavailable");
    else this.#look(connection, record);
  }

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
    if (message.kind === "open") {
      // A name that the ROUTER has given is of one connection.
      if (peer[0] !== 0) this.#invalid(peer, connection, "a client's socket must have no routing id");
      else if (connection !== undefined) this.#invalid(peer, connection, "a connection has one session");
      else void this.#openSession(peer, message);
    } else if (connection === undefined) {
      // The client was connected before this server started.
      this.#refuse(peer, this.#isStopping ? "stopping" : "unavailable");
    } else if (connection.state === "opening") this.#invalid(peer, connection, "the session is not open yet");
    else if (connection.state === "open") this.#handle(connection, message);
  }

  #invalid(peer: Buffer, connection: Connection | undefined, reason: string): void {
    this.#context.events.emit({ type: "message:invalid", reason });
    if (connection === undefined) this.#refuse(peer, "invalid", reason);
    else this.#end(connection, "invalid", reason);
  }

  async #openSession(peer: Buffer, request: OpenRequest): Promise<void> {
    const { events, settings, transactions, server } = this.#context;
    const { authorize, maxConnections } = settings;
    const { id, token } = request;
    if (this.#isStopping) {
      this.#refuse(peer, "stopping");
      return;
    }
    if (Math.max(this.#connections.size, this.#authorizing) >= maxConnections) {
      const reason = `There are ${maxConnections} connections`;
      events.emit({ type: "session:refused", id, reason });
      this.#refuse(peer, "unavailable", reason);
      return;
    }
    const connection: Connection = {
      peer,
      id,
      state: "opening",
      handle: { id, life: "", epoch: 0 },
      deliveries: new Deliveries({ window: 0, windowBytes: 0 }, this.inFlight, 0),
      mark: 0,
      maxAge: -1,
      drops: 0,
      isReading: false,
      readAgain: false,
      isSettling: false,
    };
    this.#connections.set(peer.toString("latin1"), connection);
    let reason = "authorize";
    let isAllowed = authorize === undefined;
    this.#authorizing += 1;
    try {
      isAllowed ||= (await authorize?.({ id, token })) === true;
    } catch (error) {
      reason = thrownText(error);
    } finally {
      this.#authorizing -= 1;
    }
    if (!isAllowed) {
      events.emit({ type: "session:refused", id, reason });
      this.#end(connection, "refused");
      return;
    }
    const owner = { server, connection: randomBytes(8).toString("hex") };
    const life = randomBytes(8).toString("hex");
    const terms = this.#terms(request);
    try {
      const opened = await transactions.run((view) => {
        // If the client has gone meanwhile, the session keeps its owner.
        if (connection.state === "ended") throw new SessionError("unavailable");
        return rules.open(view, id, owner, terms, life, settings, Date.now());
      });
      this.#onOpened(connection, request, opened);
    } catch (error) {
      if (error instanceof SessionError && connection.state !== "ended")
        events.emit({ type: "session:refused", id, reason: error.message });
      this.#failed(connection, error);
    }
  }

  #onOpened(connection: Connection, request: OpenRequest, opened: rules.OpenedSession): void {
    const { record, previous, isClean } = opened;
    const { id } = connection;
    if (isClean) this.#context.events.emit({ type: "session:removed", id, reason: "ended" });
    connection.handle = { id, life: record.life, epoch: record.epoch };
    if (connection.state === "ended") {
      this.#release(connection.handle, connection.deliveries.progress());
      return;
    }
    const before = this.open.get(id);
    if (before !== undefined) this.#end(before, "taken");
    else if (previous !== undefined) this.#context.wake(previous.server, id);
    connection.state = "open";
    connection.mark = record.mark;
    connection.maxAge = record.limits.maxAge;
    connection.deliveries = new Deliveries(request, this.inFlight, record.head);
    this.open.set(id, connection);
    const { isPresent, isContinued, published, count, life } = record;
    const { maxMessageSize } = this.socket;
    // A delivery has the publisher and a longer head.
    const maxMessage = maxMessageSize < 0 ? -1 : Math.max(0, maxMessageSize - 128);
    this.#send(connection, { kind: "opened", isPresent, isContinued, published, count, maxMessage, life });
    this.#context.events.emit({ type: "session:opened", id, isPresent });
    this.#look(connection, record);
  }

  #terms(request: OpenRequest): rules.SessionTerms {
    const { maxQueue, maxQueueBytes, maxExpiry } = this.#context.settings;
    const { maxAge, drop } = request;
    return {
      ...request,
      expiry: request.expiry < 0 ? maxExpiry : Math.min(request.expiry, maxExpiry),
      limits: {
        maxQueue: Math.min(request.maxQueue, maxQueue),
        maxQueueBytes: Math.min(request.maxQueueBytes, maxQueueBytes),
        maxAge,
        drop,
      },
    };
  }

  #handle(connection: Connection, message: Exclude<ClientMessage, { readonly kind: "open" }>): void {
    switch (message.kind) {
      case "subscribe":
      case "unsubscribe": {
        const { request, filters } = message;
        const [added, removed] = message.kind === "subscribe" ? [filters, []] : [[], filters];
        const { settings } = this.#context;
        this.#run(connection, {
          run: (view) => rules.changeFilters(view, connection.handle, added, removed, settings),
          done: () => this.#send(connection, { kind: "done", request }),
          refused: (error) => this.#sendRefused(connection, false, request, error),
          bytes: filters.reduce((sum, filter) => sum + Buffer.byteLength(filter), 0),
        });
        break;
      }
      case "publish":
        this.#publish(connection, message);
        break;
      case "settle":
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

  #publish(connection: Connection, publication: Publication): void {
    const { number, data, context } = publication;
    const { handle } = connection;
    const { directory, wake } = this.#context;
    const observed = observedPublication(connection.id, publication);
    this.#run(connection, {
      run: (view) => rules.publish(view, handle, directory, publication, Date.now()),
      done: ({ isDuplicate, refusedBy, sessions, owned }) => {
        this.counts.published += sessions;
        if (isDuplicate) this.counts.duplicates += 1;
        for (const { session, server } of owned) wake(server, session);
        if (refusedBy === undefined) {
          this.#send(connection, { kind: "published", number, isDuplicate, sessions });
          return;
        }
        const text = refusedBy === "" ? STORE_FULL : `The session ${refusedBy} has no room`;
        const error = new SessionError("full", text);
        observed?.end(error);
        this.#sendRefused(connection, true, number, error);
      },
      refused: (error) => this.#sendRefused(connection, true, number, error),
      whenFull: (view) => rules.refusePublication(view, handle, number),
      bytes: data.length + (context?.length ?? 0),
      observed,
    });
  }

  #run<T>(connection: Connection, operation: ClientOperation<T>): void {
    const { run, bytes, observed } = operation;
    const whenFull = (error: StoreError): Operation<T> => {
      this.#context.storeFailed(error);
      return operation.whenFull ?? refuseAsFull;
    };
    this.#context.transactions
      .run(run, bytes, whenFull)
      .then(
        (result) => {
          operation.done(result);
          observed?.end();
        },
        (error: unknown) => {
          observed?.end(error);
          if (error instanceof SessionError && REFUSALS.has(error.reason)) operation.refused(error);
          else this.#failed(connection, error);
        },
      )
      .finally(() => this.reader.resume());
  }

  async #settle(connection: Connection): Promise<void> {
    if (connection.isSettling) return;
    connection.isSettling = true;
    try {
      while (connection.state === "open" && connection.deliveries.hasProgress) {
        const progress = connection.deliveries.progress();
        // Also of a client that has left meanwhile: its session is released behind it.
        const record = await this.#context.transactions.run((view) =>
          rules.settle(view, connection.handle, progress),
        );
        this.counts.acknowledged += progress.acknowledged.length;
        if (connection.state === "open") this.#reportDrops(connection, record);
      }
    } catch (error) {
      this.#failed(connection, error);
    } finally {
      connection.isSettling = false;
      this.reader.resume();
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
          const limit = Math.min(deliveries.room, 256);
          const entries = await this.#context.settings.store.scan({
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
    this.#send(connection, { kind: "message", ...message, number, redelivered: number < mark });
  }

  #close(connection: Connection, isEnd: boolean): void {
    const { handle, deliveries, id } = connection;
    const progress = deliveries.progress();
    const { events, transactions } = this.#context;
    const operation = transactions.run((view) => rules.close(view, handle, progress, isEnd, Date.now()));
    connection.state = "closing";
    operation.then(
      (isRemoved) => {
        if (connection.state !== "ended") {
          this.#forget(connection);
          this.#sendTo(connection.peer, { kind: "done", request: 0 });
          events.emit({ type: "session:closed", id, reason: "closed" });
        }
        if (isRemoved) events.emit({ type: "session:removed", id, reason: isEnd ? "ended" : "expired" });
      },
      (error: unknown) => {
        this.#failed(connection, error);
        this.#unreleased.push({ handle, progress });
      },
    );
  }

  #failed(connection: Connection, error: unknown): void {
    if (connection.state === "ended") return;
    if (error instanceof SessionError) this.#end(connection, error.reason, error.message);
    else {
      this.#context.storeFailed(error);
      if (error instanceof StoreError && error.reason === "full") this.#end(connection, "full", STORE_FULL);
      else this.#end(connection, "unavailable");
    }
  }

  #end(connection: Connection, reason: SessionFailure | "left", text?: string): void {
    const { state } = connection;
    if (state === "ended") return;
    const progress = this.#forget(connection);
    if (reason !== "left") this.#refuse(connection.peer, reason, text);
    if (state === "opening") return;
    if (state === "open" && reason !== "taken" && reason !== "gone")
      this.#release(connection.handle, progress);
    this.#context.events.emit({ type: "session:closed", id: connection.id, reason });
  }

  /** @returns what its store does not know yet */
  #forget(connection: Connection): rules.Progress {
    connection.state = "ended";
    const progress = connection.deliveries.progress();
    connection.deliveries.end();
    this.#connections.delete(connection.peer.toString("latin1"));
    if (this.open.get(connection.id) === connection) this.open.delete(connection.id);
    return progress;
  }

  #release(handle: rules.SessionHandle, progress: rules.Progress): void {
    this.#context.transactions
      .run((view) => rules.close(view, handle, progress, false, Date.now()))
      .then((isRemoved) => {
        const { id } = handle;
        if (isRemoved) this.#context.events.emit({ type: "session:removed", id, reason: "expired" });
      })
      .catch((error: unknown) => {
        this.#context.storeFailed(error);
        this.#unreleased.push({ handle, progress });
      });
  }

  #sendRefused(connection: Connection, isPublication: boolean, number: number, error: SessionError): void {
    const { reason, message: text } = error;
    this.#send(connection, { kind: "refused", isPublication, number, reason, text });
  }

  #send(connection: Connection, message: ServerMessage): void {
    if (connection.state === "ended") return;
    // A client with a full queue does not read.
    if (!this.#sendTo(connection.peer, message)) this.#end(connection, "left");
  }

  #refuse(peer: Buffer, reason: SessionFailure, text = ""): void {
    this.#sendTo(peer, { kind: "ended", reason, text });
  }

  /** @returns `false`: the client is not connected, or its queue is full */
  #sendTo(peer: Buffer, message: ServerMessage): boolean {
    return this.socket.tryDeliver([peer, ...encodeServerMessage(message)]) === "sent";
  }
}

function refuseAsFull(): never {
  throw new SessionError("full", STORE_FULL);
}

function observedPublication(sender: string, publication: Publication): MessageProcessOperation | undefined {
  const { topic: destination, data, context } = publication;
  if (!isObserved(MESSAGE_PROCESS)) return undefined;
  const received = {
    system: "sessions" as const,
    destination,
    filter: "",
    sender,
    bytes: data.length,
    message: publication,
    context,
  };
  return begin<MessageProcessOperation>(MESSAGE_PROCESS, { handler: "publication", received });
}
