/**
 * The map for a program: sockets and a timer around client-rules.ts.
 *
 *   DEALER  to P of the server in use
 *   SUB     to P + 1
 *   PUB     to P + 2
 *
 * Each attempt has new ones, so that messages of an earlier one cannot come.
 */

import { quoted } from "../../core/arguments.js";
import { InvalidArgumentError, type ShoalError } from "../../core/errors.js";
import { frameCost } from "../../core/memory.js";
import { DriverTimer } from "../../core/timers.js";
import type { WaitOptions } from "../../core/waiter.js";
import { PendingCalls } from "../../kit/calls.js";
import { Driver } from "../../kit/driver.js";
import { EndpointList, type PatternEndpoints } from "../../kit/endpoint-list.js";
import { checkOptions } from "../../kit/options.js";
import { readMessages, SendQueue } from "../../kit/sockets.js";
import { type FrameBatch, listen, readBatches } from "../../sockets/internal.js";
import type { Raw, Settled } from "../../sockets/message.js";
import { Publisher, Subscriber } from "../../sockets/pub-sub.js";
import { Dealer } from "../../sockets/request-reply.js";
import type { ClientEffects, CloneCall } from "./client-calls.js";
import {
  type ClientCoder,
  type CloneClientEvent,
  type CloneClientOptions,
  type CloneClientStats,
  type CloneDeleteOptions,
  type CloneEntry,
  type CloneKey,
  type CloneSetOptions,
  type CloneState,
  type CloneValue,
  type CloneValueIn,
  type CloneWatchOptions,
  clientSettings,
  DELETE_OPTIONS,
  EVENTS,
  setSettings,
  WATCH_OPTIONS,
} from "./client-options.js";
import { ClientRules } from "./client-rules.js";
import { encodeSetProperties } from "./properties.js";
import { type CloneEndpoints, EMPTY, encodeRequest, endpointsOf, HUGZ } from "./protocol.js";
import { ClientWatches, type CloneWatch } from "./watch.js";

const RECEIVE_MARK = 10_000;

/**
 * A copy of a key-value map, or of a subtree, in this process (12/CHP).
 *
 * @example
 * ```ts
 * import { CloneClient, CloneServer } from "shoal/clone";
 *
 * const server = new CloneServer();
 * const map = new CloneClient(await server.bind("tcp://127.0.0.1:*"));
 * await map.ready();
 * await map.set("/prices/eel", "7.90"); // Settles when it is in order, and in this map.
 * console.log(String(map.get("/prices/eel"))); // 7.90
 * await map.close();
 * await server.close();
 * ```
 */
export class CloneClient<T = Raw> extends Driver<CloneClientEvent, CloneClientStats> {
  readonly #coder: ClientCoder;
  readonly #settings: ReturnType<typeof clientSettings>;
  readonly #calls: PendingCalls;
  readonly #rules: ClientRules;
  readonly #timer: DriverTimer;
  readonly #servers: EndpointList;
  readonly #watches: ClientWatches<CloneValue<T>>;
  /** To the server in use. */
  #sockets: (Dealer | Subscriber | Publisher)[] = [];
  #dealer: Dealer | undefined;
  #updates: SendQueue | undefined;
  /** Why the last attempt failed; `undefined` once connected. */
  #failure: ShoalError | undefined = undefined;
  #handshakeErrors = 0;
  #invalid = 0;

  /**
   * Connects at once.
   *
   * @param servers one or two, the preferred first: `tcp://HOST:PORT` is a server's P, followed by P + 1 and P + 2. Or
   *   a source of these: a working server stays in use for 5 s after it leaves, and while the source is empty. Without
   *   servers updates wait
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value
   */
  constructor(servers: PatternEndpoints, options: CloneClientOptions<T> = {}) {
    super("CloneClient", EVENTS);
    const settings = clientSettings(options, (key, error) => {
      this.#invalid += 1;
      this.events.emit({ type: "entry:invalid", key: Buffer.from(key), error });
    });
    this.#settings = settings;
    this.#coder = settings.coder;
    this.#calls = new PendingCalls(settings);
    this.#timer = new DriverTimer(settings.heartbeatInterval);
    this.#servers = new EndpointList("CloneClient", servers, {
      socket: () => new Dealer(settings.sockets),
      check: endpointsOf,
    });
    for (const server of this.#servers.current) endpointsOf(server);
    this.#watches = new ClientWatches(settings.coder, (lost) =>
      this.events.emit({ type: "change:dropped", lost }),
    );
    this.#rules = new ClientRules(settings, this.#effects(), this.#timer.now());
    this.#rules.setServers(this.#servers.current, this.#timer.now());
    this.#timer.start(this.#rules);
    this.#servers.start((list) => this.#timer.run((now) => this.#rules.setServers(list, now)), this.events);
  }

  /**
   * Settles when a map was loaded, empty or not.
   *
   * @param options `timeout` in ms, default -1: no limit
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EAGAIN` when the client closes before
   */
  ready(options: WaitOptions = {}): Promise<void> {
    return this.whenReached(this.stats().snapshots > 0, options);
  }

  get state(): CloneState {
    return this.#rules.state;
  }

  /** Sequence of the last update in the map. */
  get sequence(): number {
    return this.#rules.sequence;
  }

  /** Keys in the map. */
  get size(): number {
    return this.#rules.table.size;
  }

  /**
   * A key's value: a copy, but above 64 KiB the map's memory, which must not be written to.
   *
   * @returns `undefined` for a missing key or an unreadable value, which is an event and counted
   * @throws InvalidArgumentError `EINVAL` for an invalid key
   */
  get(key: CloneKey): CloneValue<T> | undefined {
    return this.entry(key)?.value;
  }

  /** Like {@link get}, with the revision for conditional `set` and `delete`. */
  entry(key: CloneKey): CloneEntry<CloneValue<T>> | undefined {
    const { table } = this.#rules;
    const bytes = this.#coder.key(key);
    const id = table.find(bytes);
    if (id < 0) return undefined;
    const value = this.#coder.decode<CloneValue<T>>(bytes, table.value(id));
    return value === undefined ? undefined : { value, revision: table.sequence(id) };
  }

  has(key: CloneKey): boolean {
    return this.#rules.table.find(this.#coder.key(key)) >= 0;
  }

  /**
   * Sets a key. Settles when the server has ordered the update and this map has it; until then `get` returns the old
   * value. Calls for one key take effect in order.
   *
   * @returns the key's revision; for a repeated update only while the key is unchanged
   * @throws TimeoutError `ETIMEDOUT` or AbortedError `ABORT_ERR`; the update may still take effect
   * @throws ClosedError `EBADF`, `EAGAIN`
   * @throws StoreError `ERR_STORE`, reason `full`; a repetition may still take effect
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING` above `maxPending` or `maxPendingBytes`
   * @throws InvalidArgumentError `EINVAL` for a key outside of the subtree or not of 1 to 255 bytes, and an empty
   *   value
   * @throws CloneConflictError `ERR_CONFLICT` for another revision than the option; NotSupportedError `NOT_SUPPORTED`
   *   when the server does not compare and set
   * @throws InvalidMessageError `ERR_INVALID_MESSAGE` for a value that the codec or schema refuses
   */
  set(key: CloneKey, value: CloneValueIn<Settled<T>>, options?: CloneSetOptions): Promise<number> {
    try {
      const bytes = this.#coder.encode(value);
      if (bytes.length === 0)
        throw new InvalidArgumentError(
          "A value has at least one byte: an empty one deletes the key (12/CHP)",
        );
      return this.#submit(key, bytes, setSettings(options));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Deletes a key, present or not, like {@link set}. */
  delete(key: CloneKey, options: CloneDeleteOptions = {}): Promise<number> {
    try {
      const settings = checkOptions("CloneClient.delete", DELETE_OPTIONS, options);
      return this.#submit(key, EMPTY, { ttl: 0, ...settings });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Iterates over keys and values, in no order. @param prefix of keys. Default: all */
  *entries(prefix: CloneKey = ""): Generator<[key: string, value: CloneValue<T>], undefined> {
    const { table } = this.#rules;
    const wanted = this.#coder.bytes(prefix);
    for (let id = 0; id < table.high; id++) {
      if (table !== this.#rules.table) return undefined; // A new snapshot has taken its place.
      if (!table.isLive(id) || !table.hasPrefix(id, wanted)) continue;
      const bytes = table.key(id);
      const key = this.#coder.text(bytes);
      if (key === undefined) continue;
      const value = this.#coder.decode<CloneValue<T>>(bytes, table.value(id));
      if (value !== undefined) yield [key, value];
    }
    return undefined;
  }

  [Symbol.iterator](): Generator<[key: string, value: CloneValue<T>], undefined> {
    return this.entries();
  }

  /**
   * Iterates over changes from now on. After a gap or failover the differences of the new snapshot come with `resync`.
   *
   * @param prefix of keys. Default: all
   */
  watch(prefix: CloneKey = "", options: CloneWatchOptions = {}): CloneWatch<CloneValue<T>> {
    this.assertOpen();
    const settings = checkOptions("CloneClient.watch", WATCH_OPTIONS, options);
    return this.#watches.add(this.#coder.bytes(prefix), settings);
  }

  stats(): CloneClientStats {
    const [handshakeErrors, invalid, watchLost] = [this.#handshakeErrors, this.#invalid, this.#watches.lost];
    return { ...this.#rules.stats(this.#timer.now()), handshakeErrors, invalid, watchLost };
  }

  /** @internal */
  protected async onClose(): Promise<void> {
    this.#servers.stop();
    this.#timer.stop();
    this.#calls.close();
    this.#rules.close(this.#timer.now());
    this.#watches.end();
    await this.#closeSockets();
  }

  /** @internal */
  protected override onDrain(): Promise<void> {
    return this.#calls.idle();
  }

  #submit(key: CloneKey, value: Buffer, options: ReturnType<typeof setSettings>): Promise<number> {
    this.assertOpen();
    const bytes = this.#coder.key(key);
    if (!this.#rules.holds(bytes))
      throw new InvalidArgumentError(`The key ${quoted(String(key))} is not in the client's subtree`);
    const { ttl, revision, timeout = this.#settings.timeout, signal } = options;
    const properties = encodeSetProperties(ttl, revision);
    const cost = frameCost(bytes.length) + frameCost(value.length);
    // One timer, in the rules, serves all calls: one for each costs a `set` a tenth.
    let call: CloneCall | undefined;
    let isGivenUp = false;
    const onGivenUp = (): void => {
      isGivenUp = true;
      if (call !== undefined) this.#rules.calls.abort(call, this.#timer.now());
    };
    const pending = this.#calls.add<number>(cost, signal === undefined ? undefined : { signal, onGivenUp });
    const update = { key: bytes, properties, value, conditional: revision !== undefined, timeout };
    call = this.#rules.calls.add(update, pending, this.#timer.now());
    // A listener may have aborted it within the send.
    if (isGivenUp && !this.closed) this.#rules.calls.abort(call, this.#timer.now());
    this.#timer.update();
    return pending.promise;
  }

  #effects(): ClientEffects {
    return {
      open: (attempt, server) => void this.#servers.connect(server, () => this.#open(attempt, server)),
      ask: () => void this.#dealer?.trySend(encodeRequest(this.#settings.subtree)),
      sendSet: (frames) => void this.#updates?.send(frames),
      unsent: () => this.#updates?.length ?? 0,
      failure: () => this.#failure,
      watching: () => this.#watches.size > 0,
      changed: (change) => this.#watches.changed(change),
      synced: () => this.reached(),
      event: (event) => this.events.emit(event),
    };
  }

  #open(attempt: number, server: string): void {
    void this.#closeSockets();
    try {
      this.#connect(attempt, endpointsOf(server));
    } catch (error) {
      void this.#closeSockets();
      throw error;
    }
  }

  #connect(attempt: number, { snapshot, publisher, collector }: CloneEndpoints): void {
    const { sockets: options, subtree } = this.#settings;
    const updates = this.#keep(new Publisher({ ...options, noDrop: true }));
    const subscriber = this.#keep(new Subscriber({ ...options, receiveHighWaterMark: RECEIVE_MARK }));
    const dealer = this.#keep(new Dealer({ ...options, receiveHighWaterMark: RECEIVE_MARK }));
    this.#updates = new SendQueue(updates);
    this.#dealer = dealer;
    if (subtree.length > 0) subscriber.subscribe(subtree, HUGZ);
    else subscriber.subscribe();
    subscriber.events.on("handshake", () => {
      this.#failure = undefined;
      this.#timer.run((now) => this.#rules.connected(attempt, now));
    });
    for (const socket of [subscriber, dealer]) {
      const lost = (refused: boolean): void =>
        this.#timer.run((now) => this.#rules.disconnected(attempt, refused, now));
      socket.events.on("disconnect", () => lost(false));
      listen(socket, (event) => {
        if (event.type !== "connect:retry") return;
        this.#failure = event.error;
        lost(true);
      });
    }
    this.#watchCollector(attempt, updates);
    this.#reportHandshakes(updates, snapshot, "collector");
    this.#reportHandshakes(subscriber, snapshot, "publisher");
    this.#reportHandshakes(dealer, snapshot, "snapshot");
    updates.connect(collector);
    subscriber.connect(publisher);
    dealer.connect(snapshot);
    this.#readUpdates(subscriber, attempt, publisher);
    this.#read(dealer, (message, now) => this.#rules.snapshot(attempt, message, now));
  }

  #keep<S extends Dealer | Subscriber | Publisher>(socket: S): S {
    this.#sockets.push(socket);
    return socket;
  }

  #watchCollector(attempt: number, publisher: Publisher): void {
    let subscriptions = 0;
    const count = (change: number): void => {
      subscriptions += change;
      this.#timer.run((now) => this.#rules.collector(attempt, subscriptions > 0, now));
    };
    publisher.events.on("subscribe", () => count(1));
    publisher.events.on("unsubscribe", () => count(-1));
  }

  #reportHandshakes(
    socket: Publisher | Subscriber | Dealer,
    server: string,
    port: "snapshot" | "publisher" | "collector",
  ): void {
    listen(socket, (event) => {
      const { type } = event;
      if (
        type !== "handshake:error:auth" &&
        type !== "handshake:error:protocol" &&
        type !== "handshake:error:other"
      )
        return;
      this.#handshakeErrors += 1;
      this.events.emit({ type: "handshake:failed", server, port, error: event.error });
    });
  }

  /** Over inproc messages come as frames: as bytes they would be copied. */
  #readUpdates(socket: Subscriber, attempt: number, endpoint: string): void {
    const take = (batch: FrameBatch): void =>
      this.#timer.run((now) => this.#rules.updates(attempt, batch, now));
    if (!endpoint.startsWith("inproc:") && readBatches(socket, take)) return;
    this.#read(socket, (message, now) => this.#rules.update(attempt, message, now));
  }

  #read(socket: Subscriber | Dealer, take: (message: Buffer[], now: number) => void): void {
    void readMessages(socket, (messages) =>
      this.#timer.run((now) => {
        for (const message of messages) take(message, now);
      }),
    );
  }

  async #closeSockets(): Promise<void> {
    this.#updates = undefined;
    this.#dealer = undefined;
    await Promise.all(this.#sockets.splice(0).map((socket) => socket.close({ linger: 0 })));
  }
}
