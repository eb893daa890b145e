/**
 * A clone's server: sockets, a timer and a store around server-rules.ts.
 *
 *   ROUTER  P      requests come, snapshots go
 *   PUB     P + 1  updates and HUGZ go to everybody
 *   SUB     P + 2  updates of clients come
 *
 * One of a pair has a Binary Star beside it, which says whether it serves, and the
 * replication link: a ROUTER at P + 4, and a DEALER to the other's.
 */
import { randomBytes } from "node:crypto";
import { ClosedError, InvalidArgumentError, InvalidStateError } from "../../core/errors.js";
import type { Context } from "../../sockets/context.js";
import { Publisher, Subscriber } from "../../sockets/pub-sub.js";
import { Dealer, Router } from "../../sockets/request-reply.js";
import type { CommonOptions } from "../../sockets/socket-options.js";
import { checkCount, checkKeys } from "../binary-star/check.js";
import type { StarEvent } from "../binary-star/events.js";
import type { StarRole } from "../binary-star/rules.js";
import { BinaryStar } from "../binary-star/star.js";
import { DriverTimer } from "../common/driver-timer.js";
import { PatternEvents } from "../common/events.js";
import { type CloneEndpoints, endpointAt, endpointsOf } from "./endpoints.js";
import { HANDSHAKE_ERRORS } from "./handshakes.js";
import { type CloneSocketOptions, type PairSocketOptions, pairSocketOptions } from "./pair-security.js";
import { EMPTY, keyFault } from "./protocol.js";
import type { CloneServerEvent, CloneServerStats } from "./server-events.js";
import type { SendResult, ServerOutbox } from "./server-outbox.js";
import { ServerRules } from "./server-rules.js";
import type { CloneStore } from "./store.js";
import { StoreWriter } from "./store-writer.js";

/** Messages taken from a socket at once. */
const BATCH = 1_000;
/** ms between two HUGZ, as 12/CHP has it. */
const HEARTBEAT_INTERVAL = 1_000;
const LIVENESS = 2;
const MAX_PENDING = 100_000;
const MAX_BYTES = 4_294_967_296;
const MAX_SNAPSHOTS = 16;
const MAX_WAITING = 10_000;
/**
 * Messages that wait for one client of a snapshot: small, since a large value counts as one. A full queue is
 * written to the network at once, so the mark costs small values nothing.
 */
const SNAPSHOT_MARK = 256;
/** Updates that wait for one slow client; past it, it misses some. */
const PUBLISH_MARK = 50_000;
const COLLECT_MARK = 10_000;
const REPLICATION_MARK = 10_000;
/** Times that five free ports in a row are looked for. */
const PORT_TRIES = 50;
const FIRST_PORT = 10_240;
const LAST_PORT = 32_000;
const MAX_TTL = 1_000_000_000_000;

/** The other of two servers. */
export interface ClonePairOptions {
  /** The primary serves when both start. */
  readonly role: StarRole;
  /** The other server's endpoint, that of its snapshots. */
  readonly peer: string;
  /**
   * With CURVE: the other server's public key, Z85 or 32 bytes. The pair's own ports let in nobody else. Default: that
   * of this server, when both have one certificate.
   */
  readonly publicKey?: string | Uint8Array;
  /** For what connects to the other server, over those for all sockets: `plainUsername` and `plainPassword`. */
  readonly socketOptions?: CommonOptions;
}

/** How a clone's server runs. Times are in ms. */
export interface CloneServerOptions {
  /**
   * `tcp://HOST:PORT`: P, and P + 1 and P + 2, are bound; two more for a pair. `tcp://HOST:*` finds free ports in a
   * row. Over ipc: NAME, NAME-1, …
   */
  readonly endpoint: string;
  /** For one of two servers. */
  readonly pair?: ClonePairOptions;
  /** Where the map outlives all processes. The server closes it. Default: nowhere. */
  readonly store?: CloneStore;
  /** Between two HUGZ, and two signs of life of a pair; the same on both. Default 1,000. */
  readonly heartbeatInterval?: number;
  /** Heartbeats of silence after which the other server counts as gone; 2 or more. Default 2. */
  readonly liveness?: number;
  /** Updates in hand at most; one more is refused. Default 100,000. */
  readonly maxPending?: number;
  /** Bytes of keys and values at most; past it nothing is set. Default 4,294,967,296. */
  readonly maxBytes?: number;
  /** Snapshots under way at once; others wait for their turn. Default 16. */
  readonly maxSnapshots?: number;
  /** Updates that wait for a client that is slow; past it, it misses some, and asks for a snapshot. Default 50,000. */
  readonly publishHighWaterMark?: number;
  /** For all sockets: security as a server above all, and `authenticate`, which judges clients. */
  readonly socketOptions?: CloneSocketOptions;
  readonly context?: Context;
}

const KEYS = [
  "endpoint",
  "pair",
  "store",
  "heartbeatInterval",
  "liveness",
  "maxPending",
  "maxBytes",
  "maxSnapshots",
  "publishHighWaterMark",
  "socketOptions",
  "context",
] as const;

const PAIR_KEYS = ["role", "peer", "publicKey", "socketOptions"] as const;

const STAR_EVENTS = ["active", "passive", "waiting", "fatal", "votes-void", "same-role", "invalid"] as const;

/** A replicated key-value map that every client holds (12/CHP). */
export class CloneServer {
  readonly events: PatternEvents<CloneServerEvent> = new PatternEvents();
  readonly #options: CloneServerOptions;
  readonly #rules: ServerRules;
  readonly #timer: DriverTimer;
  readonly #snapshots: Router;
  readonly #publisher: Publisher;
  readonly #collector: Subscriber;
  readonly #interval: number;
  readonly #liveness: number;
  readonly #secured: PairSocketOptions | undefined;
  #star: BinaryStar | undefined;
  #replicas: Router | undefined;
  #link: Dealer | undefined;
  #writer: StoreWriter | undefined;
  /** Requests that wait for the outcome of their own vote. */
  #voters: { readonly routingId: Buffer; readonly subtree: Buffer }[] = [];
  #reading: Promise<void>[] = [];
  #pumping = false;
  #endpoint: string | null = null;
  #started: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: CloneServerOptions) {
    checkKeys("CloneServer", options, KEYS);
    const { heartbeatInterval = HEARTBEAT_INTERVAL, liveness = LIVENESS, pair, store, context } = options;
    if (!/:\*$/.test(options.endpoint ?? "")) endpointAt(options.endpoint, 0);
    if (pair !== undefined) {
      checkKeys("CloneServer's pair", pair, PAIR_KEYS);
      if (pair.role !== "primary" && pair.role !== "backup")
        throw new InvalidArgumentError(`A pair's role is "primary" or "backup"; got ${String(pair.role)}`);
      endpointAt(pair.peer, 0);
    }
    this.#options = options;
    this.#interval = checkCount("heartbeatInterval", heartbeatInterval, 1);
    this.#liveness = checkCount("liveness", liveness, 2, 1_000);
    const most = Number.MAX_SAFE_INTEGER;
    this.#timer = new DriverTimer(heartbeatInterval);
    this.#rules = new ServerRules(
      {
        heartbeatInterval,
        liveness,
        hasStore: store !== undefined,
        paired: pair !== undefined,
        maxPending: checkCount("maxPending", options.maxPending ?? MAX_PENDING, 1),
        maxBytes: checkCount("maxBytes", options.maxBytes ?? MAX_BYTES, 1, most),
        maxSnapshots: checkCount("maxSnapshots", options.maxSnapshots ?? MAX_SNAPSHOTS, 1),
        maxWaiting: MAX_WAITING,
        token: randomBytes(8),
      },
      this.#outbox(),
      this.#timer.now(),
    );
    const secured = pair === undefined ? undefined : pairSocketOptions(options.socketOptions ?? {}, pair);
    this.#secured = secured;
    const shared = { linger: 0, ...options.socketOptions, ...(context === undefined ? {} : { context }) };
    const mark = checkCount("publishHighWaterMark", options.publishHighWaterMark ?? PUBLISH_MARK, 1);
    this.#snapshots = new Router({ ...shared, mandatory: true, sendHighWaterMark: SNAPSHOT_MARK });
    this.#publisher = new Publisher({ ...shared, sendHighWaterMark: mark });
    this.#collector = new Subscriber({ ...shared, receiveHighWaterMark: COLLECT_MARK });
    this.#publisher.events.on("drop", ({ messages }) => this.events.emit({ type: "drop", copies: messages }));
    if (store !== undefined) this.#writer = new StoreWriter(store, this.#rules, this.#timer);
    if (pair === undefined || secured === undefined) return;
    this.#replicas = new Router({
      ...shared,
      ...secured.binding,
      mandatory: true,
      sendHighWaterMark: REPLICATION_MARK,
    });
    this.#link = new Dealer({
      linger: 0,
      ...(context === undefined ? {} : { context }),
      ...secured.connecting,
      reconnectInterval: Math.min(100, heartbeatInterval),
      reconnectMaxInterval: Math.min(1_000, heartbeatInterval),
    });
    for (const type of HANDSHAKE_ERRORS)
      this.#link.events.on(type, ({ error }) => this.events.emit({ type: "handshake:error", error }));
  }

  /** The endpoint of its snapshots, which clients and the other server are told; `null` before {@link start}. */
  get endpoint(): string | null {
    return this.#endpoint;
  }

  /** Which of the clients' endpoints are bound. @throws ClosedError `EBADF` before {@link start} */
  get endpoints(): CloneEndpoints {
    if (this.#endpoint === null) throw new ClosedError("EBADF", "The server is not started");
    return endpointsOf(this.#endpoint);
  }

  /**
   * The Binary Star of one of two servers: `handOver`, which is refused until the other one has the whole map, and
   * `resolve`; `undefined` for one alone.
   */
  get star(): BinaryStar | undefined {
    return this.#star;
  }

  /**
   * Reads the store and binds the ports; settles when clients can connect. One of two serves when the Binary Star
   * says so.
   *
   * @throws TransportError as `bind` does; StoreError `ERR_STORE` when the store cannot be read
   */
  start(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  /**
   * Sets a key as the server's own program; an empty value deletes it.
   *
   * @param options ttl: ms until it ends by itself; 0, the default: never
   * @returns whether it was taken: not while this server stands by, or when it is full
   * @throws InvalidArgumentError `EINVAL` for a key that is none
   */
  set(
    key: string | Uint8Array,
    value: string | Uint8Array,
    options: { readonly ttl?: number } = {},
  ): boolean {
    const bytes = Buffer.from(key as string);
    if (keyFault(bytes) !== undefined)
      throw new InvalidArgumentError(`A key has 1 to 255 bytes and is no command; got ${bytes.length}`);
    const ttl = checkCount("ttl", options.ttl ?? 0, 0, MAX_TTL);
    const taken = this.#rules.set(bytes, Buffer.from(value as string), ttl, this.#timer.now());
    this.#flushSoon();
    return taken;
  }

  /** Deletes a key, as {@link set} with an empty value. */
  delete(key: string | Uint8Array): boolean {
    return this.set(key, EMPTY);
  }

  /** The value of a key as this server has it now; a copy. */
  get(key: string | Uint8Array): Buffer | undefined {
    const { table } = this.#rules;
    const id = table.find(Buffer.from(key as string));
    return id < 0 ? undefined : table.value(id);
  }

  stats(): CloneServerStats {
    return this.#rules.stats();
  }

  /** Stops serving, finishes what is on its way to the store, and closes it. Closing twice is closing once. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #start(): Promise<void> {
    if (this.#closing !== undefined) throw new ClosedError("EBADF", "The server is closed");
    await this.#writer?.load();
    await this.#bind();
    const endpoint = this.#endpoint as string;
    this.#collector.subscribe();
    const { pair, context } = this.#options;
    const secured = this.#secured;
    if (pair !== undefined && secured !== undefined) {
      this.#link?.connect(endpointAt(pair.peer, 4));
      this.#star = new BinaryStar({
        role: pair.role,
        bind: endpointAt(endpoint, 3),
        connect: endpointAt(pair.peer, 3),
        heartbeatInterval: this.#interval,
        liveness: this.#liveness,
        ...(context === undefined ? {} : { context }),
        publisherOptions: secured.binding,
        subscriberOptions: secured.connecting,
        checkHandOver: () => this.#checkHandOver(),
      });
      for (const type of STAR_EVENTS) this.#star.events.on(type, this.#starOnEvent);
      await this.#star.start();
    } else this.#rules.activate(this.#timer.now());
    this.#timer.start({
      nextWakeUp: () => {
        const next = this.#rules.nextWakeUp();
        // What is due already is due now: the timer takes an old time for a process that stood still since then.
        return next === undefined ? undefined : Math.max(next, this.#timer.now());
      },
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
    if (this.#replicas !== undefined && this.#link !== undefined) {
      const replica = ([id, ...frames]: Buffer[], now: number): void =>
        this.#rules.replica(id as Buffer, frames, now);
      this.#reading.push(
        this.#read(this.#replicas, replica),
        this.#read(this.#link, (message, now) => this.#rules.follow(message, now)),
      );
    }
  }

  async #bind(): Promise<void> {
    const { endpoint } = this.#options;
    const found = /^(tcp:\/\/.*):\*$/.exec(endpoint);
    if (found === null) {
      await this.#bindAt(endpoint);
      this.#endpoint = endpoint;
      return;
    }
    for (let tries = PORT_TRIES; ; tries--) {
      const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));
      const base = `${found[1]}:${port}`;
      try {
        await this.#bindAt(base);
        this.#endpoint = base;
        return;
      } catch (error) {
        if ((error as { code?: string }).code !== "EADDRINUSE" || tries <= 1) throw error;
      }
    }
  }

  /** All ports, or none. */
  async #bindAt(base: string): Promise<void> {
    const sockets = [this.#snapshots, this.#publisher, this.#collector];
    const bound: [Router | Publisher | Subscriber, string][] = [];
    try {
      for (const [offset, socket] of sockets.entries()) {
        await socket.bind(endpointAt(base, offset));
        bound.push([socket, endpointAt(base, offset)]);
      }
      await this.#replicas?.bind(endpointAt(base, 4));
    } catch (error) {
      await Promise.all(bound.map(([socket, at]) => socket.unbind(at)));
      throw error;
    }
  }

  async #read(
    socket: Router | Subscriber | Dealer,
    take: (message: Buffer[], now: number) => void,
  ): Promise<void> {
    try {
      for (;;) {
        const messages = await socket.receiveMany({ max: BATCH, timeout: -1 });
        const now = this.#timer.now();
        this.#checkService(now);
        for (const message of messages) take(message, now);
        this.#rules.flush(now);
        this.#timer.update();
        this.#pumpSoon();
      }
    } catch (error) {
      if (!socket.closed) throw error;
    }
  }

  /** @throws InvalidStateError `EFSM`: what the other server has not got would be lost with this one */
  #checkHandOver(): void {
    if (this.#rules.stats().replicated) return;
    throw new InvalidStateError(
      "EFSM",
      "This server cannot hand over: the other one has not got the whole map yet (event replica:join)",
    );
  }

  /** A process that stood still may not be the one that serves any more; the Binary Star knows. */
  #checkService(now: number): void {
    if (this.#star !== undefined && this.#rules.active && !this.#star.isServing())
      this.#rules.deactivate(false, now);
  }

  #request([routingId, ...frames]: Buffer[], now: number): void {
    const subtree = this.#rules.checkRequest(frames);
    if (subtree === undefined || routingId === undefined) return;
    const admission = this.#star === undefined ? "serve" : this.#star.admit();
    if (admission === "serve" && this.#rules.active) this.#rules.request(routingId, subtree, now);
    else if (admission !== "refuse" && this.#voters.length < MAX_WAITING)
      this.#voters.push({ routingId: Buffer.from(routingId), subtree: Buffer.from(subtree) });
  }

  #starOnEvent = (event: StarEvent): void => {
    const now = this.#timer.now();
    switch (event.type) {
      case "active": {
        this.#rules.activate(now);
        const voters = this.#voters;
        this.#voters = [];
        for (const { routingId, subtree } of voters) this.#rules.request(routingId, subtree, now);
        break;
      }
      case "passive":
      case "waiting":
      case "fatal":
        this.#voters = [];
        // Who has everything has to be one that may take over: a backup that waits for its primary does not.
        this.#rules.deactivate(event.type === "passive", now);
        break;
      case "votes-void":
        this.#voters = [];
        break;
      default:
    }
    this.events.emit(event);
    this.#timer.update();
    this.#pumpSoon();
  };

  #outbox(): ServerOutbox {
    return {
      publish: (frames) => {
        if (!this.#publisher.closed) this.#publisher.trySend(frames);
      },
      reply: (routingId, frames) => sendTo(this.#snapshots, routingId, frames),
      replicate: (routingId, frames) =>
        this.#replicas === undefined ? "gone" : sendTo(this.#replicas, routingId, frames),
      follow: (frames) => {
        if (this.#link?.closed === false) this.#link.trySend(frames);
      },
      commit: (operations) => this.#writer?.commit(operations),
      replace: (loaded, expires, wanted) => this.#writer?.replace(loaded, expires, wanted),
      event: (event) => this.events.emit(event),
    };
  }

  /** Snapshots go on in the next turn, so that updates and timers have theirs. */
  #pumpSoon(): void {
    if (this.#pumping || !this.#rules.busy || this.#closing !== undefined) return;
    this.#pumping = true;
    setImmediate(this.#pump);
  }

  #pump = (): void => {
    this.#pumping = false;
    if (this.#closing !== undefined) return;
    this.#rules.pump(this.#timer.now());
    this.#timer.update();
    this.#pumpSoon();
  };

  #flushing = false;
  /** What a program sets in one turn is put in order together. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      if (this.#closing !== undefined) return;
      this.#rules.flush(this.#timer.now());
      this.#timer.update();
    });
  }

  async #close(): Promise<void> {
    await this.#started?.catch(() => undefined);
    this.#timer.stop();
    await this.#star?.close();
    const sockets = [this.#snapshots, this.#publisher, this.#collector, this.#replicas, this.#link];
    await Promise.all(sockets.map((socket) => socket?.close({ linger: 0 })));
    await Promise.all(this.#reading);
    await this.#writer?.close();
    this.events.close();
  }
}

function sendTo(socket: Router, routingId: Buffer, frames: Buffer[]): SendResult {
  if (socket.closed) return "gone";
  try {
    socket.trySend([routingId, ...frames]);
    return "sent";
  } catch (error) {
    return (error as { code?: string }).code === "EAGAIN" ? "full" : "gone";
  }
}
