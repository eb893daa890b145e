/** The map for a program: sockets (client-connections.ts) around client-rules.ts. */

import { quoted } from "../../core/arguments.js";
import { DriverTimer } from "../../core/driver-timer.js";
import { InvalidArgumentError, type ShoalError } from "../../core/errors.js";
import type { EventNames } from "../../core/event-stream.js";
import { frameCost } from "../../core/frame-cost.js";
import type { WaitOptions } from "../../core/waiter.js";
import { isEndpointSource } from "../../sockets/endpoint-source.js";
import { Dealer } from "../../sockets/request-reply.js";
import type { Raw, Settled } from "../../sockets/shape.js";
import { PendingCalls } from "../kit/calls.js";
import { Driver } from "../kit/driver.js";
import { ENDPOINT_SOURCE_EVENTS, EndpointList } from "../kit/endpoint-list.js";
import type { ClientCoder, CloneKey } from "./client-coder.js";
import { ClientConnections } from "./client-connections.js";
import {
  type CloneClientEvent,
  type CloneClientOptions,
  type CloneClientStats,
  type CloneDeleteOptions,
  type CloneEntry,
  type CloneServers,
  type CloneSetOptions,
  type CloneState,
  type CloneValue,
  type CloneValueIn,
  type CloneWatchOptions,
  clientSettings,
  deleteSettings,
  setSettings,
  watchSettings,
} from "./client-options.js";
import { ClientRules } from "./client-rules.js";
import type { ClientEffects } from "./client-state.js";
import { type CloneEndpoints, endpointsOf } from "./endpoints.js";
import { encodeSetProperties } from "./properties.js";
import { EMPTY } from "./protocol.js";
import { ClientWatches, type CloneWatch } from "./watch.js";

const EVENTS: EventNames<CloneClientEvent> = {
  "state:changed": true,
  "server:failed-over": true,
  "update:missed": true,
  "handshake:failed": true,
  "message:invalid": true,
  "entry:invalid": true,
  "change:dropped": true,
  ...ENDPOINT_SOURCE_EVENTS,
};

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
  readonly #timeout: number;
  readonly #calls: PendingCalls;
  readonly #rules: ClientRules;
  readonly #timer: DriverTimer;
  readonly #connections: ClientConnections;
  readonly #source: EndpointList | undefined;
  readonly #watches: ClientWatches<CloneValue<T>>;
  #loaded = false;
  #isStarted = false;
  #handshakeErrors = 0;
  #invalid = 0;

  /**
   * Connects at once.
   *
   * @param servers one or two, the preferred first: `tcp://HOST:PORT`, followed by P + 1 and P + 2, or each endpoint
   *   by name. Or a source of `tcp://HOST:PORT`: a working server stays in use for 5 s after it leaves, and while the
   *   source is empty. Without servers updates wait
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value
   */
  constructor(servers: CloneServers, options: CloneClientOptions<T> = {}) {
    super("CloneClient", EVENTS);
    const settings = clientSettings(servers, options, (key, error) => this.#reportInvalid(key, error));
    const { subtree, heartbeatInterval } = settings.rules;
    this.#coder = settings.coder;
    this.#timeout = settings.timeout;
    this.#calls = new PendingCalls(settings.calls);
    this.#timer = new DriverTimer(heartbeatInterval);
    this.#connections = new ClientConnections(subtree, settings.sockets, {
      act: (action) => {
        action(this.#rules, this.#timer.now());
        this.#timer.update();
      },
      refused: (server, port, error) => {
        this.#handshakeErrors += 1;
        this.events.emit({ type: "handshake:failed", server, port, error });
      },
    });
    if (isEndpointSource(servers))
      this.#source = new EndpointList("CloneClient", servers, {
        socket: () => new Dealer(settings.sockets),
        check: endpointsOf,
      });
    this.#watches = new ClientWatches(settings.coder, (lost) =>
      this.events.emit({ type: "change:dropped", lost }),
    );
    this.#rules = new ClientRules(settings.rules, this.#effects(settings.servers), this.#timer.now());
    this.#rules.start(this.#timer.now());
    this.#isStarted = true;
    this.#timer.start(this.#rules);
    this.#source?.start({
      changed: (list) => {
        this.#rules.setServers(list, this.#timer.now());
        this.#timer.update();
      },
      event: (event) => this.events.emit(event),
    });
  }

  /**
   * Settles when a map was loaded, empty or not.
   *
   * @param options `timeout` in ms, default -1: no limit
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EAGAIN` when the client closes before
   */
  ready(options: WaitOptions = {}): Promise<void> {
    return this.whenReached(this.#loaded, options);
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
    const { table } = this.#rules;
    const bytes = this.#coder.key(key);
    const id = table.find(bytes);
    return id < 0 ? undefined : this.#coder.decode<CloneValue<T>>(bytes, table.value(id));
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
  delete(key: CloneKey, options?: CloneDeleteOptions): Promise<number> {
    try {
      return this.#submit(key, EMPTY, { ttl: 0, ...deleteSettings(options) });
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
    return this.#watches.add(this.#coder.bytes(prefix), watchSettings(options).maxQueue);
  }

  stats(): CloneClientStats {
    const [handshakeErrors, invalid, watchLost] = [this.#handshakeErrors, this.#invalid, this.#watches.lost];
    return { ...this.#rules.stats(this.#timer.now()), handshakeErrors, invalid, watchLost };
  }

  /** @internal */
  protected async onClose(): Promise<void> {
    this.#source?.stop();
    this.#timer.stop();
    this.#rules.close(this.#timer.now());
    this.#watches.end();
    await this.#connections.close();
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
    const { ttl, revision, timeout = this.#timeout, signal } = options;
    const properties = encodeSetProperties(ttl, revision);
    const cost = frameCost(bytes.length) + frameCost(value.length);
    // One timer, in the rules, serves all calls.
    const onGivenUp = (): void => this.#rules.abort(call, this.#timer.now());
    const pending = this.#calls.add<number>(cost, signal === undefined ? undefined : { signal, onGivenUp });
    const update = { key: bytes, properties, value, conditional: revision !== undefined, timeout };
    const call = this.#rules.set(update, pending, this.#timer.now());
    this.#timer.update();
    return pending.promise;
  }

  #reportInvalid(key: Buffer, error: unknown): void {
    this.#invalid += 1;
    this.events.emit({ type: "entry:invalid", key: Buffer.from(key), error });
  }

  #effects(fixed: readonly CloneEndpoints[]): ClientEffects {
    const watches = this.#watches;
    const connections = this.#connections;
    return {
      open: (attempt, server) => {
        const endpoints = fixed.find(({ snapshot }) => snapshot === server) ?? endpointsOf(server);
        this.#connect(server, () => connections.open(attempt, endpoints));
      },
      ask: () => connections.ask(),
      sendSet: (frames) => connections.sendSet(frames),
      get unsent() {
        return connections.unsent;
      },
      get watching() {
        return watches.size > 0;
      },
      changed: (key, old, value, sequence, own, resync) =>
        watches.changed({ key, old, value, sequence, own, resync }),
      synced: () => {
        this.#loaded = true;
        this.reached();
      },
      event: (event) => this.events.emit(event),
    };
  }

  /** An invalid endpoint throws in the constructor; later it is an event. */
  #connect(endpoint: string, connect: () => void): void {
    try {
      connect();
    } catch (error) {
      if (!this.#isStarted) {
        void this.#connections.close();
        throw error;
      }
      this.events.emit({ type: "endpoint:refused", endpoint, error: error as ShoalError });
    }
  }
}
