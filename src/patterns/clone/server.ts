/**
 * Sockets, a timer and a store around server-rules.ts.
 *
 *   ROUTER  P      receives requests, sends snapshots
 *   PUB     P + 1  sends updates and HUGZ
 *   SUB     P + 2  receives updates of clients
 *
 * Of a pair:
 *
 *   PUB, SUB  P + 3, and to the other's     a Binary Star: which of them serves
 *   ROUTER    P + 4                         the other one follows this one
 *   DEALER    to the other's P + 4          this one follows the other
 */
import { ClosedError, InvalidStateError } from "../../core/errors.js";
import type { EventNames } from "../../core/event-stream.js";
import { DriverTimer } from "../../core/timers.js";
import { ignore, withTimeout } from "../../core/waiter.js";
import { Driver } from "../../kit/driver.js";
import { ENDPOINT_SOURCE_EVENTS, type EndpointSourceEvent } from "../../kit/endpoint-list.js";
import { checkOptions } from "../../kit/options.js";
import { OpenedSockets, readMessages } from "../../kit/sockets.js";
import { forwards } from "../../sockets/internal.js";
import { Publisher, Subscriber } from "../../sockets/pub-sub.js";
import { Dealer, Router } from "../../sockets/request-reply.js";
import { CORE } from "../../sockets/socket.js";
import { StoreError } from "../../store/store.js";
import { BinaryStar, type BinaryStarEvent, type BinaryStarOptions } from "../binary-star/index.js";
import { SET_OPTIONS as CLIENT_SET_OPTIONS, ClientCoder } from "./client-options.js";
import type { Operation } from "./operation.js";
import {
  bindRow,
  type CloneEndpoints,
  EMPTY,
  endpointAt,
  endpointsOf,
  isOwnUuid,
  type PortOwner,
  uuidsOf,
} from "./protocol.js";
import {
  type CloneServerEvent,
  type CloneServerOptions,
  type CloneServerStats,
  EVENTS,
  type PairSettings,
  serverSettings,
} from "./server-options.js";
import { ServerRules } from "./server-rules.js";
import { conflictMark, type LoadedMap, type ServerEffects } from "./server-state.js";
import { adopted, encodeStanding } from "./standing.js";
import type { CloneStore, CloneStoredChange, CloneStoredEntry } from "./store.js";

const COLLECT_MARK = 10_000;
const REPLICATION_MARK = 10_000;
const SNAPSHOT_MARK_BYTES = 4_194_304;
const PUBLISH_MARK_BYTES = 16_777_216;
/** Of the server's own calls. */
const CODER = new ClientCoder(undefined, "utf8", ignore);
const SET_OPTIONS = { ttl: CLIENT_SET_OPTIONS.ttl };

const STAR_EVENTS: EventNames<BinaryStarEvent> = {
  "state:changed": true,
  "votes:dropped": true,
  "peer:misconfigured": true,
  "peer:invalid": true,
};

interface Pair {
  readonly replicas: Router;
  readonly link: Dealer;
  readonly star: BinaryStar;
}

/** A replicated key-value map that every client holds (12/CHP). {@link CloneClient} has an example. */
export class CloneServer extends Driver<CloneServerEvent, CloneServerStats> {
  readonly #rules: ServerRules;
  readonly #timer: DriverTimer;
  readonly #snapshots: Router;
  readonly #publisher: Publisher;
  readonly #collector: Subscriber;
  readonly #pair: Pair | undefined;
  readonly #store: CloneStore | undefined;
  #writing: Promise<void> = Promise.resolve();
  #reading: Promise<void>[] = [];
  /** A flush at the end of this turn, or a pump in the next one, is scheduled. */
  #flushing = false;
  #pumping = false;
  #stopped = false;
  #endpoint: string | null = null;
  #started: Promise<string> | undefined;
  #isLoaded = false;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: CloneServerOptions = {}) {
    super("CloneServer", { ...STAR_EVENTS, ...EVENTS });
    const settings = serverSettings(options);
    const { rules, sockets, snapshots, publisher, pair } = settings;
    this.#timer = new DriverTimer(rules.heartbeatInterval);
    this.#rules = new ServerRules(rules, this.#effects());
    const all = new OpenedSockets();
    this.#snapshots = all.open(() => new Router({ ...sockets, ...snapshots }));
    boundBytes(this.#snapshots, SNAPSHOT_MARK_BYTES);
    this.#publisher = all.open(() => new Publisher({ ...sockets, ...publisher }));
    if (options.publishHighWaterMarkBytes === undefined) boundBytes(this.#publisher, PUBLISH_MARK_BYTES);
    this.#collector = all.open(() => new Subscriber({ ...sockets, receiveHighWaterMark: COLLECT_MARK }));
    forwards(this.#snapshots, this.#publisher);
    this.#publisher.events.on("drop", ({ messages }) =>
      this.events.emit({ type: "update:dropped", copies: messages }),
    );
    this.#store = options.store;
    if (pair !== undefined) this.#pair = this.#makePair(pair, all);
  }

  /** The bound endpoints for clients. @throws ClosedError `EBADF` before {@link bind} */
  get endpoints(): CloneEndpoints {
    if (this.#endpoint === null) throw new ClosedError("EBADF", "The server is not bound");
    return endpointsOf(this.#endpoint);
  }

  /** The Binary Star of a pair, with `resolve` and `handOver`; `undefined` without a pair. */
  get star(): BinaryStar | undefined {
    return this.#pair?.star;
  }

  /**
   * Reads the store and binds the ports.
   *
   * @param endpoint `tcp://HOST:PORT` binds P, P + 1 and P + 2, of a pair up to P + 4. `tcp://HOST:*` finds free ports
   *   in a row. Over ipc: NAME, NAME-1, …
   * @returns the endpoint P, for clients and the other server
   * @throws InvalidStateError `EFSM` when bound already; TransportError as in a socket's `bind`; StoreError
   *   `ERR_STORE` for an unreadable store
   */
  bind(endpoint: string): Promise<string> {
    try {
      this.assertOpen();
      if (this.#started !== undefined) throw new InvalidStateError("EFSM", "CloneServer is bound already");
      if (typeof endpoint !== "string" || !endpoint.endsWith(":*")) endpointAt(endpoint, 0);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#started = this.#bind(endpoint);
    this.#started.catch(() => {
      this.#started = undefined; // The program may try another endpoint.
    });
    return this.#started;
  }

  /**
   * Sets a key; an empty value deletes it.
   *
   * @param options ttl: ms until the key is deleted; 0, the default: never
   * @returns `false` while this server stands by, or is full
   * @throws InvalidArgumentError `EINVAL` for an invalid key
   */
  set(key: string | Uint8Array, value: string | Uint8Array, options?: { readonly ttl?: number }): boolean {
    this.assertOpen();
    const ttl = options === undefined ? 0 : checkOptions("CloneServer.set", SET_OPTIONS, options).ttl;
    const taken = this.#rules.set(CODER.key(key), CODER.encode(value), ttl, this.#timer.now());
    this.#flushSoon();
    return taken;
  }

  /** Deletes a key, like {@link set} with an empty value. */
  delete(key: string | Uint8Array): boolean {
    return this.set(key, EMPTY);
  }

  /** A copy of a key's value. */
  get(key: string | Uint8Array): Buffer | undefined {
    const { table } = this.#rules.map;
    const id = table.find(CODER.bytes(key));
    return id < 0 ? undefined : table.value(id);
  }

  stats(): CloneServerStats {
    return this.#rules.stats();
  }

  async #bind(endpoint: string): Promise<string> {
    const store = this.#store;
    if (store !== undefined && !this.#isLoaded) await load(store, this.#rules, this.#shift);
    this.#isLoaded = true;
    const pair = this.#pair;
    const ports: PortOwner[] = [this.#snapshots, this.#publisher, this.#collector].map((socket, offset) => ({
      offset,
      socket,
    }));
    // The pair begins with its star, the last.
    if (pair !== undefined)
      ports.push({ offset: 4, socket: pair.replicas }, { offset: 3, socket: pair.star });
    const bound = await bindRow(endpoint, ports);
    this.#endpoint = bound;
    this.#collector.subscribe();
    if (pair === undefined) this.#rules.activate(this.#timer.now());
    this.#timer.start({
      nextWakeUp: () => this.#rules.nextWakeUp(),
      tick: (now) => {
        this.#checkService(now);
        this.#rules.tick(now);
        this.#pumpSoon();
      },
    });
    this.#reading = [
      this.#read(this.#snapshots, (message, now) => this.#request(message, now)),
      this.#read(this.#collector, (message, now) => this.#rules.update(message, now)),
    ];
    if (pair === undefined) return bound;
    const replica = ([id, ...frames]: Buffer[], now: number): void =>
      this.#rules.replica(id as Buffer, frames, now);
    this.#reading.push(
      this.#read(pair.replicas, replica),
      this.#read(pair.link, (message, now) => this.#rules.follow(message, now)),
    );
    return bound;
  }

  #makePair(settings: PairSettings, all: OpenedSockets): Pair {
    const { role, peer, interval, liveness, sockets } = settings;
    const { standing } = this.#rules;
    const replicaOptions = {
      linger: 0,
      ...sockets.binding,
      mandatory: true,
      sendHighWaterMark: REPLICATION_MARK,
    };
    const replicas = all.open(() => new Router(replicaOptions));
    const linkOptions = {
      linger: 0,
      ...sockets.connecting,
      reconnectInterval: Math.min(100, interval),
      reconnectMaxInterval: Math.min(1_000, interval),
    };
    const link = all.open(() => new Dealer(linkOptions));
    forwards(replicas);
    for (const type of ["handshake:error:auth", "handshake:error:protocol", "handshake:error:other"] as const)
      link.events.on(type, ({ error }) => this.events.emit({ type: "handshake:failed", error }));
    const starOptions: BinaryStarOptions = {
      role,
      peer,
      heartbeatInterval: interval,
      liveness,
      publisherOptions: sockets.binding,
      subscriberOptions: sockets.connecting,
      checkHandOver: () => {
        if (this.#rules.replicated) return;
        const missing = "the other one has not got the whole map yet (event replica:joined)";
        throw new InvalidStateError("EFSM", `This server cannot hand over: ${missing}`);
      },
      replica: {
        position: () => standing.position(),
        compare: (state, theirs, own) => {
          const order = standing.compare(state, theirs, own);
          this.#run((now) => this.#rules.heard(now));
          return order;
        },
        mayTakeOver: (own) => standing.mayTakeOver(own),
        resolved: (choice) => standing.resolved(choice),
      },
    };
    const star = all.open(() => new PairStar(starOptions, link));
    for (const type of Object.keys(STAR_EVENTS) as BinaryStarEvent["type"][])
      star.events.on(type, (event) => this.#onStarEvent(event));
    for (const type of Object.keys(ENDPOINT_SOURCE_EVENTS) as EndpointSourceEvent["type"][])
      star.events.on(type, (event) => this.events.emit(event));
    return { replicas, link, star };
  }

  #read(socket: Router | Subscriber | Dealer, take: (message: Buffer[], now: number) => void): Promise<void> {
    return readMessages(socket, (messages) =>
      this.#run((now) => {
        this.#checkService(now);
        for (const message of messages) take(message, now);
      }),
    );
  }

  /** Everything that reaches the rules: updates are ordered once for all of it. */
  #run(call: (now: number) => void): void {
    this.#timer.run((now) => {
      call(now);
      this.#rules.flush(now);
    });
    this.#pumpSoon();
  }

  /** The other server may serve after a pause of the process, which the star notices, and once the star is closed. */
  #checkService(now: number): void {
    const isServing = this.star?.isServing() ?? true;
    if (!isServing && this.star?.closed === true && this.#rules.active) this.#rules.deactivate(false, now);
  }

  #request([routingId, ...frames]: Buffer[], now: number): void {
    const subtree = this.#rules.checkRequest(frames);
    if (this.stopping || subtree === undefined || routingId === undefined) return;
    // Each request votes. While the star decides, it waits.
    if (this.star === undefined || this.star.admit() !== "refuse")
      this.#rules.request(routingId, subtree, now);
  }

  #onStarEvent(event: BinaryStarEvent): void {
    this.#run((now) => {
      if (event.type === "state:changed") {
        const { state, reason } = event;
        if (reason === "stalled" && state === "active") this.#rules.resume(now);
        if (state === "active") this.#rules.activate(now, reason === "resolved");
        else if (state === "doubting") this.#rules.suspend();
        // A follower counts as ready to take over; a backup without its primary does not.
        else this.#rules.deactivate(state === "passive", now);
      } else if (event.type === "votes:dropped") this.#rules.dropRequests();
      // A state without a position, as in the Guide.
      else if (event.type === "peer:invalid" && event.frames === 1)
        this.events.emit({ type: "peer:incompatible" });
      this.events.emit(event);
    });
  }

  #effects(): ServerEffects {
    return {
      publish: (frames) => {
        if (!this.#publisher.closed) this.#publisher.trySend(frames);
      },
      reply: (routingId, frames) => this.#snapshots.tryDeliver([routingId, ...frames]),
      replicate: (routingId, frames) =>
        this.#pair === undefined ? "gone" : this.#pair.replicas.tryDeliver([routingId, ...frames]),
      follow: (frames) => {
        if (this.#pair?.link.closed === false) this.#pair.link.trySend(frames);
      },
      commit: (operations) =>
        this.#write(
          (store) => commit(store, operations, this.#shift),
          (now) => this.#rules.committed(now),
          (error, now) => this.#rules.commitFailed(error, now),
        ),
      replace: (loaded, wanted) =>
        this.#write(
          (store) => replace(store, loaded, wanted, this.#shift),
          (now) => this.#rules.replaced(loaded, now),
          (error, now) => this.#rules.replaceFailed(loaded, error, now),
        ),
      mark: (standing) =>
        this.#write(
          (store) => store.mark(standing),
          (now) => this.#rules.marked(now),
          (error, now) => this.#rules.markFailed(error, now),
        ),
      announce: () => this.star?.publishNow(),
      event: (event) => this.events.emit(event),
    };
  }

  /** One call of the store at a time. */
  #write(
    work: (store: CloneStore) => Promise<void>,
    done: (now: number) => void,
    failed: (error: unknown, now: number) => void,
  ): void {
    const store = this.#store;
    if (store === undefined) return;
    this.#writing = this.#writing
      .then(() => work(store))
      .then(
        () => this.#run(done),
        (error: unknown) => this.#run((now) => failed(error, now)),
      );
  }

  /** From the rules' clock to ms since 1970. */
  get #shift(): number {
    return Date.now() - this.#timer.now();
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      if (!this.#stopped) this.#run(ignore);
    });
  }

  /** Snapshots continue in the next turn: updates and timers have their share. */
  #pumpSoon(): void {
    if (this.#pumping || this.#stopped || !this.#rules.busy) return;
    this.#pumping = true;
    setImmediate(() => {
      this.#pumping = false;
      if (!this.#stopped) this.#run((now) => this.#rules.pump(now));
    });
  }

  /**
   * @internal Clients repeat later updates at another server. Settles when all earlier ones are acknowledged and sent.
   */
  protected override async onDrain(): Promise<void> {
    await this.#started?.catch(() => undefined); // Who started it has the error.
    if (!this.#collector.closed) this.#collector.unsubscribe();
    this.#run(ignore);
    await this.#rules.idle();
  }

  /**
   * @internal Finishes updates and snapshots in flight for up to `linger` ms, and closes the store after its last
   *   write.
   */
  protected async onClose(linger: number): Promise<void> {
    await this.#started?.catch(() => undefined); // Who started it has the error.
    await this.#collector.close({ linger: 0 });
    this.#run(ignore);
    const start = this.#timer.now();
    if (linger !== 0) await withTimeout(this.#rules.idle(), linger);
    this.#stopped = true;
    this.#timer.stop();
    const left = linger < 0 ? linger : Math.max(0, Math.round(linger - (this.#timer.now() - start)));
    await this.star?.close();
    await Promise.all([
      ...[this.#snapshots, this.#publisher].map((socket) => socket.close({ linger: left })),
      ...[this.#pair?.replicas, this.#pair?.link].map((socket) => socket?.close({ linger: 0 })),
    ]);
    await Promise.all(this.#reading);
    // A write may lead to others.
    let writing: Promise<void>;
    do {
      writing = this.#writing;
      await writing;
    } while (writing !== this.#writing);
    await this.#store?.close();
  }
}

/** Bounds a socket's queues by default, if its engine can. */
function boundBytes(socket: Router | Publisher, sendHighWaterMarkBytes: number): void {
  const { unsupportedOptions } = socket[CORE].context.load().capabilities;
  if (!unsupportedOptions.includes("sendHighWaterMarkBytes"))
    socket.sendHighWaterMarkBytes = sendHighWaterMarkBytes;
}

/** The peer is the other server's P: its states come from P + 3, and the link goes to P + 4. */
class PairStar extends BinaryStar {
  readonly #link: Dealer;

  constructor(options: BinaryStarOptions, link: Dealer) {
    super(options, (peer) => endpointAt(peer, 4));
    this.#link = link;
  }

  protected override follow(peer: string, before: string): void {
    this.#link.connect(endpointAt(peer, 4));
    super.follow(endpointAt(peer, 3), before && endpointAt(before, 3));
    if (before !== "") this.#link.disconnect(endpointAt(before, 4));
  }
}

// --- Store -----------------------------------------------------------------------------------------------------------

/** Entries and bytes of one commit of a whole map, about. */
const REPLACE_BATCH = 2_000;
const REPLACE_BYTES = 4_194_304;

/** @param shift from the rules' clock to ms since 1970. @throws StoreError `ERR_STORE` */
async function load(store: CloneStore, rules: ServerRules, shift: number): Promise<void> {
  const now = Date.now();
  const state = await store.load((entry) => {
    // A key that ended meanwhile ends a millisecond from now: clients hear of it.
    const expires = entry.expires === 0 ? 0 : Math.max(now + 1, entry.expires) - shift;
    rules.map.restore({ ...entry, expires });
  });
  if (!rules.restored(state))
    throw new StoreError("failed", `The store (${store.name}) is of a version that this one cannot read`);
}

function commit(store: CloneStore, operations: readonly Operation[], shift: number): Promise<void> {
  const changes: CloneStoredChange[] = [];
  const uuids: Buffer[] = [];
  for (const { kind, key, value, sequence, uuid, expires } of operations) {
    if (kind === "announce") continue;
    if (uuid.length > 0 && !isOwnUuid(uuid)) uuids.push(kind === "conflict" ? conflictMark(uuid) : uuid);
    if (kind === "conflict") continue;
    const ends = expires === 0 ? 0 : expires + shift;
    changes.push({ key, value: kind === "set" ? value : undefined, sequence, expires: ends });
  }
  return store.commit(changes, operations.at(-1)?.sequence ?? 0, uuids);
}

/** @param wanted `false` once the map is not needed any more */
async function replace(
  store: CloneStore,
  { map, standing }: LoadedMap,
  wanted: () => boolean,
  shift: number,
): Promise<void> {
  const replacement = await store.replace();
  let entries: CloneStoredEntry[] = [];
  let bytes = 0;
  for (const entry of map.entries(shift)) {
    entries.push(entry);
    bytes += entry.value.length;
    if (entries.length < REPLACE_BATCH && bytes < REPLACE_BYTES) continue;
    if (!wanted()) return;
    await replacement.add(entries);
    entries = [];
    bytes = 0;
  }
  if (!wanted()) return;
  if (entries.length > 0) await replacement.add(entries);
  if (wanted())
    await replacement.finish(map.sequence, uuidsOf(map.seen()), encodeStanding(adopted(standing)));
}
