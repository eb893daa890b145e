/**
 * A program that is no node and knows who is there: one connection to a discovery server of the cluster, whichever is there.
 *
 * client-rules.ts decides which one; here are sockets and the timer. Each attempt has a DEALER of its own, which does not
 * reconnect by itself: the rules do.
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

/** Addresses that a client is given. */
const MAX_ADDRESSES = 1_024;
/** ms between two signs of life, and until a server that gives none is left. */
const HEARTBEAT_INTERVAL = 500;
const HEARTBEAT_TIMEOUT = 2_000;
/** ms after which a socket would connect again by itself: it is closed before. */
const RECONNECT_INTERVAL = 60_000;
/** Updates that wait to be read. */
const QUEUE = 64;
/** ms that count of a time in which the process stood still. */
const MAX_STEP = 100;

/** Options of a {@link DiscoveryClient}. The names in brackets are those of WSO2's message broker. */
export interface DiscoveryClientOptions {
  /**
   * Discovery servers, "host:port", "tcp://host:port" or "tls://host:port", one at least (`INITIAL_ADDRESSES`). Where all are `tls://`, the
   * client goes to no other: credentials do not leave in the clear because a list says so.
   */
  readonly addresses: string | readonly string[];
  /** Further attempts at one address before the next one is tried (`RETRIES`). Default 0. */
  readonly retries?: number | undefined;
  /** ms between two attempts at one address (`CONNECTION_DELAY`). Default 0. */
  readonly connectionDelay?: number | undefined;
  /** How often all addresses are tried before the client reports `failed`, rests and begins again (`CYCLE_COUNT`). Default 2. */
  readonly cycleCount?: number | undefined;
  /** ms between two requests for the whole list, next to the updates (`TIME`). Default 60,000. */
  readonly refreshInterval?: number | undefined;
  /** ms for one attempt, from connecting to the list; up to 8,000 where a server is there and busy. Default 1,000. */
  readonly attemptTimeout?: number | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** What it calls itself, for `node.clients()`: at most 64 bytes. */
  readonly name?: string | undefined;
  /** Which addresses of the nodes it wants. Default `auto`: by where it comes from. */
  readonly scope?: AddressScope | undefined;
  /** Name under which nodes advertise the endpoints that `endpoints()` gives. Default: the nodes' `port`. */
  readonly service?: string | undefined;
  /** Whether `endpoints()` has `tls://` with the nodes' `securePort`, in place of `tcp://` with `port`. Default `false`. */
  readonly secure?: boolean | undefined;
  /** Endpoints that `endpoints()` gives when no node has answered yet. Default: none. */
  readonly fallback?: readonly string[] | undefined;
  /** CURVE keys (`curveServerKey` …), whom to trust over TLS (`tlsCa` …) and other options of its DEALER. */
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

/** What happens to a discovery client. */
export type DiscoveryClientEvent =
  /** The list is another: nodes that joined or changed, and nodes that left. */
  | {
      readonly type: "nodes:changed";
      readonly nodes: readonly DiscoveredNode[];
      readonly changed: readonly DiscoveredNode[];
      readonly left: readonly DiscoveredNode[];
    }
  /** It is connected to another node than before; `node` is `undefined` where the list does not have it. */
  | { readonly type: "node:connected"; readonly node: DiscoveredNode | undefined; readonly address: string }
  | {
      readonly type: "node:lost";
      readonly node: DiscoveredNode | undefined;
      readonly address: string;
      readonly reason: NodeLossReason;
      /** What is known of why: the system's error, that of the handshake, or what the server answered. */
      readonly error?: ShoalError;
    }
  /** An attempt failed; `error` as above. */
  | {
      readonly type: "attempt:failed";
      readonly address: string;
      readonly reason: NodeLossReason;
      readonly error?: ShoalError;
    }
  /** Every address was tried `cycleCount` times in vain; the client rests and tries again. */
  | { readonly type: "cycles:failed"; readonly attempts: number };

const EVENTS: EventNames<DiscoveryClientEvent> = {
  "nodes:changed": true,
  "node:connected": true,
  "node:lost": true,
  "attempt:failed": true,
  "cycles:failed": true,
};

/** Statistics of a discovery client. */
export interface DiscoveryClientStats {
  /** In its list. */
  readonly nodes: number;
  readonly connected: boolean;
  /** Attempts to connect; of them, those that failed. */
  readonly attempts: number;
  readonly failed: number;
  /** Nodes that it was connected to and lost. */
  readonly lost: number;
  /** Lists and changes of it that came. */
  readonly updates: number;
}

interface Connection {
  /** Missing where it could not be made. */
  socket: Dealer | undefined;
  readonly endpoint: string;
  /** Why it failed, as far as it is known. */
  error: ShoalError | undefined;
}

/**
 * Knows one node of a cluster or more, learns all of them, and has their endpoints: connected at once, without being a node
 * itself. It goes to a node by lot, and to another one when that goes.
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
  /** What the nodes know it by: 32 hexadecimal digits. */
  readonly id = createId();
  readonly #settings: ReturnType<typeof checkOptions<typeof OPTIONS>>;
  readonly #fallback: readonly string[];
  readonly #rules: DiscoveryClientRules;
  readonly #timer = new DriverTimer(MAX_STEP);
  readonly #connections = new Map<number, Connection>();
  readonly #closing = new Set<Promise<unknown>>();
  /** Calls that wait for a change. */
  readonly #waiting = new Set<() => void>();
  readonly #counts = { attempts: 0, failed: 0, lost: 0, updates: 0 };
  /** Whether every address was tried in vain, and no list came since; how often that was. */
  #failed = false;
  #failures = 0;
  /** Why the last attempt failed. */
  #failure: NodeLossReason | undefined;
  #failureError: ShoalError | undefined;
  /** Of the connection whose end the rules hear of at this moment. */
  #ending: ShoalError | undefined;
  /** Whether it was given `tls://` alone. */
  readonly #isSecure: boolean;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: DiscoveryClientOptions) {
    super("DiscoveryClient", EVENTS);
    const settings = checkOptions("DiscoveryClient", OPTIONS, options);
    if (settings.name !== undefined) clientText("name", settings.name);
    if ((settings.username === undefined) !== (settings.password === undefined))
      throw new InvalidArgumentError("username and password go together");
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

  /** The nodes of the last list; they stay when no node answers any more. */
  get nodes(): readonly DiscoveredNode[] {
    return this.#rules.nodes;
  }

  /** The node that it is connected to; `undefined` while there is none. */
  get current(): DiscoveredNode | undefined {
    return this.#rules.current;
  }

  /** Whether it is connected to a node. */
  get connected(): boolean {
    return this.#rules.connected;
  }

  /**
   * Settles when there is a list.
   *
   * @throws HandshakeError `ERR_AUTHENTICATION` or UnroutableError `EHOSTUNREACH` when every address was tried `cycleCount`
   *   times in vain after the call; TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF`, `EAGAIN` when it closes meanwhile
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

  /** Asks for the whole list now, next to the updates. */
  refresh(): void {
    this.assertOpen();
    for (const attempt of this.#connections.keys()) this.#ask(attempt, "nodes");
  }

  /**
   * The endpoints of the nodes as they are now and whenever they change: of `service`, or of the nodes' `port`. Nodes that
   * are draining are left out. While no node answers, the last list stands; where there was none yet, `fallback` does.
   *
   * @param signal ends it, as the client's `close` does
   */
  endpoints(signal: AbortSignal): AsyncIterable<readonly string[]> {
    return this.#lists(this.#settings.service, signal);
  }

  /** The endpoints that nodes advertise under a name. @throws InvalidArgumentError `EINVAL` for an empty name */
  service(name: string): EndpointSource {
    if (typeof name !== "string" || name === "")
      throw new InvalidArgumentError(`a service's name is a text that is not empty; got ${describe(name)}`);
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
    // What failed before the call is tried again: a program that calls again and again neither spins nor keeps the sockets waiting.
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
    const last = cause === undefined ? "" : `; the last one: ${cause.message}`;
    return new UnroutableError(`no discovery server answers at any address${last}`, details);
  }

  #cause(): { readonly error?: ShoalError } {
    return this.#ending === undefined ? {} : { error: this.#ending };
  }

  /** Settles at the next change, and when the signal aborts. */
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

  /** @returns `undefined` while nothing is known */
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
        // Reported as soon as a connection fails, and closed then.
        reconnectInterval: RECONNECT_INTERVAL,
        connectTimeout: attemptTimeout,
        // The rules end it before.
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
      // Options of the socket: nothing has happened yet at the first attempt, which is the constructor's.
      if (attempt === 1 && connection.socket === undefined) throw error;
      // A server's list named what is no endpoint, the socket's options do not fit it, or the context has no socket left.
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

  /** Not within the call of the socket that reports it, and once. */
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
    const closing = connection.socket.close({ linger: 0 }).catch(() => undefined); // It was left or lost: reported as that.
    this.#closing.add(closing);
    void closing.then(() => this.#closing.delete(closing));
  }
}

function isSecure(endpoint: string): boolean {
  return endpoint.startsWith("tls://");
}

/** Without the servers that are not reached over TLS. */
function secureOnly(update: NodeUpdate): NodeUpdate {
  const nodes = update.nodes.map((node) =>
    Object.freeze({ ...node, discovery: Object.freeze(node.discovery.filter(isSecure)) }),
  );
  return { ...update, nodes };
}

/** @throws InvalidArgumentError `EINVAL` */
function listOf(name: string, value: unknown, least: number): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (!list.every((each) => typeof each === "string" && each !== "") || list.length < least)
    throw new InvalidArgumentError(`Option ${name} is a text or an array of texts; got ${describe(value)}`);
  if (list.length > MAX_ADDRESSES)
    throw new InvalidArgumentError(`Option ${name} has ${MAX_ADDRESSES} entries at most; got ${list.length}`);
  return list as readonly string[];
}

/** @throws InvalidArgumentError `EINVAL` */
function checkServer(address: string): string {
  const match = /^(?:(tcp|tls):\/\/)?(\[[0-9A-Fa-f:.%\w]+\]|[^\s:/[\]]+):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535)
    throw new InvalidArgumentError(
      `an address is HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT; got ${describe(address)}`,
    );
  return `${match[1] ?? "tcp"}://${match[2]}:${port}`;
}
