/**
 * Discovery client for programs that are not nodes. client-rules.ts chooses the node; each attempt has a
 * DEALER.
 */
import { checkCallOptions, describe } from "../../core/arguments.js";
import { DriverTimer } from "../../core/driver-timer.js";
import {
  ClosedError,
  HandshakeError,
  InvalidArgumentError,
  ProtocolError,
  type ShoalError,
  TimeoutError,
  UnroutableError,
} from "../../core/errors.js";
import type { EventNames } from "../../core/event-stream.js";
import { checkWait, refusedWait, waitFor } from "../../core/waiter.js";
import { Driver, type PatternWaitOptions } from "../../patterns/kit/driver.js";
import { anything, boolean, checkOptions, choice, integer, text } from "../../patterns/kit/options.js";
import type { EndpointSource } from "../../sockets/endpoint-source.js";
import { listen } from "../../sockets/internal.js";
import { Dealer, type DealerOptions } from "../../sockets/request-reply.js";
import { createId } from "../identity.js";
import type { AddressScope } from "./addresses.js";
import { DiscoveryClientRules, LONGEST_ATTEMPT, type NodeLossReason } from "./client-rules.js";
import { type DiscoveredNode, endpointHost } from "./description.js";
import { clientText, MAX_LIST, type NodeUpdate, parseUpdate } from "./protocol.js";

const MAX_ADDRESSES = 1_024;
const HEARTBEAT_INTERVAL = 500;
const HEARTBEAT_TIMEOUT = 2_000;
/** Never reached: the socket closes earlier. */
const RECONNECT_INTERVAL = 60_000;
const QUEUE = 64;
/** ms of a pause of the process that count as the server's silence, at most. */
const MAX_STEP = 100;

/** Names in brackets are WSO2's. */
export interface DiscoveryClientOptions {
  /**
   * "host:port", "tcp://host:port" or "tls://host:port" (`INITIAL_ADDRESSES`). If all are `tls://`, the client
   * uses only TLS, so that no list makes it send credentials in clear text.
   */
  readonly addresses: string | readonly string[];
  /** Further attempts per address (`RETRIES`). Default 0. */
  readonly retries?: number | undefined;
  /** ms between attempts at one address (`CONNECTION_DELAY`). Default 0. */
  readonly connectionDelay?: number | undefined;
  /** Rounds through all addresses before `cycles:failed` and a rest (`CYCLE_COUNT`). Default 2. */
  readonly cycleCount?: number | undefined;
  /** ms between requests for the whole list (`TIME`). Default 60,000. */
  readonly refreshInterval?: number | undefined;
  /** ms from connecting to the list; up to 8,000 if a server is busy. Default 1,000. */
  readonly attemptTimeout?: number | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** At most 64 bytes, for `node.clients()`. */
  readonly name?: string | undefined;
  /** Addresses of nodes. `auto` (default) depends on the client's source address. */
  readonly scope?: AddressScope | undefined;
  /** Name of the endpoints in `endpoints()`. Default: the nodes' `port`. */
  readonly service?: string | undefined;
  /** Whether `endpoints()` uses `tls://` and `securePort`. Default `false`. */
  readonly secure?: boolean | undefined;
  /** Endpoints before the first list. Default: none. */
  readonly fallback?: readonly string[] | undefined;
  /** Options of the DEALER, such as CURVE keys (`curveServerKey`) and TLS trust (`tlsCa`). */
  readonly socketOptions?: DealerOptions | undefined;
}

const OPTIONS = {
  addresses: anything<string | readonly string[]>(),
  retries: integer({ default: 0, min: 0 }),
  connectionDelay: integer({ default: 0, min: 0 }),
  cycleCount: integer({ default: 2 }),
  refreshInterval: integer({ default: 60_000 }),
  attemptTimeout: integer({ default: 1_000 }),
  username: text(),
  password: text(),
  name: text(),
  scope: choice(["auto", "private", "public"], "auto"),
  service: text(),
  secure: boolean(false),
  fallback: anything<readonly string[]>(),
  socketOptions: anything<DealerOptions>(),
};

export type DiscoveryClientEvent =
  | {
      readonly type: "nodes:changed";
      readonly nodes: readonly DiscoveredNode[];
      readonly changed: readonly DiscoveredNode[];
      readonly left: readonly DiscoveredNode[];
    }
  /** `node` is `undefined` if the list lacks it. */
  | { readonly type: "node:connected"; readonly node: DiscoveredNode | undefined; readonly address: string }
  | {
      readonly type: "node:lost";
      readonly node: DiscoveredNode | undefined;
      readonly address: string;
      readonly reason: NodeLossReason;
      /** Error of system, handshake or server. */
      readonly error?: ShoalError;
    }
  | {
      readonly type: "attempt:failed";
      readonly address: string;
      readonly reason: NodeLossReason;
      readonly error?: ShoalError;
    }
  /** All addresses failed `cycleCount` times; a rest follows. */
  | { readonly type: "cycles:failed"; readonly attempts: number };

const EVENTS: EventNames<DiscoveryClientEvent> = {
  "nodes:changed": true,
  "node:connected": true,
  "node:lost": true,
  "attempt:failed": true,
  "cycles:failed": true,
};

export interface DiscoveryClientStats {
  readonly nodes: number;
  readonly connected: boolean;
  readonly attempts: number;
  readonly failed: number;
  readonly lost: number;
  /** Lists and changes. */
  readonly updates: number;
}

interface Connection {
  socket: Dealer | undefined;
  readonly endpoint: string;
  error: ShoalError | undefined;
}

/**
 * Finds a cluster's nodes and endpoints by a connection to a random node.
 *
 * @example
 * ```ts
 * import { ClusterNode, DiscoveryClient, DiscoveryServer } from "shoal/cluster";
 *
 * const node = new ClusterNode({ name: "north", group: `client-${process.pid}` });
 * await node.start();
 * const server = new DiscoveryServer(node, { endpoint: "tcp://127.0.0.1:*", users: { ana: "secret" } });
 * await server.start();
 * const client = new DiscoveryClient({ addresses: server.endpoint ?? "", username: "ana", password: "secret" });
 * await client.ready();
 * console.log(client.nodes.length); // 1
 * await client.close();
 * await server.close();
 * await node.close();
 * ```
 */
export class DiscoveryClient
  extends Driver<DiscoveryClientEvent, DiscoveryClientStats>
  implements EndpointSource
{
  /** 32 hexadecimal digits. */
  readonly id = createId();
  readonly #settings: ReturnType<typeof checkOptions<typeof OPTIONS>>;
  readonly #fallback: readonly string[];
  readonly #rules: DiscoveryClientRules;
  readonly #timer = new DriverTimer(MAX_STEP);
  readonly #connections = new Map<number, Connection>();
  readonly #closing = new Set<Promise<unknown>>();
  readonly #waiting = new Set<() => void>();
  readonly #counts = { attempts: 0, failed: 0, lost: 0, updates: 0 };
  /** Failed since the last list, and rests so far. */
  #failed = false;
  #failures = 0;
  #failure: NodeLossReason | undefined;
  #failureError: ShoalError | undefined;
  #ending: ShoalError | undefined;
  readonly #isSecure: boolean;

  /** @throws InvalidArgumentError `EINVAL` */
  constructor(options: DiscoveryClientOptions) {
    super("DiscoveryClient", EVENTS);
    const settings = checkOptions("DiscoveryClient", OPTIONS, options);
    if (settings.name !== undefined) clientText("name", settings.name);
    if ((settings.username === undefined) !== (settings.password === undefined))
      throw new InvalidArgumentError("DiscoveryClient needs both username and password, or neither");
    this.#settings = settings;
    this.#fallback = Object.freeze([...listOf("fallback", settings.fallback ?? [], 0)]);
    const { retries, connectionDelay, cycleCount, refreshInterval, attemptTimeout } = settings;
    const addresses = listOf("addresses", settings.addresses, 1).map(checkServer);
    this.#isSecure = addresses.every(isSecure);
    this.#rules = new DiscoveryClientRules(
      {
        addresses,
        retries,
        connectionDelay,
        cycleCount,
        refreshInterval,
        attemptTimeout,
      },
      {
        connect: (endpoint, attempt) => this.#connect(endpoint, attempt),
        disconnect: (attempt) => this.#disconnect(attempt),
        refresh: (attempt) => this.#ask(attempt, "nodes"),
        connected: (node, address) => {
          this.#failure = undefined;
          this.events.emit({ type: "node:connected", node, address });
        },
        lost: (node, address, reason) => {
          this.#counts.lost += 1;
          this.events.emit({ type: "node:lost", node, address, reason, ...this.#cause() });
        },
        refused: (address, reason) => {
          this.#counts.failed += 1;
          this.#failure = reason;
          this.#failureError = this.#ending;
          this.events.emit({ type: "attempt:failed", address, reason, ...this.#cause() });
        },
        changed: (changed, left) => {
          this.#failed = false;
          this.events.emit({ type: "nodes:changed", nodes: this.nodes, changed, left });
          this.#wake();
        },
        failed: (attempts) => {
          this.#failed = true;
          this.#failures += 1;
          this.events.emit({ type: "cycles:failed", attempts });
          this.#wake();
        },
      },
      Math.random,
    );
    this.#rules.start(this.#timer.now());
    this.#timer.start(this.#rules);
  }

  /** Last list; kept while no node answers. */
  get nodes(): readonly DiscoveredNode[] {
    return this.#rules.nodes;
  }

  /** `undefined` if the list lacks the connected node. */
  get current(): DiscoveredNode | undefined {
    return this.#rules.current;
  }

  get connected(): boolean {
    return this.#rules.connected;
  }

  /**
   * Resolves when the client has a list.
   *
   * @throws HandshakeError `ERR_AUTHENTICATION` or UnroutableError `EHOSTUNREACH` if all addresses fail
   * `cycleCount` times from now on; TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EAGAIN` if it closes,
   * `EBADF` if closed
   */
  ready(options: PatternWaitOptions = {}): Promise<void> {
    return this.run(async () => {
      this.assertOpen();
      checkCallOptions("DiscoveryClient.ready", options, ["timeout", "signal"]);
      checkWait(options);
      await refusedWait(options);
      const late = (): TimeoutError =>
        new TimeoutError("ETIMEDOUT", `no discovery server answered within ${options.timeout} ms`);
      await waitFor(this.#learn(), options, late);
    });
  }

  refresh(): void {
    this.assertOpen();
    for (const attempt of this.#connections.keys()) this.#ask(attempt, "nodes");
  }

  /**
   * Yields endpoints after each change: those of `service`, or the nodes' `port`, without draining nodes. The
   * last list stays while no node answers; before any, `fallback`.
   *
   * @param signal ends it, like `close`
   */
  endpoints(signal: AbortSignal): AsyncIterable<readonly string[]> {
    return this.#lists(this.#settings.service, signal);
  }

  /** Advertised endpoints by name. @throws InvalidArgumentError `EINVAL` for "" */
  service(name: string): EndpointSource {
    if (typeof name !== "string" || name === "")
      throw new InvalidArgumentError(
        `a service's name must be a text that is not empty; got ${describe(name)}`,
      );
    return { endpoints: (signal) => this.#lists(name, signal) };
  }

  stats(): DiscoveryClientStats {
    return { nodes: this.#rules.nodes.length, connected: this.#rules.connected, ...this.#counts };
  }

  protected async onClose(): Promise<void> {
    this.#timer.stop();
    for (const attempt of [...this.#connections.keys()]) this.#disconnect(attempt);
    this.#wake();
    await Promise.all(this.#closing);
  }

  // --- Waiting -------------------------------------------------------------------------------------------------------

  async #learn(): Promise<void> {
    // Earlier failures are retried: a program's loop must not spin.
    const failures = this.#failures;
    while (!this.#rules.learned) {
      if (this.closed) throw new ClosedError("EAGAIN", "DiscoveryClient closed before it had a list");
      if (this.#failures > failures) throw this.#unreached();
      await this.#change();
    }
  }

  #unreached(): ShoalError {
    const cause = this.#failureError;
    const details = cause === undefined ? {} : { cause };
    if (this.#failure === "refused")
      return new HandshakeError("ERR_AUTHENTICATION", "every discovery server refused this client", details);
    const last = cause === undefined ? "" : `; last error: ${cause.message}`;
    return new UnroutableError(`no discovery server answered${last}`, details);
  }

  #cause(): { readonly error?: ShoalError } {
    return this.#ending === undefined ? {} : { error: this.#ending };
  }

  #change(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiting.delete(done);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      this.#waiting.add(done);
      signal?.addEventListener("abort", done, { once: true });
    });
  }

  #wake(): void {
    for (const done of [...this.#waiting]) done();
  }

  async *#lists(service: string | undefined, signal: AbortSignal): AsyncGenerator<readonly string[]> {
    let last: string | undefined;
    while (!signal.aborted && !this.closed) {
      const list = this.#list(service);
      const key = list?.join(" ");
      if (list !== undefined && key !== last) {
        last = key;
        yield list;
      } else await this.#change(signal);
    }
  }

  #list(service: string | undefined): readonly string[] | undefined {
    if (!this.#rules.learned) return this.#failed && this.#fallback.length > 0 ? this.#fallback : undefined;
    const list = this.nodes
      .filter(({ draining }) => !draining)
      .flatMap((node) => (service === undefined ? this.#portOf(node) : (node.endpoints[service] ?? [])));
    return [...new Set(list)].sort();
  }

  #portOf({ addresses: [best] }: DiscoveredNode): string[] {
    const { secure } = this.#settings;
    const port = secure ? best?.securePort : best?.port;
    const scheme = secure ? "tls" : "tcp";
    return best === undefined || port === undefined ? [] : [`${scheme}://${endpointHost(best.ip)}:${port}`];
  }

  // --- Connections ---------------------------------------------------------------------------------------------------

  #connect(endpoint: string, attempt: number): void {
    const { username, password, socketOptions, attemptTimeout } = this.#settings;
    this.#counts.attempts += 1;
    const connection: Connection = { socket: undefined, endpoint, error: undefined };
    this.#connections.set(attempt, connection);
    try {
      const socket = new Dealer({
        ...(username === undefined ? {} : { plainUsername: username, plainPassword: password ?? "" }),
        // A failing connection is closed earlier.
        reconnectInterval: RECONNECT_INTERVAL,
        connectTimeout: attemptTimeout,
        // The state machine ends it earlier.
        handshakeInterval: Math.max(attemptTimeout, LONGEST_ATTEMPT),
        heartbeatInterval: HEARTBEAT_INTERVAL,
        heartbeatTimeout: HEARTBEAT_TIMEOUT,
        maxMessageSize: MAX_LIST,
        receiveHighWaterMark: QUEUE,
        linger: 0,
        ipv6: endpoint.includes("["),
        ...socketOptions,
      });
      connection.socket = socket;
      listen(socket, (event) => {
        if ("error" in event && event.error !== undefined) connection.error = event.error;
        if (event.type === "connect") this.#progressed(attempt, false);
        else if (event.type === "peer:join") {
          this.#ask(attempt, "watch");
          this.#progressed(attempt, true);
        } else if (event.type === "handshake:error:auth") this.#ended(attempt, "refused");
        else if (event.type === "peer:leave" || event.type === "connect:retry")
          this.#ended(attempt, "disconnected");
      });
      socket.connect(endpoint);
      void this.#read(socket, attempt);
    } catch (error) {
      // The constructor must throw for invalid socket options.
      if (attempt === 1 && connection.socket === undefined) throw error;
      // The endpoint or the socket's options are invalid, or the context has no socket left.
      connection.error = error as ShoalError;
      this.#ended(attempt, "invalid");
    }
  }

  async #read(socket: Dealer, attempt: number): Promise<void> {
    try {
      for await (const frames of socket as AsyncIterable<Buffer[]>) {
        if (this.closed) return;
        const update = parseUpdate(frames);
        this.#counts.updates += 1;
        this.#rules.onUpdate(this.#timer.now(), attempt, this.#isSecure ? secureOnly(update) : update);
        this.#timer.update();
      }
    } catch (error) {
      if (socket.closed) return;
      if (!(error instanceof ProtocolError)) throw error;
      const connection = this.#connections.get(attempt);
      if (connection !== undefined) connection.error = error;
      this.#ended(attempt, "invalid");
    }
  }

  #ask(attempt: number, command: "nodes" | "watch"): void {
    const socket = this.#connections.get(attempt)?.socket;
    const { scope, name = "" } = this.#settings;
    const more = command === "watch" ? { id: this.id, name } : {};
    socket?.trySend(JSON.stringify({ command, addresses: scope, ...more }));
  }

  #progressed(attempt: number, isServed: boolean): void {
    this.#rules.onProgress(this.#timer.now(), attempt, isServed);
    this.#timer.update();
  }

  /** Reports once, outside of the socket's call. */
  #ended(attempt: number, reason: NodeLossReason): void {
    setImmediate(() => {
      const connection = this.#connections.get(attempt);
      if (this.closed || connection === undefined) return;
      this.#ending = connection.error;
      this.#rules.onEnd(this.#timer.now(), attempt, reason);
      this.#ending = undefined;
      this.#timer.update();
    });
  }

  #disconnect(attempt: number): void {
    const connection = this.#connections.get(attempt);
    if (connection === undefined) return;
    this.#connections.delete(attempt);
    if (connection.socket === undefined) return;
    const closing = connection.socket.close({ linger: 0 }).catch(() => undefined); // The end is reported.
    this.#closing.add(closing);
    void closing.then(() => this.#closing.delete(closing));
  }
}

function isSecure(endpoint: string): boolean {
  return endpoint.startsWith("tls://");
}

function secureOnly(update: NodeUpdate): NodeUpdate {
  const nodes = update.nodes.map((node) =>
    Object.freeze({ ...node, discovery: Object.freeze(node.discovery.filter(isSecure)) }),
  );
  return { ...update, nodes };
}

function listOf(name: string, value: unknown, least: number): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (!list.every((each) => typeof each === "string" && each !== "") || list.length < least)
    throw new InvalidArgumentError(
      `Option ${name} must be a text or an array of texts; got ${describe(value)}`,
    );
  if (list.length > MAX_ADDRESSES)
    throw new InvalidArgumentError(
      `Option ${name} must have at most ${MAX_ADDRESSES} entries; got ${list.length}`,
    );
  return list as readonly string[];
}

function checkServer(address: string): string {
  const match = /^(?:(tcp|tls):\/\/)?(\[[0-9A-Fa-f:.%\w]+\]|[^\s:/[\]]+):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535)
    throw new InvalidArgumentError(
      `an address must be HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT; got ${describe(address)}`,
    );
  return `${match[1] ?? "tcp"}://${match[2]}:${port}`;
}
