/**
 * Discovery server for programs that are not nodes (docs/spec/discovery.md): a ROUTER, a page over HTTP, and
 * the machine's addresses in the node's details.
 */
import { isIP } from "node:net";
import { invalidArgument } from "../../core/arguments.js";
import { InvalidArgumentError, TimeoutError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { waitFor } from "../../core/waiter.js";
import { Driver } from "../../kit/driver.js";
import {
  anything,
  boolean,
  checkOptions,
  func,
  type Given,
  integer,
  object,
  type Settings,
  text,
} from "../../kit/options.js";
import type { RouterOptions } from "../../sockets/request-reply.js";
import type { DISCOVERY_SERVER } from "../../statistics/cluster.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import { type ClusterListenerTls, checkCertificate } from "../admission/tls.js";
import type { ClusterNamespace } from "../node/namespace.js";
import {
  type AddressProvider,
  boundTo,
  checkAddresses,
  type HostAddress,
  interfaceAddresses,
} from "./addresses.js";
import { CallerRouter, checkHttp, DirectoryPage, type DiscoveryHttpOptions } from "./callers.js";
import type { OwnClient } from "./client-registry.js";
import { DISCOVERY_PROP, encodeDescription, NodeDirectory } from "./directory.js";
import { isSecure } from "./protocol.js";
import {
  CallerGate,
  type CallerRefusal,
  type DiscoveryAuthenticate,
  type DiscoveryUser,
  UserTable,
} from "./users.js";

export const OPTIONS = {
  /** Endpoint of the ROUTER, `tcp://*:7000` or `tls://*:7000`; port `*`: any free one. Required without `http`. */
  endpoint: text(),
  /** Serves the list over HTTP, or HTTPS with `tls`. Required without `endpoint`. */
  http: object<DiscoveryHttpOptions>(),
  /** Certificate for a `tls://` endpoint and HTTPS. With `ca`, clients need a certificate signed by it. */
  tls: object<ClusterListenerTls>(),
  /**
   * At most 10,000, by name: a {@link DiscoveryUser}, or a password with the permission `dynamicDiscovery`. Required
   * without `authenticate`.
   */
  users: object<Readonly<Record<string, string | DiscoveryUser>>>(),
  /** Checks credentials instead of `users`. `() => true` admits all. */
  authenticate: func<DiscoveryAuthenticate>(),
  /** Whether `Accept: application/xml` and `?format=xml` get XML. Default `false`. */
  xml: boolean(false),
  /** Port of this node's own service for clients, listed with each address. Default: none. */
  port: integer({ default: 0, max: 65_535 }),
  /** Such a port for `tls://`. CURVE belongs in `port`: it uses `tcp://`. */
  securePort: integer({ default: 0, max: 65_535 }),
  /** IP address at which `port` and `securePort` listen. Default: that of `endpoint`. `0.0.0.0`: every interface. */
  host: text(),
  /** Finds this machine's addresses. Default: those of its interfaces. */
  addresses: func<AddressProvider>(),
  /** ms between its calls; a longer one is given up. Default 60,000. */
  addressInterval: integer({ default: 60_000 }),
  /** Connected clients; further ones are closed. Default 16,384. */
  maxClients: integer({ default: 16_384, max: 1_000_000 }),
  /** Options of the ROUTER, such as CURVE keys (`curveServer: true`). */
  socketOptions: anything<RouterOptions>(),
};

/** Options of {@link DiscoveryServer}. */
export type DiscoveryServerOptions = Given<typeof OPTIONS>;

const EVENTS = {
  "client:connected": event<{ readonly client: OwnClient }>(),
  "client:disconnected": event<{ readonly client: OwnClient }>(),
  /** At most once per minute for each address and reason, 8 at once, one per second; `stats().refused` counts all. */
  "caller:refused": event<{
    readonly address: string;
    readonly via: "socket" | "http";
    readonly reason: CallerRefusal;
    readonly error?: unknown;
  }>(),
  "addresses:changed": event<{ readonly addresses: readonly HostAddress[] }>(),
  /** The provider failed, or addresses exceed the details. Known addresses stay. */
  "addresses:failed": event<{ readonly error: unknown }>(),
};

export type DiscoveryServerEvent = EventsOf<typeof EVENTS>;

export type DiscoveryServerStats = StatisticsOf<typeof DISCOVERY_SERVER>;

/**
 * Lists a started node's cluster for other programs, pushes changes, and tracks clients.
 *
 * @example
 * ```ts
 * import { ClusterNode, DiscoveryClient, DiscoveryServer } from "shoal/cluster";
 *
 * const node = new ClusterNode({ name: "north", cluster: `server-${process.pid}` });
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
export class DiscoveryServer extends Driver<DiscoveryServerEvent, DiscoveryServerStats> {
  readonly #node: ClusterNamespace;
  readonly #settings: Settings<typeof OPTIONS>;
  readonly #gate: CallerGate;
  readonly #users: UserTable | undefined;
  readonly #directory = new NodeDirectory();
  readonly #callers: CallerRouter;
  readonly #page: DirectoryPage;
  readonly #counts = { requests: 0, invalid: 0, updates: 0, missed: 0 };
  #tls: ClusterListenerTls | undefined;
  #starting: Promise<void> | undefined;
  /** Ends it at the node; `undefined`: the node has another one, or none. */
  #withdraw: (() => void) | undefined;
  #endpoint: string | undefined;
  #url: string | undefined;
  #coalescing: NodeJS.Timeout | undefined;
  /** ms; before it, lists have had their share of the time. */
  #restUntil = 0;
  #looking: NodeJS.Timeout | undefined;
  #addresses: readonly HostAddress[] = [];
  readonly #stopped = new AbortController();
  #description: string | undefined;

  /** @throws InvalidArgumentError `EINVAL`, also without both `users` and `authenticate` */
  constructor(node: ClusterNamespace, options: DiscoveryServerOptions) {
    super("DiscoveryServer", EVENTS);
    const settings = checkOptions("DiscoveryServer", OPTIONS, options);
    const { users, authenticate, endpoint, http, host } = settings;
    if (typeof (node as Partial<ClusterNamespace> | undefined)?.serveDiscovery !== "function")
      throw invalidArgument("a DiscoveryServer needs a ClusterNode", node);
    if ((users === undefined) === (authenticate === undefined))
      throw new InvalidArgumentError("a DiscoveryServer needs either users or authenticate");
    if (endpoint === undefined && http === undefined)
      throw new InvalidArgumentError("a DiscoveryServer needs an endpoint, http or both");
    if (endpoint !== undefined && !/^(?:tcp|tls):\/\/.+:(\d{1,5}|\*)$/.test(endpoint))
      throw invalidArgument("Option endpoint must be tcp://HOST:PORT or tls://HOST:PORT", endpoint);
    if (host !== undefined && host !== "*" && isIP(host) === 0)
      throw invalidArgument('Option host must be an IP address or "*"', host);
    if (http !== undefined) checkHttp(http);
    checkServerTls(settings);
    this.#node = node;
    this.#settings = settings;
    this.#tls = settings.tls;
    this.#users = users && new UserTable(users);
    if (
      endpoint !== undefined &&
      this.#users?.hasKeys === true &&
      settings.socketOptions?.curveServer !== true
    )
      throw new InvalidArgumentError("users with a publicKey need socketOptions.curveServer and its keys");
    if (
      this.#users?.hasPasswords === true &&
      settings.socketOptions?.curveServer === true &&
      http === undefined
    )
      throw new InvalidArgumentError(
        "over CURVE every user needs a publicKey: passwords are for PLAIN and HTTP",
      );
    this.#gate = new CallerGate({
      users: this.#users,
      authenticate,
      report: ({ address, via }, reason, error) => {
        const event = { type: "caller:refused", address, via, reason } as const;
        this.events.emit(error === undefined ? event : { ...event, error });
      },
    });
    const context = { node, gate: this.#gate, directory: this.#directory, counts: this.#counts };
    this.#callers = new CallerRouter(context, (event) => this.events.emit(event));
    this.#page = new DirectoryPage(context, settings.xml);
  }

  /** `undefined` without the option, or before `start`. */
  get endpoint(): string | undefined {
    return this.#endpoint;
  }

  /** URL of the list over HTTP, such as "http://127.0.0.1:7001/nodes"; `undefined` without `http`, or before `start`. */
  get url(): string | undefined {
    return this.#url;
  }

  /** Watching clients of this server, in the order of their coming. `node.clients()` has those of all nodes. */
  get clients(): readonly OwnClient[] {
    return this.#callers.clients;
  }

  /**
   * Binds, and adds this machine's addresses to the node's details.
   *
   * @throws TransportError `EADDRINUSE` and the system's other codes; InvalidStateError `EFSM` without a
   * started node, or if it has a discovery server; InvalidArgumentError `EINVAL`; ClosedError `EBADF`
   */
  start(): Promise<void> {
    if (this.closed) return this.run(async () => this.assertOpen());
    this.#starting ??= this.run(async () => {
      this.assertOpen();
      try {
        void this.#node.self; // Throws before anything is opened.
        this.#serve();
        // The first client must not get an empty list.
        this.#publish();
        await this.#bind();
        await this.#lookUp();
        this.assertOpen();
      } catch (error) {
        this.#starting = undefined;
        this.#unserve();
        await this.#unbind(0);
        throw error;
      }
      this.#publish();
      this.#lookUpLater();
    });
    return this.#starting;
  }

  /**
   * Replaces the `tls` certificate for new connections.
   *
   * @throws InvalidArgumentError `EINVAL` if it is not PEM, does not match its key, or the server has no `tls`
   */
  setTls(tls: ClusterListenerTls): void {
    if (this.#tls === undefined)
      throw new InvalidArgumentError("setTls needs a DiscoveryServer that was created with tls");
    checkCertificate("tls", tls);
    this.#tls = tls;
    if (isSecure(this.#settings.endpoint)) this.#callers.renew(tls);
    this.#page.renew(tls);
  }

  stats(): DiscoveryServerStats {
    return {
      nodes: this.#directory.size,
      callers: this.#callers.size,
      clients: this.clients.length,
      refused: this.#gate.refused,
      ...this.#counts,
    };
  }

  protected async onClose(linger: number): Promise<void> {
    this.#stopped.abort();
    await this.#starting?.catch(() => undefined); // `start` has the error.
    clearTimeout(this.#looking);
    clearTimeout(this.#coalescing);
    this.#unserve();
    await this.#unbind(linger);
  }

  #serve(): void {
    this.#withdraw = this.#node.serveDiscovery({
      clients: () => this.clients,
      changed: this.#onChange,
      nodeOnClose: (linger) => this.close({ linger }),
    });
  }

  #unserve(): void {
    if (this.#withdraw === undefined || this.#node.closed) return;
    this.#withdraw();
    this.#withdraw = undefined;
    if (this.#description !== undefined) this.#node.props({ [DISCOVERY_PROP]: undefined });
    this.#description = undefined;
  }

  async #bind(): Promise<void> {
    const { endpoint, http, maxClients, socketOptions } = this.#settings;
    const tls = isSecure(endpoint) ? this.#tls : undefined;
    const bound = endpoint && (await this.#callers.bind({ endpoint, tls, maxClients, socketOptions }));
    if (http !== undefined) this.#url = await this.#page.open(http, this.#tls);
    this.#endpoint = bound;
  }

  async #unbind(linger: number): Promise<void> {
    await Promise.all([this.#callers.close(linger), this.#page.close()]);
  }

  // --- The cluster ---------------------------------------------------------------------------------------------------

  #onChange = (): void => {
    if (this.closed) return;
    this.#coalescing ??= setTimeout(
      () => {
        this.#coalescing = undefined;
        const began = performance.now();
        this.#publish();
        const ended = performance.now();
        // Large lists for many clients take at most a tenth of the time.
        this.#restUntil = ended + 9 * (ended - began);
      },
      Math.max(20, this.#restUntil - performance.now()),
    );
  };

  #publish(): void {
    if (this.#node.closed) return;
    // Clients must leave a removed node.
    if (this.#node.removed) this.#callers.disconnect();
    if (this.#directory.update(this.#node.members())) this.#callers.push(true);
  }

  #lookUpLater(): void {
    if (this.closed) return;
    const lookUp = (): void => void this.#lookUp().then(() => this.#lookUpLater());
    this.#looking = setTimeout(lookUp, this.#settings.addressInterval).unref();
  }

  async #lookUp(): Promise<void> {
    if (this.closed) return;
    const { addresses = interfaceAddresses, addressInterval: timeout } = this.#settings;
    const attempt = new AbortController();
    const { signal } = attempt;
    this.#stopped.signal.addEventListener("abort", () => attempt.abort(), { signal });
    const late = (): TimeoutError =>
      new TimeoutError("ETIMEDOUT", `The provider of addresses did not answer within ${timeout} ms`);
    let found: readonly HostAddress[];
    try {
      // A provider may not look at the signal.
      found = checkAddresses(await waitFor(Promise.resolve(addresses(signal)), { signal, timeout }, late));
    } catch (error) {
      if (this.closed) return;
      this.events.emit({ type: "addresses:failed", error });
      // At the start, interfaces are better than nothing.
      if (this.#addresses.length > 0) return;
      found = checkAddresses(interfaceAddresses());
    } finally {
      attempt.abort();
    }
    if (this.closed) return;
    // A start may have bound it meanwhile.
    const host = this.#settings.host ?? hostOf(this.#endpoint) ?? "0.0.0.0";
    this.#describe(boundTo(found, host));
  }

  #describe(addresses: readonly HostAddress[]): void {
    const { port, securePort } = this.#settings;
    const isNew = JSON.stringify(addresses) !== JSON.stringify(this.#addresses);
    this.#addresses = addresses;
    const description = {
      discoveryPort: portOf(this.#endpoint),
      discoveryTls: isSecure(this.#endpoint),
      port,
      securePort,
      addresses,
    };
    let { text, left } = encodeDescription(description);
    let error: unknown;
    while (text !== this.#description && error === undefined)
      try {
        this.#node.props({ [DISCOVERY_PROP]: text });
        this.#description = text;
      } catch (thrown) {
        // The program's details use the space: retry with fewer addresses.
        if (left === addresses.length) error = thrown;
        else ({ text, left } = encodeDescription(description, Buffer.byteLength(text) - 1));
      }
    if (left > 0)
      error ??= new InvalidArgumentError(
        `${left} of ${addresses.length} addresses did not fit into the details`,
      );
    if (isNew && error !== undefined) this.events.emit({ type: "addresses:failed", error });
    if (isNew) this.events.emit({ type: "addresses:changed", addresses });
    this.#onChange();
  }
}

function checkServerTls({
  endpoint,
  http,
  tls,
  socketOptions,
}: Pick<DiscoveryServerOptions, "endpoint" | "http" | "tls" | "socketOptions">): void {
  if (tls === undefined) {
    if (isSecure(endpoint) && socketOptions?.tlsCert === undefined)
      throw new InvalidArgumentError("a tls:// endpoint needs the option tls: a certificate and its key");
    return;
  }
  checkCertificate("tls", tls);
  if (!isSecure(endpoint) && http === undefined)
    throw new InvalidArgumentError("the option tls needs a tls:// endpoint, or http");
}

function hostOf(endpoint: string | undefined): string | undefined {
  const host = /^(?:tcp|tls):\/\/\[?([^\]]*)\]?:\d+$/.exec(endpoint ?? "")?.[1];
  return host === "*" ? undefined : host;
}

function portOf(endpoint: string | undefined): number {
  return Number(/:(\d{1,5})$/.exec(endpoint ?? "")?.[1] ?? 0);
}
