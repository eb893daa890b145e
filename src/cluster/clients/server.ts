/**
 * Who is there, for programs that are not nodes (docs/spec/discovery.md): a ROUTER that answers and pushes, and a page over HTTP.
 *
 *   constructed ──start──> bound; the node's addresses are in its details ──close──> withdrawn
 *
 * callers.ts has the ROUTER, http.ts the page, directory.ts the list, gate.ts who may see it, description.ts what a node says about
 * itself; here is what joins them to the node: its members make the list, its addresses go into its details.
 */
import { describe } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import type { EventNames } from "../../core/event-stream.js";
import { Driver } from "../../patterns/kit/driver.js";
import { anything, boolean, checkOptions, func, integer, object, text } from "../../patterns/kit/options.js";
import type { RouterOptions } from "../../sockets/request-reply.js";
import { type ClusterListenerTls, checkCertificate } from "../admission/tls.js";
import type { ClusterBus } from "../node/bus.js";
import type { ClusterEvent } from "../node/events.js";
import { type AddressProvider, checkAddresses, interfaceAddresses } from "./address-providers.js";
import { boundTo, type HostAddress } from "./addresses.js";
import { CallerRouter } from "./callers.js";
import { type DescribedMember, DISCOVERY_PROP, encodeDescription, MAX_DESCRIPTION } from "./description.js";
import { NodeDirectory } from "./directory.js";
import { CallerGate, type CallerRefusal } from "./gate.js";
import { checkHttp, DirectoryPage, type DiscoveryHttpOptions } from "./http.js";
import type { OwnClient } from "./roster.js";
import {
  type CallerCredentials,
  type DiscoveryAuthenticate,
  type DiscoveryUser,
  UserTable,
} from "./users.js";

/** Connections of callers, unless `maxClients` has another number. */
const MAX_CLIENTS = 16_384;
/** ms between a change of the cluster and its update: changes in one go are one update. */
const COALESCE = 20;
/** ms between two looks at the machine's addresses. */
const ADDRESS_INTERVAL = 60_000;
/** ms between two events about refused callers of one address; addresses that are remembered for that. */
const REFUSAL_INTERVAL = 1_000;
const MAX_REFUSALS = 256;
/** The same events in one interval, of all addresses: an attacker may have many. */
const MAX_REFUSAL_EVENTS = 32;
/** Options of a {@link DiscoveryServer}: `users` or `authenticate` is required, and `endpoint` or `http`. */
export interface DiscoveryServerOptions {
  /** Where callers connect: `tcp://*:7000`, or `tls://*:7000`; port `*`: one that is free. Bound to every address, each of them is shown. */
  readonly endpoint?: string | undefined;
  readonly http?: DiscoveryHttpOptions | undefined;
  /** The certificate of an endpoint `tls://`, and of `http`, which is HTTPS then; with `ca`, callers need one that it signed. */
  readonly tls?: ClusterListenerTls | undefined;
  /** Names, each with a password (with the permission `dynamicDiscovery`) or a {@link DiscoveryUser}; 10,000 at most. */
  readonly users?: Readonly<Record<string, string | DiscoveryUser>> | undefined;
  /** Permissions of each role. */
  readonly roles?: Readonly<Record<string, readonly string[]>> | undefined;
  /** In place of `users`. */
  readonly authenticate?: DiscoveryAuthenticate | undefined;
  /** Whether `Accept: application/xml` and `?format=xml` get the list as XML. Default `false`. */
  readonly xml?: boolean | undefined;
  /** Port at which this node serves clients, shown with each address. */
  readonly port?: number | undefined;
  /** The same over TLS. A port that asks for CURVE is a `port`: it is reached by `tcp://`. */
  readonly securePort?: number | undefined;
  /** Address that `port` and `securePort` are bound to. Default: the host of `endpoint`; `0.0.0.0` is every interface. */
  readonly host?: string | undefined;
  /** Where this machine's addresses come from. Default: its interfaces. */
  readonly addresses?: AddressProvider | undefined;
  /** ms between two looks at them. Default 60,000. */
  readonly addressInterval?: number | undefined;
  /** Connections of callers. Default 16,384. */
  readonly maxClients?: number | undefined;
  /** CURVE keys of the server (`curveServer: true`) and other options of its ROUTER. */
  readonly socketOptions?: RouterOptions | undefined;
}

const OPTIONS = {
  endpoint: text(),
  http: object<DiscoveryHttpOptions>(),
  tls: object<ClusterListenerTls>(),
  users: object<Readonly<Record<string, string | DiscoveryUser>>>(),
  roles: object<Readonly<Record<string, readonly string[]>>>(),
  authenticate: func<DiscoveryAuthenticate>(),
  xml: boolean(false),
  port: integer({ default: 0, max: 65_535 }),
  securePort: integer({ default: 0, max: 65_535 }),
  host: text(),
  addresses: func<AddressProvider>(),
  addressInterval: integer({ default: ADDRESS_INTERVAL }),
  maxClients: integer({ default: MAX_CLIENTS, max: 1_000_000 }),
  socketOptions: anything<RouterOptions>(),
};

/** What happens in a discovery server. */
export type DiscoveryServerEvent =
  | { readonly type: "client:connected"; readonly client: OwnClient }
  | { readonly type: "client:disconnected"; readonly client: OwnClient }
  /** At most one a second of each address, and 32 of all; `count`: refusals of the address since the one before. */
  | {
      readonly type: "caller:refused";
      readonly address: string;
      readonly via: "socket" | "http";
      readonly reason: CallerRefusal;
      readonly count: number;
      readonly error?: unknown;
    }
  | { readonly type: "addresses:changed"; readonly addresses: readonly HostAddress[] }
  /** The provider failed, or some addresses did not fit into the details; what was known before stands. */
  | { readonly type: "addresses:failed"; readonly error: unknown };

const EVENTS: EventNames<DiscoveryServerEvent> = {
  "client:connected": true,
  "client:disconnected": true,
  "caller:refused": true,
  "addresses:changed": true,
  "addresses:failed": true,
};

/** Statistics of a discovery server. */
export interface DiscoveryServerStats {
  /** Nodes in its list; callers that are connected; of them, those that get updates. */
  readonly nodes: number;
  readonly callers: number;
  readonly clients: number;
  /** Over sockets and HTTP. */
  readonly requests: number;
  readonly invalid: number;
  readonly refused: number;
  /** Sent to watchers; and missed by those that did not read, which get the whole list later. */
  readonly updates: number;
  readonly missed: number;
}

/** Events of the node after which the list may be another. */
const CHANGES: readonly ClusterEvent["type"][] = [
  "joined",
  "lost",
  "back",
  "restarted",
  "left",
  "tags",
  "draining",
  "removed",
  "admitted",
  "cleaned",
  "named",
  "conflict",
];

/**
 * Answers programs that are not nodes, pushes what changes, and knows which clients are connected: on a node that was
 * started, `await server.start()`.
 *
 * @example
 * ```ts
 * import { ClusterNode, DiscoveryClient, DiscoveryServer } from "shoal/cluster";
 *
 * const node = new ClusterNode({ name: "north", group: `server-${process.pid}` });
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
  readonly #node: ClusterBus;
  readonly #settings: ReturnType<typeof checkOptions<typeof OPTIONS>>;
  readonly #gate: CallerGate;
  readonly #users: UserTable | undefined;
  readonly #directory = new NodeDirectory();
  readonly #callers: CallerRouter;
  readonly #page: DirectoryPage;
  readonly #refusals = new Map<string, { at: number; count: number }>();
  /** When the interval of events about refusals began, and how many there were in it. */
  #refusalsSince = Number.NEGATIVE_INFINITY;
  #refusalEvents = 0;
  readonly #counts = { requests: 0, invalid: 0, refused: 0, updates: 0, missed: 0 };
  readonly #stopped = new AbortController();
  #starting: Promise<void> | undefined;
  #endpoint: string | undefined;
  #url: string | undefined;
  #coalescing: NodeJS.Timeout | undefined;
  #looking: NodeJS.Timeout | undefined;
  #addresses: readonly HostAddress[] = [];
  #description: string | undefined;
  /** The certificate in place of the first one. */
  #renewed: ClusterListenerTls | undefined;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value, and without `users` and `authenticate` */
  constructor(node: ClusterBus, options: DiscoveryServerOptions) {
    super("DiscoveryServer", EVENTS);
    const settings = checkOptions("DiscoveryServer", OPTIONS, options);
    const { users, roles, authenticate, endpoint, http } = settings;
    if (typeof (node as Partial<ClusterBus> | undefined)?.serveDiscovery !== "function")
      throw new InvalidArgumentError(`a DiscoveryServer is of a ClusterNode; got ${describe(node)}`);
    if ((users === undefined) === (authenticate === undefined))
      throw new InvalidArgumentError("a DiscoveryServer has users or authenticate, one of the two");
    if (endpoint === undefined && http === undefined)
      throw new InvalidArgumentError("a DiscoveryServer has an endpoint, http or both");
    if (endpoint !== undefined && !/^(?:tcp|tls):\/\/.+:(\d{1,5}|\*)$/.test(endpoint))
      throw new InvalidArgumentError(
        `Option endpoint is tcp://HOST:PORT or tls://HOST:PORT; got ${describe(endpoint)}`,
      );
    if (http !== undefined) checkHttp(http);
    checkServerTls(settings);
    this.#node = node;
    this.#settings = settings;
    this.#users = users && new UserTable(users, roles);
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
      throw new InvalidArgumentError("over CURVE a user has a publicKey; passwords are for PLAIN and HTTP");
    this.#gate = new CallerGate({ users: this.#users, authenticate }, (caller, reason, error) =>
      this.#onRefused(caller, reason, error),
    );
    const admits = (address: string): boolean => this.#admits(address);
    const invalid = (address: string): void => this.#gate.onInvalid(performance.now(), address);
    const isServing = (): boolean => !this.#node.removed;
    const allows = (caller: CallerCredentials): Promise<boolean> =>
      this.#gate.allows(caller, () => performance.now());
    this.#callers = new CallerRouter(this.#directory, this.#counts, {
      admits,
      invalid,
      allows,
      isServing,
      connected: (client) => this.events.emit({ type: "client:connected", client }),
      disconnected: (client) => this.events.emit({ type: "client:disconnected", client }),
    });
    this.#page = new DirectoryPage(this.#directory, this.#counts, settings.xml, {
      // A removed node answers over HTTP, with a status that says so.
      admits: (address) => this.#gate.admits(performance.now(), address),
      invalid,
      allows,
      isServing,
    });
  }

  /** Where callers connect, once it was started; `undefined` without the option. */
  get endpoint(): string | undefined {
    return this.#endpoint;
  }

  /** Where the list is over HTTP, once it was started; `undefined` without the option, and on the program's own server. */
  get url(): string | undefined {
    return this.#url;
  }

  /** The clients that are connected here; those of all nodes: `node.clients()`. */
  get clients(): readonly OwnClient[] {
    return this.#callers.clients;
  }

  /**
   * Binds, and puts this node's addresses into its details. Starting twice is starting once.
   *
   * @throws TransportError `EADDRINUSE` and the system's other codes; InvalidStateError `EFSM` for a node that was not started;
   *   InvalidArgumentError `EINVAL`; ClosedError `EBADF`
   */
  start(): Promise<void> {
    this.#starting ??= this.run(async () => {
      this.assertOpen();
      void this.#node.self; // Throws before anything is opened.
      try {
        await this.#bind();
        await this.#lookUp();
      } catch (error) {
        this.#starting = undefined;
        await this.#unbind(0);
        throw error;
      }
      if (this.closed) {
        await this.#unbind(0);
        this.assertOpen();
      }
      for (const type of CHANGES) this.#node.events.on(type, this.#onChange);
      this.#node.serveDiscovery({
        clients: () => this.clients,
        changed: this.#onChange,
        nodeOnClose: (linger) => this.close({ linger }),
      });
      this.#publish();
      this.#looking = setInterval(() => void this.#lookUp(), this.#settings.addressInterval);
      this.#looking.unref();
    });
    return this.#starting;
  }

  /**
   * Renews the certificate of `tls`: connections from now on have this one.
   *
   * @throws InvalidArgumentError `EINVAL` for what is not PEM or does not fit together, and for a server that was made without `tls`
   */
  setTls(tls: ClusterListenerTls): void {
    if (this.#settings.tls === undefined)
      throw new InvalidArgumentError("a DiscoveryServer that began without tls gets none");
    checkCertificate("tls", tls);
    if (isSecure(this.#settings.endpoint)) this.#callers.renew(tls);
    this.#page.renew(tls);
    this.#renewed = tls;
  }

  /** Looks at this machine's addresses now. */
  async refresh(): Promise<void> {
    this.assertOpen();
    await this.#lookUp();
  }

  stats(): DiscoveryServerStats {
    return {
      nodes: this.#directory.size,
      callers: this.#callers.size,
      clients: this.#callers.watching,
      ...this.#counts,
    };
  }

  protected async onClose(linger: number): Promise<void> {
    this.#stopped.abort();
    await this.#starting?.catch(() => undefined); // Its caller has the error.
    clearInterval(this.#looking);
    clearTimeout(this.#coalescing);
    for (const type of CHANGES) this.#node.events.off(type, this.#onChange);
    if (!this.#node.closed) {
      this.#node.serveDiscovery(undefined);
      if (this.#description !== undefined) this.#node.props({ [DISCOVERY_PROP]: undefined });
    }
    await this.#unbind(linger);
  }

  async #bind(): Promise<void> {
    const { endpoint, http, maxClients, socketOptions } = this.#settings;
    const tls = this.#renewed ?? this.#settings.tls;
    if (endpoint !== undefined)
      this.#endpoint = await this.#callers.bind({
        endpoint,
        tls: isSecure(endpoint) ? tls : undefined,
        maxClients,
        socketOptions,
      });
    if (http !== undefined) this.#url = await this.#page.open(http, tls);
  }

  async #unbind(linger: number): Promise<void> {
    await Promise.all([this.#callers.close(linger), this.#page.close()]);
  }

  #admits(address: string): boolean {
    return !this.#node.removed && this.#gate.admits(performance.now(), address);
  }

  #onRefused(caller: CallerCredentials, reason: CallerRefusal, error: unknown): void {
    this.#counts.refused += 1;
    const now = performance.now();
    const { address, via } = caller;
    const known = this.#refusals.get(address) ?? { at: Number.NEGATIVE_INFINITY, count: 0 };
    known.count += 1;
    this.#refusals.set(address, known);
    if (now - this.#refusalsSince >= REFUSAL_INTERVAL) {
      this.#refusalsSince = now;
      this.#refusalEvents = 0;
    }
    if (now - known.at >= REFUSAL_INTERVAL && this.#refusalEvents < MAX_REFUSAL_EVENTS) {
      this.#refusalEvents += 1;
      const { count } = known;
      this.#refusals.delete(address);
      this.#refusals.set(address, { at: now, count: 0 });
      const event = { type: "caller:refused", address, via, reason, count } as const;
      this.events.emit(error === undefined ? event : { ...event, error });
    }
    for (const oldest of this.#refusals.keys()) {
      if (this.#refusals.size <= MAX_REFUSALS) break;
      this.#refusals.delete(oldest);
    }
  }

  // --- The cluster ---------------------------------------------------------------------------------------------------

  #onChange = (): void => {
    this.#coalescing ??= setTimeout(() => {
      this.#coalescing = undefined;
      this.#publish();
    }, COALESCE);
  };

  /** The list as it is now, to all watchers. */
  #publish(): void {
    if (this.#node.closed) return;
    // Its list is that of a node which takes no part: its callers go elsewhere, and none is let in until it is admitted.
    if (this.#node.removed) this.#callers.disconnect();
    const members: DescribedMember[] = this.#node
      .members()
      .filter(({ zre }) => zre !== true)
      .map(({ id, name, tags, props, endpoints, isDraining, local }) => ({
        id,
        name,
        tags,
        props,
        endpoints,
        isDraining,
        local,
      }));
    if (!this.#directory.update(members)) return;
    this.#callers.push();
  }

  /** This machine's addresses into the node's details. */
  async #lookUp(): Promise<void> {
    const { addresses = interfaceAddresses() } = this.#settings;
    const host = this.#settings.host ?? hostOf(this.#endpoint) ?? "0.0.0.0";
    let found: readonly HostAddress[];
    try {
      found = checkAddresses(await addresses(this.#stopped.signal));
    } catch (error) {
      if (this.closed) return;
      this.events.emit({ type: "addresses:failed", error });
      // What was known before stands; at the start, the interfaces are better than nothing.
      if (this.#addresses.length > 0) return;
      found = checkAddresses(await interfaceAddresses()(this.#stopped.signal));
    }
    if (this.closed) return;
    this.#describe(boundTo(found, host));
  }

  #describe(addresses: readonly HostAddress[]): void {
    const { port, securePort } = this.#settings;
    const isNew = JSON.stringify(addresses) !== JSON.stringify(this.#addresses);
    this.#addresses = addresses;
    const description = {
      discoveryPort: portOf(this.#endpoint),
      discoveryTls: isSecure(this.#endpoint),
      httpPort: portOf(this.#url?.replace(/^https?:(.*:\d+)\/.*$/, "$1")),
      port,
      securePort,
      addresses,
    };
    let left = 0;
    for (let most = MAX_DESCRIPTION; ; ) {
      const encoded = encodeDescription(description, most);
      left = encoded.left;
      if (encoded.text === this.#description) break;
      try {
        this.#node.props({ [DISCOVERY_PROP]: encoded.text });
        this.#description = encoded.text;
        break;
      } catch (error) {
        // Tags, props and endpoints of the program have the room: with fewer addresses.
        most = Buffer.byteLength(encoded.text) - 1;
        if (left < addresses.length) continue;
        this.events.emit({ type: "addresses:failed", error });
        break;
      }
    }
    if (left > 0)
      this.events.emit({
        type: "addresses:failed",
        error: new InvalidArgumentError(
          `${left} of ${addresses.length} addresses did not fit into the details`,
        ),
      });
    if (isNew) this.events.emit({ type: "addresses:changed", addresses });
    this.#onChange();
  }
}

function isSecure(endpoint: string | undefined): boolean {
  return endpoint?.startsWith("tls://") === true;
}

/** @throws InvalidArgumentError `EINVAL` */
function checkServerTls({
  endpoint,
  http,
  tls,
  socketOptions,
}: Pick<DiscoveryServerOptions, "endpoint" | "http" | "tls" | "socketOptions">): void {
  if (tls === undefined) {
    if (isSecure(endpoint) && socketOptions?.tlsCert === undefined)
      throw new InvalidArgumentError("an endpoint tls:// needs the option tls: a certificate and its key");
    return;
  }
  checkCertificate("tls", tls);
  if (!isSecure(endpoint) && (http === undefined || "server" in http))
    throw new InvalidArgumentError("the option tls is for an endpoint tls://, and for http with a port");
}

/** The host of an endpoint; `undefined` for every address. */
function hostOf(endpoint: string | undefined): string | undefined {
  const host = /^(?:tcp|tls):\/\/\[?([^\]]*)\]?:\d+$/.exec(endpoint ?? "")?.[1];
  return host === "*" ? undefined : host;
}

function portOf(endpoint: string | undefined): number {
  return Number(/:(\d{1,5})$/.exec(endpoint ?? "")?.[1] ?? 0);
}
