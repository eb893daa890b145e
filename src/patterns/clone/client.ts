/** A clone's client: sockets and a timer around client-rules.ts, and the map as a program sees it. */
import { isUtf8 } from "node:buffer";
import { randomBytes } from "node:crypto";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import {
  AbortedError,
  ClosedError,
  InvalidArgumentError,
  InvalidMessageError,
  ShoalError,
} from "../../core/errors.js";
import { type Codec, withSchema } from "../../sockets/codec.js";
import type { Context } from "../../sockets/context.js";
import { Publisher, Subscriber } from "../../sockets/pub-sub.js";
import { Dealer } from "../../sockets/request-reply.js";
import type { Raw, Settled } from "../../sockets/shape.js";
import type { CommonOptions } from "../../sockets/socket-options.js";
import { refusedWait } from "../../sockets/waiter.js";
import { checkCount, checkKeys } from "../binary-star/check.js";
import { DriverTimer } from "../common/driver-timer.js";
import { PatternEvents } from "../common/events.js";
import type { CloneCall } from "./client-calls.js";
import type { CloneClientEvent, CloneClientStats, CloneState } from "./client-events.js";
import { type ClientOutbox, ClientRules } from "./client-rules.js";
import { type CloneEndpoints, endpointsOf } from "./endpoints.js";
import { HANDSHAKE_ERRORS } from "./handshakes.js";
import { encodeTimeToLive } from "./properties.js";
import { EMPTY, encodeRequest, HUGZ, isSubtree, keyFault, MAX_KEY } from "./protocol.js";
import { CloneWatch } from "./watch.js";

/** Messages taken from a socket at once. */
const BATCH = 1_000;
/** ms between two HUGZ, as 12/CHP has it. */
const HEARTBEAT_INTERVAL = 1_000;
const LIVENESS = 2;
/** ms for a `set`. */
const TIMEOUT = 10_000;
const MAX_IN_FLIGHT = 10_000;
const MAX_BYTES = 4_294_967_296;
/** Changes that wait for the reader of a `watch`. */
const MAX_WATCHED = 10_000;
const RECEIVE_MARK = 10_000;
/** ms until a lost connection is tried again, first and at most. */
const RECONNECT = 100;
const MAX_RECONNECT = 1_000;
const MAX_TTL = 1_000_000_000_000;

/** What a map's values are: bytes, or with a codec its values. */
export type CloneValue<T> = [T] extends [Raw] ? Buffer : T;
/** What may be set. */
export type CloneValueIn<T> = [T] extends [Raw] ? string | Uint8Array : T;
/** A key: bytes, or a text that the option `keyEncoding` makes bytes of. */
export type CloneKey = string | Uint8Array;

/** How a clone's client runs. Times are in ms. */
export interface CloneClientOptions<T = Raw> {
  /**
   * One server or two, the preferred first: `tcp://HOST:PORT` (P + 1 and P + 2 follow), or each endpoint by name. For
   * a server whose values are sent to both, all have to be known.
   */
  readonly servers: string | readonly (string | CloneEndpoints)[];
  /** `/segment/…/`: only keys that begin so. Default: all. */
  readonly subtree?: string | Uint8Array;
  /** What values are encoded with. Default: bytes as they are. */
  readonly codec?: Codec<T>;
  /** A Standard Schema that values have to pass, on the way out and in. With a codec only. */
  readonly schema?: StandardSchemaV1;
  /**
   * How keys are read as text. `"latin1"` has a character for each byte, so that any key has a text; in `"utf8"` a key
   * that is none is there, but is not handed out by `entries` and `watch`. Default `"utf8"`.
   */
  readonly keyEncoding?: "utf8" | "latin1";
  /** ms between two HUGZ of the server. Default 1,000. */
  readonly heartbeatInterval?: number;
  /** Of them, missing, until the next server is asked; at least 2. Default 2. */
  readonly liveness?: number;
  /** ms without progress of a snapshot until the next server is asked. Default: a heartbeat more than the liveness. */
  readonly snapshotTimeout?: number;
  /** ms for a `set`, unless the call says otherwise; -1: no limit. Default 10,000. */
  readonly timeout?: number;
  /** Updates that are not acknowledged; one more is refused with `ERR_TOO_MANY_PENDING`. Default 10,000. */
  readonly maxInFlight?: number;
  /** Bytes of keys and values that a server may fill this map with. Default 4,294,967,296. */
  readonly maxBytes?: number;
  /** For all sockets, security above all. */
  readonly socketOptions?: CommonOptions;
  readonly context?: Context;
}

/** What `set` and `delete` take. */
export interface CloneSetOptions {
  /** ms until the key is removed everywhere, unless it is set again; 0, the default: never. */
  readonly ttl?: number;
  /** ms until the call is given up; -1: no limit. Default: the client's. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
}

/** What `watch` takes. */
export interface CloneWatchOptions {
  /** Changes that wait for the reader; past it the oldest is dropped, as an event and a count. Default 10,000. */
  readonly maxQueued?: number;
}

const KEYS = [
  "servers",
  "subtree",
  "codec",
  "schema",
  "keyEncoding",
  "heartbeatInterval",
  "liveness",
  "snapshotTimeout",
  "timeout",
  "maxInFlight",
  "maxBytes",
  "socketOptions",
  "context",
] as const;

/** A replicated key-value map, or a subtree of it, held in this process and kept up to date (12/CHP). */
export class CloneClient<T = Raw> {
  readonly events: PatternEvents<CloneClientEvent> = new PatternEvents();
  readonly #servers: readonly CloneEndpoints[];
  readonly #subtree: Buffer;
  readonly #codec: Codec<unknown> | undefined;
  readonly #encoding: "utf8" | "latin1";
  readonly #timeout: number;
  readonly #shared: CommonOptions & { context?: Context };
  readonly #rules: ClientRules;
  readonly #timer: DriverTimer;
  readonly #publishers: Publisher[] = [];
  readonly #watches = new Set<CloneWatch<CloneValue<T>>>();
  readonly #synced: Promise<void>;
  #onSynced!: () => void;
  #onUnsynced!: (error: ShoalError) => void;
  #subscriber: Subscriber | undefined;
  #dealer: Dealer | undefined;
  #handshakeErrors = 0;
  #invalid = 0;
  #watchLost = 0;
  #closing: Promise<void> | undefined;

  /**
   * Connects at once.
   *
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value
   */
  constructor(options: CloneClientOptions<T>) {
    checkKeys("CloneClient", options, KEYS);
    const { servers, subtree = "", codec, schema, keyEncoding = "utf8", context } = options;
    const list = typeof servers === "string" ? [servers] : [...(servers ?? [])];
    if (list.length === 0) throw new InvalidArgumentError("A client has at least one server");
    this.#servers = list.map(endpointsOf);
    this.#subtree = Buffer.from(subtree as string);
    if (!isSubtree(this.#subtree))
      throw new InvalidArgumentError(
        `A subtree is empty, or /segment/…/ of at most ${MAX_KEY} bytes; got ${JSON.stringify(String(subtree))}`,
      );
    if (keyEncoding !== "utf8" && keyEncoding !== "latin1")
      throw new InvalidArgumentError(`keyEncoding is "utf8" or "latin1"; got ${String(keyEncoding)}`);
    if (schema !== undefined && codec === undefined)
      throw new InvalidArgumentError("A schema needs a codec, such as json()");
    if (codec !== undefined && (typeof codec?.encode !== "function" || typeof codec.decode !== "function"))
      throw new InvalidArgumentError(
        "Option codec must have the methods encode and decode, such as json() has",
      );
    this.#codec = codec === undefined ? undefined : withSchema(codec as Codec<unknown>, schema);
    this.#encoding = keyEncoding;
    this.#timeout = checkCount("timeout", options.timeout ?? TIMEOUT, -1);
    const heartbeatInterval = checkCount(
      "heartbeatInterval",
      options.heartbeatInterval ?? HEARTBEAT_INTERVAL,
      1,
    );
    const liveness = checkCount("liveness", options.liveness ?? LIVENESS, 2, 1_000);
    const patience = heartbeatInterval * (liveness + 1);
    this.#timer = new DriverTimer(heartbeatInterval);
    this.#shared = {
      linger: 0,
      reconnectInterval: Math.min(RECONNECT, heartbeatInterval),
      reconnectMaxInterval: Math.min(MAX_RECONNECT, Math.max(RECONNECT, heartbeatInterval)),
      ...options.socketOptions,
      ...(context === undefined ? {} : { context }),
    };
    this.#rules = new ClientRules(
      {
        servers: this.#servers.map(({ snapshot }) => snapshot),
        subtree: this.#subtree,
        heartbeatInterval,
        liveness,
        snapshotTimeout: checkCount("snapshotTimeout", options.snapshotTimeout ?? patience, 1),
        maxInFlight: checkCount("maxInFlight", options.maxInFlight ?? MAX_IN_FLIGHT, 1),
        maxBytes: checkCount("maxBytes", options.maxBytes ?? MAX_BYTES, 1, Number.MAX_SAFE_INTEGER),
        token: randomBytes(8),
      },
      this.#outbox(),
      this.#timer.now(),
    );
    this.#synced = new Promise((resolve, reject) => {
      this.#onSynced = resolve;
      this.#onUnsynced = reject;
    });
    this.#synced.catch(() => undefined); // Not everybody waits for it.
    for (const [index, endpoints] of this.#servers.entries()) this.#connectCollector(index, endpoints);
    this.#rules.start(this.#timer.now());
    this.#timer.start({
      nextWakeUp: () => {
        const next = this.#rules.nextWakeUp();
        // What is due already is due now: the timer takes an old time for a process that stood still since then.
        return next === undefined ? undefined : Math.max(next, this.#timer.now());
      },
      tick: (now) => this.#rules.tick(now),
    });
  }

  /** Settles when the map is whole, empty or not. @throws ClosedError `EAGAIN` when the client closes before */
  get synced(): Promise<void> {
    return this.#synced;
  }

  get state(): CloneState {
    return this.#rules.state;
  }

  /** Of the last update that the map has. */
  get sequence(): number {
    return this.#rules.sequence;
  }

  /** Keys in the map. */
  get size(): number {
    return this.#rules.table.size;
  }

  /**
   * The value of a key, as the map has it now: a copy, but for a large one (over 64 KiB), which must not be written to.
   *
   * @returns `undefined` for a key that is not there, and for a value that does not pass the codec or schema, which is
   *   an event and a count
   * @throws InvalidArgumentError `EINVAL` for a key that is none
   */
  get(key: CloneKey): CloneValue<T> | undefined {
    const { table } = this.#rules;
    const bytes = this.#keyOf(key);
    const id = table.find(bytes);
    return id < 0 ? undefined : this.#decode(bytes, table.value(id));
  }

  has(key: CloneKey): boolean {
    return this.#rules.table.find(this.#keyOf(key)) >= 0;
  }

  /**
   * Sets a key for everybody. Settles when the server has put it in order and this map has it; until then `get` gives
   * what was. Calls for one key take effect in their order.
   *
   * @returns its sequence
   * @throws TimeoutError `ETIMEDOUT` when that does not come in time; it may still take effect
   * @throws AbortedError `ABORT_ERR`, the same; ClosedError `EBADF`, `EAGAIN`
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING` past `maxInFlight`
   * @throws InvalidArgumentError `EINVAL` for a key outside of the subtree, or of no or more than 255 bytes; and for a
   *   value of no bytes, which would delete the key
   * @throws InvalidMessageError `ERR_INVALID_MESSAGE` for what the codec or schema refuses
   */
  set(key: CloneKey, value: CloneValueIn<Settled<T>>, options?: CloneSetOptions): Promise<number> {
    try {
      const bytes = this.#encode(value);
      if (bytes.length === 0)
        throw new InvalidArgumentError(
          "A value has at least one byte: an empty one deletes the key (12/CHP)",
        );
      const ttl = options?.ttl === undefined ? 0 : checkCount("ttl", options.ttl, 0, MAX_TTL);
      return this.#submit(key, encodeTimeToLive(ttl), bytes, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Deletes a key for everybody, whether it is there or not. Otherwise as {@link set}. */
  delete(key: CloneKey, options?: Omit<CloneSetOptions, "ttl">): Promise<number> {
    try {
      return this.#submit(key, encodeTimeToLive(0), EMPTY, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Keys and values as they are when the iteration comes to them, in no order. @param prefix of keys. Default: all */
  *entries(prefix: CloneKey = ""): Generator<[key: string, value: CloneValue<T>], undefined> {
    const { table } = this.#rules;
    const wanted = this.#bytes(prefix);
    for (let id = 0; id < table.high; id++) {
      if (table !== this.#rules.table) return undefined; // A new snapshot has taken its place.
      if (!table.isLive(id) || !table.hasPrefix(id, wanted)) continue;
      const bytes = table.key(id);
      const key = this.#text(bytes);
      if (key === undefined) continue;
      const value = this.#decode(bytes, table.value(id));
      if (value !== undefined) yield [key, value];
    }
    return undefined;
  }

  [Symbol.iterator](): Generator<[key: string, value: CloneValue<T>], undefined> {
    return this.entries();
  }

  /**
   * Changes from now on, in their order. After a gap or a fail-over, what is other in the new snapshot comes as changes
   * with `resync`.
   *
   * @param prefix of keys. Default: all
   */
  watch(prefix: CloneKey = "", options: CloneWatchOptions = {}): CloneWatch<CloneValue<T>> {
    if (this.#closing !== undefined) throw new ClosedError("EBADF", "The client is closed");
    const max = checkCount("maxQueued", options.maxQueued ?? MAX_WATCHED, 1);
    const watch = new CloneWatch<CloneValue<T>>(
      this.#bytes(prefix),
      max,
      (ended) => this.#watches.delete(ended),
      () => {
        this.#watchLost += 1;
        this.events.emit({ type: "watch:overflow", lost: watch.lost });
      },
    );
    this.#watches.add(watch);
    return watch;
  }

  stats(): CloneClientStats {
    const [handshakeErrors, invalid, watchLost] = [this.#handshakeErrors, this.#invalid, this.#watchLost];
    return { ...this.#rules.stats(this.#timer.now()), handshakeErrors, invalid, watchLost };
  }

  /** Ends what is under way with `EAGAIN`, the watches, and the connections. Closing twice is closing once. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#timer.stop();
    this.#rules.close(this.#timer.now());
    this.#onUnsynced(new ClosedError("EAGAIN", "The client closed before it had the map"));
    for (const watch of [...this.#watches]) watch.end();
    const sockets = [this.#subscriber, this.#dealer, ...this.#publishers];
    await Promise.all(sockets.map((socket) => socket?.close({ linger: 0 })));
    this.events.close();
  }

  #submit(
    key: CloneKey,
    properties: Buffer,
    value: Buffer,
    options: CloneSetOptions | undefined,
  ): Promise<number> {
    if (this.#closing !== undefined) throw new ClosedError("EBADF", "The client is closed");
    const bytes = this.#keyOf(key);
    const { length } = this.#subtree;
    if (length > 0 && (bytes.length < length || bytes.compare(this.#subtree, 0, length, 0, length) !== 0))
      throw new InvalidArgumentError(
        `The key is not in the subtree ${JSON.stringify(String(this.#subtree))}`,
      );
    const timeout =
      options?.timeout === undefined ? this.#timeout : checkCount("timeout", options.timeout, -1);
    const signal = options?.signal;
    const refused = signal === undefined ? undefined : refusedWait({ signal });
    if (refused !== undefined) return refused;
    const now = this.#timer.now();
    if (signal === undefined) {
      return new Promise<number>((resolve, reject) => {
        this.#rules.set(bytes, properties, value, timeout, resolve, reject, now);
        this.#timer.update();
      });
    }
    return new Promise<number>((resolve, reject) => {
      let call: CloneCall | undefined;
      const onAbort = (): void => {
        if (call !== undefined) this.#rules.cancel(call, new AbortedError(signal.reason), this.#timer.now());
      };
      const done = (): void => signal.removeEventListener("abort", onAbort);
      call = this.#rules.set(
        bytes,
        properties,
        value,
        timeout,
        (sequence) => {
          done();
          resolve(sequence);
        },
        (error) => {
          done();
          reject(error);
        },
        now,
      );
      signal.addEventListener("abort", onAbort, { once: true });
      this.#timer.update();
    });
  }

  #bytes(key: CloneKey): Buffer {
    if (typeof key === "string") return Buffer.from(key, this.#encoding);
    if (key instanceof Uint8Array) return Buffer.from(key);
    throw new InvalidArgumentError(`A key is text or bytes; got ${typeof key}`);
  }

  #keyOf(key: CloneKey): Buffer {
    const bytes = this.#bytes(key);
    const fault = keyFault(bytes);
    if (fault === undefined) return bytes;
    const what =
      fault === "key"
        ? `a key has 1 to ${MAX_KEY} bytes; got ${bytes.length}`
        : `${String(key)} is a command`;
    throw new InvalidArgumentError(`No key: ${what}`);
  }

  #encode(value: unknown): Buffer {
    if (this.#codec === undefined) {
      // Copied: it is sent again, perhaps, and the program may change its memory.
      if (typeof value === "string" || value instanceof Uint8Array) return Buffer.from(value as string);
      throw new InvalidArgumentError(`A value is text or bytes without a codec; got ${typeof value}`);
    }
    let frame: string | Uint8Array;
    try {
      frame = this.#codec.encode(value);
    } catch (cause) {
      if (cause instanceof ShoalError) throw cause;
      throw new InvalidMessageError(`The value has no ${this.#codec.name} form`, { cause });
    }
    return Buffer.from(frame as string);
  }

  #decode(key: Buffer, bytes: Buffer): CloneValue<T> | undefined {
    if (this.#codec === undefined) return bytes as CloneValue<T>;
    try {
      return this.#codec.decode(bytes) as CloneValue<T>;
    } catch (error) {
      this.#tellInvalid(key, error);
      return undefined;
    }
  }

  #text(key: Buffer): string | undefined {
    if (this.#encoding === "latin1" || isUtf8(key)) return key.toString(this.#encoding);
    this.#tellInvalid(key, new InvalidMessageError("The key is no UTF-8 text; see the option keyEncoding"));
    return undefined;
  }

  #tellInvalid(key: Buffer, error: unknown): void {
    this.#invalid += 1;
    this.events.emit({ type: "invalid", key: Buffer.from(key), error });
  }

  #outbox(): ClientOutbox {
    const watches = this.#watches;
    return {
      open: (attempt, server) => this.#open(attempt, this.#servers[server] as CloneEndpoints),
      ask: () => {
        this.#dealer?.trySend(encodeRequest(this.#subtree));
      },
      sendSet: (server, frames) => this.#sendSet(server, frames),
      get watching() {
        return watches.size > 0;
      },
      changed: (key, old, value, sequence, own, resync) => {
        let text: string | undefined;
        let values:
          | { readonly old: CloneValue<T> | undefined; readonly value: CloneValue<T> | undefined }
          | undefined;
        for (const watch of watches) {
          if (!watch.matches(key)) continue;
          text ??= this.#text(key);
          if (text === undefined) return;
          values ??= {
            old: old === undefined ? undefined : this.#decode(key, old),
            // What was received is part of a larger memory, which a change that waits must not hold.
            value: value === undefined ? undefined : this.#decode(key, Buffer.from(value)),
          };
          if (value !== undefined && values.value === undefined) return;
          const type = value === undefined ? "delete" : "set";
          watch.push({ type, key: text, ...values, sequence, own, resync });
        }
      },
      synced: () => this.#onSynced(),
      event: (event) => this.events.emit(event),
    };
  }

  #tellHandshakes(
    socket: Publisher | Subscriber | Dealer,
    server: string,
    port: "snapshot" | "publisher" | "collector",
  ): void {
    for (const type of HANDSHAKE_ERRORS) {
      socket.events.on(type, ({ error }) => {
        this.#handshakeErrors += 1;
        this.events.emit({ type: "handshake:error", server, port, error });
      });
    }
  }

  #optionsFor({ curveServerKey }: CloneEndpoints): CommonOptions & { context?: Context } {
    return curveServerKey === undefined ? this.#shared : { ...this.#shared, curveServerKey };
  }

  #connectCollector(server: number, endpoints: CloneEndpoints): void {
    const { snapshot, collector } = endpoints;
    const publisher = new Publisher({ ...this.#optionsFor(endpoints), noDrop: true });
    this.#publishers.push(publisher);
    this.#tellHandshakes(publisher, snapshot, "collector");
    let subscriptions = 0;
    publisher.events.on("subscribe", () => {
      subscriptions += 1;
      if (subscriptions === 1) this.#rules.collectorReady(server, this.#timer.now());
    });
    publisher.events.on("unsubscribe", () => {
      subscriptions -= 1;
      if (subscriptions === 0) this.#rules.collectorLost(server);
    });
    publisher.connect(collector);
  }

  #sendSet(server: number, frames: Buffer[]): boolean {
    const publisher = this.#publishers[server];
    if (publisher === undefined || publisher.closed || publisher.trySend(frames)) return true;
    publisher.send(frames).then(
      () => {
        if (this.#closing === undefined) this.#rules.writable(server);
      },
      () => undefined,
    );
    return false;
  }

  /** Sockets of their own for each attempt: nothing of an earlier one can come in between. */
  #open(attempt: number, endpoints: CloneEndpoints): void {
    void this.#subscriber?.close({ linger: 0 });
    void this.#dealer?.close({ linger: 0 });
    const options = { ...this.#optionsFor(endpoints), receiveHighWaterMark: RECEIVE_MARK };
    const subscriber = new Subscriber(options);
    const dealer = new Dealer(options);
    this.#subscriber = subscriber;
    this.#dealer = dealer;
    if (this.#subtree.length > 0) subscriber.subscribe(this.#subtree, HUGZ);
    else subscriber.subscribe();
    const lost = (refused: boolean) => (): void => {
      this.#rules.disconnected(attempt, refused, this.#timer.now());
      this.#timer.update();
    };
    subscriber.events.on("handshake", () => {
      this.#rules.connected(attempt, this.#timer.now());
      this.#timer.update();
    });
    for (const socket of [subscriber, dealer]) {
      socket.events.on("disconnect", lost(false));
      socket.events.on("connect:retry", lost(true));
    }
    this.#tellHandshakes(subscriber, endpoints.snapshot, "publisher");
    this.#tellHandshakes(dealer, endpoints.snapshot, "snapshot");
    subscriber.connect(endpoints.publisher);
    dealer.connect(endpoints.snapshot);
    void this.#read(subscriber, (message, now) => this.#rules.update(attempt, message, now));
    void this.#read(dealer, (message, now) => this.#rules.snapshot(attempt, message, now));
  }

  async #read(socket: Subscriber | Dealer, take: (message: Buffer[], now: number) => void): Promise<void> {
    try {
      for (;;) {
        const messages = await socket.receiveMany({ max: BATCH, timeout: -1 });
        const now = this.#timer.now();
        for (const message of messages) take(message, now);
        this.#timer.update();
      }
    } catch (error) {
      if (!socket.closed) throw error;
    }
  }
}
