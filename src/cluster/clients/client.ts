/**
 * Discovery client for programs that are not nodes.
 *
 *   finding ──list──> following ──lost──> finding        following ──move: new node, draining──> following
 *      └──every address tried `cycleCount` times──> resting ──pause──> finding
 *
 * A cycle tries every address once, shuffled: known nodes, then initial addresses. With its first list, and the
 * first one after a rest, a client moves to a random node.
 */

import { invalidArgument } from "../../core/arguments.js";
import {
  HandshakeError,
  InvalidArgumentError,
  type ShoalError,
  TimeoutError,
  UnroutableError,
} from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { backOff } from "../../core/timers.js";
import { sleep } from "../../core/waiter.js";
import { Driver, type PatternWaitOptions } from "../../kit/driver.js";
import {
  anything,
  boolean,
  checkEndpoint,
  checkOptions,
  choice,
  type GivenWith,
  integer,
  type Settings,
  text,
} from "../../kit/options.js";
import type { EndpointSource } from "../../sockets/endpoint-source.js";
import { Dealer, type DealerOptions } from "../../sockets/request-reply.js";
import type { DISCOVERY_CLIENT } from "../../statistics/cluster.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import { MAX_SEEDS } from "../bounds.js";
import { AddressFeed } from "../discovery/source.js";
import { createId } from "../identity.js";
import { joinAddress, readAddress } from "../net/addresses.js";
import type { AddressScope } from "./addresses.js";
import { LONGEST_ATTEMPT, NodeConnection, type NodeLossReason } from "./connection.js";
import type { DiscoveredNode } from "./directory.js";
import { clientText, isSecure } from "./protocol.js";

const OPTIONS = {
  /**
   * Discovery servers: "host:port", "tcp://host:port" or "tls://host:port", at most 1,024; one is enough. If all are
   * `tls://`, the client uses only TLS, so that no list makes it send credentials in clear text.
   */
  addresses: anything<string | readonly string[]>(),
  /** Further attempts per address and cycle. Default 0. */
  retries: integer({ default: 0, min: 0 }),
  /** ms between attempts at one address. Default 0. */
  connectionDelay: integer({ default: 0, min: 0 }),
  /** Cycles through all addresses until `cycles:failed`, a rejected `ready()`, and a rest of 0.5 to 8 s. Default 2. */
  cycleCount: integer({ default: 2 }),
  /** ms between requests for the list, which also arrives after each change. Default 60,000. */
  refreshInterval: integer({ default: 60_000 }),
  /** ms to connect to a server. One that accepts, but is busy, has up to 8,000. Default 1,000. */
  attemptTimeout: integer({ default: 1_000 }),
  /** User of the discovery servers, with `password`. */
  username: text(),
  password: text(),
  /** Name of this client in `node.clients()`, at most 64 bytes. Default "". */
  name: text(),
  /**
   * Which addresses of nodes to list. `auto` (default): private ones, or public ones if this client's own address is
   * public and in none of the node's networks.
   */
  scope: choice<AddressScope>(["auto", "private", "public"], "auto"),
  /** Name of the advertised endpoints in `endpoints()`. Default: the nodes' `port`. */
  service: text(),
  /** Whether `endpoints()` has `tls://` and `securePort` instead of `tcp://` and `port`. Default `false`. */
  secure: boolean(false),
  /** Endpoints of `endpoints()` after failed cycles before the first list. Default: none. */
  fallback: anything<readonly string[]>(),
  /** Options of the DEALER, such as CURVE keys (`curveServerKey`) and TLS trust (`tlsCa`). */
  socketOptions: anything<DealerOptions>(),
};

/** Options of {@link DiscoveryClient}. */
export type DiscoveryClientOptions = GivenWith<typeof OPTIONS, "addresses">;

const EVENTS = {
  /** `nodes`: the list; `changed`: new or changed ones among them; `left`: no longer listed. */
  "nodes:changed": event<{
    readonly nodes: readonly DiscoveredNode[];
    readonly changed: readonly DiscoveredNode[];
    readonly left: readonly DiscoveredNode[];
  }>(),
  /** `node` is `undefined` if the list lacks it. */
  "node:connected": event<{ readonly node: DiscoveredNode | undefined; readonly address: string }>(),
  "node:lost": event<{
    readonly node: DiscoveredNode | undefined;
    readonly address: string;
    readonly reason: NodeLossReason;
    /** Error of system, handshake or server. */
    readonly error?: ShoalError;
  }>(),
  "attempt:failed": event<{
    readonly address: string;
    readonly reason: NodeLossReason;
    readonly error?: ShoalError;
  }>(),
  /** All addresses failed `cycleCount` times; a rest follows. */
  "cycles:failed": event<{ readonly attempts: number }>(),
};

export type DiscoveryClientEvent = EventsOf<typeof EVENTS>;

export type DiscoveryClientStats = StatisticsOf<typeof DISCOVERY_CLIENT>;

/**
 * Finds a cluster's nodes and endpoints by a connection to a random node.
 *
 * @example
 * ```ts
 * import { ClusterNode, DiscoveryClient, DiscoveryServer } from "shoal/cluster";
 *
 * const node = new ClusterNode({ name: "north", cluster: `client-${process.pid}` });
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
  readonly #settings: Settings<typeof OPTIONS>;
  readonly #addresses: readonly string[];
  readonly #fallback: readonly string[];
  readonly #isSecure: boolean;
  readonly #stopped = new AbortController();
  readonly #connections = new Set<NodeConnection>();
  /** Each gives its reader the current endpoints. */
  readonly #publish = new Set<() => void>();
  readonly #counts = { attempts: 0, failed: 0, lost: 0, updates: 0 };
  #nodes: ReadonlyMap<string, DiscoveredNode> = new Map();
  #learned = false;
  /** All addresses failed since the last list. */
  #failed = false;
  /** Of the last failed attempt. */
  #failure: ShoalError | undefined;
  /** Refused attempts of the present search. */
  #refusals = 0;
  #current: NodeConnection | undefined;
  #moving: Promise<NodeConnection | undefined> | undefined;
  /** Its node is one by lot. */
  #isPlaced = false;
  /** Attempts in a row that were accepted, and timed out. */
  #slow = 0;

  /** @throws InvalidArgumentError `EINVAL` */
  constructor(options: DiscoveryClientOptions) {
    super("DiscoveryClient", EVENTS);
    const settings = checkOptions("DiscoveryClient", OPTIONS, options);
    if (settings.name !== undefined) clientText("name", settings.name);
    if ((settings.username === undefined) !== (settings.password === undefined))
      throw new InvalidArgumentError("DiscoveryClient needs both username and password, or neither");
    this.#settings = settings;
    const fallback = [settings.fallback ?? []].flat();
    this.#fallback = Object.freeze(fallback.map((each) => checkEndpoint("fallback", each)));
    this.#addresses = serversOf([settings.addresses].flat());
    this.#isSecure = this.#addresses.every(isSecure);
    void this.#makeSocket("").close({ linger: 0 }); // Throws for invalid options.
    void this.#run();
  }

  /** The last list; it stays while no node answers. */
  get nodes(): readonly DiscoveredNode[] {
    return [...this.#nodes.values()];
  }

  /** The connected node; `undefined` without a connection, or if the list lacks the node. */
  get current(): DiscoveredNode | undefined {
    return this.#current && this.#nodes.get(this.#current.node);
  }

  get connected(): boolean {
    return this.#current !== undefined;
  }

  /**
   * Resolves when the client has a list; at once if it had one before.
   *
   * @throws HandshakeError `ERR_AUTHENTICATION` (all refused) or UnroutableError `EHOSTUNREACH` if all addresses fail
   * `cycleCount` times; the client goes on trying. TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`;
   * ClosedError `EAGAIN` if it closes, `EBADF` if closed
   */
  ready(options: PatternWaitOptions = {}): Promise<void> {
    const late = (): TimeoutError =>
      new TimeoutError("ETIMEDOUT", `no discovery server answered within ${options.timeout} ms`);
    return this.whenReached(this.#learned, options, late);
  }

  /**
   * Yields the endpoints of all nodes that are not draining, and again after each change. They are the endpoints that
   * the nodes advertise as `service`, by default "tcp://ip:port" of each node. If all addresses fail before the first
   * list, the iterator yields `fallback`.
   *
   * @param signal ends it, like `close`
   */
  endpoints(signal: AbortSignal): AsyncIterable<readonly string[]> {
    return this.#lists(this.#settings.service, signal);
  }

  /** A source, such as for a socket's `connect`, of what nodes advertise under a name. @throws InvalidArgumentError `EINVAL` for "" */
  service(name: string): EndpointSource {
    if (typeof name !== "string" || name === "")
      throw invalidArgument("a service's name must be a text that is not empty", name);
    return { endpoints: (signal) => this.#lists(name, signal) };
  }

  stats(): DiscoveryClientStats {
    return { nodes: this.#nodes.size, connected: this.connected, ...this.#counts };
  }

  protected async onClose(): Promise<void> {
    this.#stopped.abort();
    const connections = [...this.#connections];
    for (const connection of connections) connection.end("disconnected");
    this.#publishAll();
    await Promise.all(connections.map(({ closed }) => closed));
  }

  // --- Lists ---------------------------------------------------------------------------------------------------------

  #publishAll(): void {
    for (const publish of this.#publish) publish();
  }

  async *#lists(service: string | undefined, signal: AbortSignal): AsyncGenerator<readonly string[]> {
    const feed = new AddressFeed(signal);
    const publish = (): void => {
      const list = this.#list(service);
      if (this.closed) void feed.return();
      else if (list !== undefined) feed.set(list);
    };
    this.#publish.add(publish);
    publish();
    try {
      yield* feed;
    } finally {
      this.#publish.delete(publish);
    }
  }

  #list(service: string | undefined): readonly string[] | undefined {
    if (!this.#learned) return this.#failed && this.#fallback.length > 0 ? this.#fallback : undefined;
    const list = this.nodes
      .filter(({ draining }) => !draining)
      .flatMap((node) => (service === undefined ? this.#portOf(node) : (node.endpoints[service] ?? [])));
    return [...new Set(list)].sort();
  }

  #portOf({ addresses: [best] }: DiscoveredNode): string[] {
    const { secure } = this.#settings;
    const port = secure ? best?.securePort : best?.port;
    const scheme = secure ? "tls" : "tcp";
    return best === undefined || port === undefined ? [] : [`${scheme}://${joinAddress(best.ip, port)}`];
  }

  #onList = (given: readonly DiscoveredNode[]): void => {
    if (this.closed) return;
    this.#counts.updates += 1;
    const before = this.#nodes;
    const nodes = this.#isSecure ? given.map(secureOnly) : given;
    const next = new Map(nodes.map((node) => [node.id, node]));
    this.#nodes = next;
    const changed = this.nodes.filter((node) => !isSame(before.get(node.id), node));
    const left = [...before.values()].filter(({ id }) => !next.has(id));
    if (!this.#learned || changed.length > 0 || left.length > 0) {
      this.#learned = true;
      this.#failed = false;
      this.events.emit({ type: "nodes:changed", nodes: this.nodes, changed, left });
      this.#publishAll();
    }
    this.reached();
    this.#leaveDraining();
  };

  // --- Connections ---------------------------------------------------------------------------------------------------

  async #run(): Promise<void> {
    let lost: string | undefined;
    for (let rests = 0; !this.closed; ) {
      const connection = (await this.#moving) ?? (await this.#find(lost));
      this.#moving = undefined;
      lost = undefined;
      if (connection !== undefined) {
        rests = 0;
        lost = await this.#follow(connection);
      } else {
        const longest = Math.min(8_000, this.#settings.refreshInterval);
        const pause = backOff(rests, Math.min(1_000, longest), longest, Math.random);
        rests += 1;
        this.#isPlaced = false;
        await sleep(pause, this.#stopped.signal);
      }
    }
  }

  /** @param last just failed, so it is tried last @returns `undefined` if all addresses failed */
  async #find(last: string | undefined): Promise<NodeConnection | undefined> {
    const { cycleCount, retries, connectionDelay } = this.#settings;
    let attempts = 0;
    this.#refusals = 0;
    for (let cycle = 0; cycle < cycleCount; cycle++)
      for (const endpoint of this.#shuffled(cycle === 0 ? last : undefined))
        for (let retry = 0; retry <= retries; retry++) {
          if (retry > 0 && connectionDelay > 0) await sleep(connectionDelay, this.#stopped.signal);
          if (this.closed) return undefined;
          attempts += 1;
          const connection = await this.#attempt(endpoint);
          if (connection !== undefined) return connection;
        }
    if (this.closed) return undefined;
    this.#failed = true;
    this.events.emit({ type: "cycles:failed", attempts });
    this.reached(this.#unreachable(this.#refusals === attempts));
    this.#publishAll();
    return undefined;
  }

  async #attempt(endpoint: string): Promise<NodeConnection | undefined> {
    this.#counts.attempts += 1;
    const { attemptTimeout, scope, name = "" } = this.#settings;
    const longest = Math.max(attemptTimeout, LONGEST_ATTEMPT);
    const connection = new NodeConnection({
      endpoint,
      attemptTimeout,
      // Moving on to the next server adds load to busy ones.
      handshakeTimeout: Math.min(attemptTimeout * 2 ** this.#slow, longest),
      request: { addresses: scope, id: this.id, name },
      makeSocket: () => this.#makeSocket(endpoint),
      onList: this.#onList,
    });
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
    const reason = await connection.listed;
    if (reason === undefined) {
      this.#slow = 0;
      return connection;
    }
    if (this.closed || reason === "moved") return undefined;
    if (reason === "timeout" && connection.isAccepted) this.#slow += 1;
    this.#counts.failed += 1;
    this.#failure = connection.error;
    if (reason === "refused") this.#refusals += 1;
    this.events.emit({ type: "attempt:failed", address: endpoint, reason, ...causeOf(connection) });
    return undefined;
  }

  /** @returns the endpoint of a lost connection; `undefined` after a move */
  async #follow(connection: NodeConnection): Promise<string | undefined> {
    const { endpoint: address } = connection;
    this.#current = connection;
    this.#failure = undefined;
    this.events.emit({ type: "node:connected", node: this.current, address });
    const isPlaced = this.#isPlaced;
    this.#isPlaced = true;
    if (isPlaced) this.#leaveDraining();
    else this.#move(this.#fit());
    let timer: NodeJS.Timeout | undefined;
    const refreshLater = (): void => {
      // Random: a node's clients must not refresh together.
      const delay = this.#settings.refreshInterval * (0.75 + Math.random() / 4);
      timer = setTimeout(() => {
        connection.ask("nodes");
        refreshLater();
      }, delay);
    };
    refreshLater();
    const reason = await connection.ended;
    clearTimeout(timer);
    const node = this.current;
    this.#current = undefined;
    if (this.closed || reason === "moved") return undefined;
    this.#counts.lost += 1;
    this.events.emit({ type: "node:lost", node, address, reason, ...causeOf(connection) });
    return address;
  }

  /** Connects to one of these nodes by lot, and leaves the current one when it has answered. */
  #move(among: readonly DiscoveredNode[]): void {
    const target = among[Math.floor(Math.random() * among.length)];
    const endpoint = target?.discovery[0];
    // A listener may have closed the client.
    if (this.closed || this.#moving !== undefined) return;
    if (endpoint === undefined || target?.id === this.#current?.node) return;
    this.#moving = this.#attempt(endpoint).then((next) => {
      if (next === undefined) this.#moving = undefined;
      else this.#current?.end("moved");
      return next;
    });
  }

  #leaveDraining(): void {
    const { current } = this;
    if (current?.draining === true) this.#move(this.#fit().filter(({ id }) => id !== current.id));
  }

  /** Nodes to which a client can move. */
  #fit(): DiscoveredNode[] {
    return this.nodes.filter(({ draining, discovery }) => !draining && discovery.length > 0);
  }

  #shuffled(last: string | undefined): string[] {
    const fit = shuffle(this.#fit());
    const unique = new Set([
      ...fit.map(({ discovery }) => discovery[0] as string),
      ...fit.flatMap(({ discovery }) => discovery.slice(1)),
      ...shuffle([...this.#addresses]),
      ...this.nodes.flatMap(({ discovery }) => discovery),
    ]);
    return last !== undefined && unique.delete(last) ? [...unique, last] : [...unique];
  }

  #makeSocket(endpoint: string): Dealer {
    const { username, password, socketOptions, attemptTimeout } = this.#settings;
    return new Dealer({
      ...(username === undefined ? {} : { plainUsername: username, plainPassword: password ?? "" }),
      // The connection ends earlier.
      reconnectInterval: 60_000,
      connectTimeout: attemptTimeout,
      handshakeInterval: Math.max(attemptTimeout, LONGEST_ATTEMPT),
      heartbeatInterval: 500,
      heartbeatTimeout: 2_000,
      // 16,384 nodes fit.
      maxMessageSize: 33_554_432,
      // Each list replaces the one before.
      receiveHighWaterMark: 8,
      linger: 0,
      ipv6: endpoint.includes("["),
      ...socketOptions,
    });
  }

  #unreachable(allRefused: boolean): ShoalError {
    const cause = this.#failure;
    const details = cause === undefined ? {} : { cause };
    if (allRefused)
      return new HandshakeError("ERR_AUTHENTICATION", "every discovery server refused this client", details);
    const last = cause === undefined ? "" : `; last error: ${cause.message}`;
    return new UnroutableError(`no discovery server answered with a list${last}`, details);
  }
}

function causeOf({ error }: NodeConnection): { readonly error?: ShoalError } {
  return error === undefined ? {} : { error };
}

function shuffle<T>(list: T[]): T[] {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [list[i], list[j]] = [list[j] as T, list[i] as T];
  }
  return list;
}

function isSame(one: DiscoveredNode | undefined, other: DiscoveredNode): boolean {
  return one !== undefined && JSON.stringify(one) === JSON.stringify(other);
}

function secureOnly(node: DiscoveredNode): DiscoveredNode {
  return Object.freeze({ ...node, discovery: Object.freeze(node.discovery.filter(isSecure)) });
}

function serversOf(addresses: readonly unknown[]): readonly string[] {
  if (addresses.length === 0 || addresses.length > MAX_SEEDS)
    throw new InvalidArgumentError(
      `Option addresses must have 1 to ${MAX_SEEDS} entries; got ${addresses.length}`,
    );
  return addresses.map((address) => {
    const [, scheme = "tcp", place] = /^(?:(tcp|tls):\/\/)?(.*)$/.exec(`${address}`) ?? [];
    if (readAddress(place) === undefined)
      throw invalidArgument("an address must be HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT", address);
    return `${scheme}://${place}`;
  });
}
