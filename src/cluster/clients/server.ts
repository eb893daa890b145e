/**
 * Who is there, for programs that are no nodes: a ROUTER that answers and pushes (docs/spec/discovery.md), and an HTTP server.
 *
 *   constructed ──start──> bound; the node's addresses are in its details ──close──> withdrawn
 *
 * directory.ts has the list, gate.ts who may see it, description.ts what a node says about itself; here are sockets and timers.
 * A watcher that does not read costs its queue of `QUEUE_BYTES`: it misses updates, and gets the whole list when it reads again.
 */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from "node:http";
import { describe } from "../../core/arguments.js";
import {
  InvalidArgumentError,
  NotSupportedError,
  type ShoalError,
  TransportError,
} from "../../core/errors.js";
import type { EventNames } from "../../core/event-stream.js";
import { boundedServer, listen as listenHttp, shut } from "../../core/http-server.js";
import type { PeerCredentials } from "../../engine/engine.js";
import { Driver } from "../../patterns/kit/driver.js";
import {
  anything,
  boolean,
  checkKeys,
  checkOptions,
  func,
  integer,
  object,
  text,
} from "../../patterns/kit/options.js";
import { listen, Policing } from "../../sockets/internal.js";
import { Router, type RouterOptions } from "../../sockets/request-reply.js";
import type { ClusterBus } from "../node/bus.js";
import type { ClusterEvent } from "../node/events.js";
import { type AddressProvider, checkAddresses, interfaceAddresses } from "./address-providers.js";
import { type AddressScope, type HostAddress, isLoopback, isPrivate, plainIp } from "./addresses.js";
import {
  type DescribedMember,
  DISCOVERY_PROP,
  encodeDescription,
  MAX_DESCRIPTION,
  xmlOf,
} from "./description.js";
import { NodeDirectory } from "./directory.js";
import { CallerGate, type CallerRefusal } from "./gate.js";
import { type DiscoveryRequest, isScope, MAX_REQUEST, parseRequest } from "./protocol.js";
import type { OwnClient } from "./roster.js";
import {
  type CallerCredentials,
  type DiscoveryAuthenticate,
  type DiscoveryUser,
  UserTable,
} from "./users.js";

/** Connections of callers, unless `maxClients` has another number. */
const MAX_CLIENTS = 16_384;
/** Messages and bytes that wait for one caller; past them a watcher misses updates, and a request is not answered. */
const QUEUE_MESSAGES = 8;
const QUEUE_BYTES = 65_536;
/** Messages of one caller that wait, and of all of them in bytes. */
const REQUEST_MESSAGES = 8;
const REQUEST_BYTES = 16_777_216;
/** Messages a second that a caller may send; more of them wait, and then it does. */
const REQUEST_RATE = 50;
/** ms of a caller's handshake; ms between two signs of life. */
const HANDSHAKE_TIME = 5_000;
const HEARTBEAT_INTERVAL = 1_000;
/** ms after which a caller is disconnected that stands still, or reads nothing, while its system acknowledges. */
const STALL_TIMEOUT = 30_000;
/** Handshakes at once. */
const MAX_HANDSHAKES = 1_024;
/** ms between a change of the cluster and its update: changes in one go are one update. */
const COALESCE = 20;
/** ms between two looks at watchers that missed updates. */
const CATCH_UP_INTERVAL = 500;
/** ms between two looks at the machine's addresses. */
const ADDRESS_INTERVAL = 60_000;
/** ms between two events about refused callers of one address; addresses that are remembered for that. */
const REFUSAL_INTERVAL = 1_000;
const MAX_REFUSALS = 256;
/** HTTP: ms for a request, of an idle connection, for the response; connections. */
const HTTP_LIMITS = {
  requestTime: 5_000,
  idleTime: 10_000,
  responseTime: 10_000,
  checkInterval: 1_000,
  connections: 1_024,
};
/** Bytes of a user's name and password over HTTP, in base64. */
const MAX_AUTHORIZATION = 2_048;

/** Where a discovery server answers over HTTP. */
export type DiscoveryHttpOptions =
  | {
      /** 0: one that is free. */
      readonly port: number;
      /** Default `127.0.0.1`. */
      readonly host?: string | undefined;
      /** Default `/nodes`. */
      readonly path?: string | undefined;
    }
  | {
      /** The program's own server: requests for `path` are answered here, all others as before. */
      readonly server: HttpServer;
      /** Default `/nodes`. */
      readonly path?: string | undefined;
    };

/** Options of a {@link DiscoveryServer}: `users` or `authenticate` is required, and `endpoint` or `http`. */
export interface DiscoveryServerOptions {
  /** Where callers connect: `tcp://*:7000`; port `*`: one that is free. Bound to every address, each of them is shown. */
  readonly endpoint?: string | undefined;
  readonly http?: DiscoveryHttpOptions | undefined;
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
  /** The same, over TLS or CURVE. */
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
  | { readonly type: "client:connected" | "client:disconnected"; readonly client: OwnClient }
  /** At most one a second of each address; `count`: refusals since the one before. */
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

interface Caller {
  readonly routingId: Buffer;
  readonly address: string;
  /** As a watcher. */
  client: OwnClient | undefined;
  scope: AddressScope;
  /** Of the last list that it was sent. */
  revision: number;
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
 * Answers programs that are no nodes who is there, pushes what changes, and knows which clients are connected: on a node that was
 * started, `await server.start()`.
 */
export class DiscoveryServer extends Driver<DiscoveryServerEvent, DiscoveryServerStats> {
  readonly #node: ClusterBus;
  readonly #settings: ReturnType<typeof checkOptions<typeof OPTIONS>>;
  readonly #gate: CallerGate;
  readonly #users: UserTable | undefined;
  readonly #directory = new NodeDirectory();
  readonly #callers = new Map<string, Caller>();
  /** The callers that watch. */
  readonly #watchers = new Set<Caller>();
  readonly #refusals = new Map<string, { at: number; count: number }>();
  readonly #counts = { requests: 0, invalid: 0, refused: 0, updates: 0, missed: 0 };
  readonly #stopped = new AbortController();
  #router: Router | undefined;
  #policing: Policing | undefined;
  #http: HttpServer | undefined;
  #detach: (() => void) | undefined;
  #starting: Promise<void> | undefined;
  #endpoint: string | undefined;
  #url: string | undefined;
  #joining: PeerCredentials | undefined;
  #coalescing: NodeJS.Timeout | undefined;
  #catchingUp: NodeJS.Timeout | undefined;
  #looking: NodeJS.Timeout | undefined;
  #addresses: readonly HostAddress[] = [];
  #description: string | undefined;

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
    if (endpoint !== undefined && !/^tcp:\/\/.+:(\d{1,5}|\*)$/.test(endpoint))
      throw new InvalidArgumentError(`Option endpoint is tcp://HOST:PORT; got ${describe(endpoint)}`);
    if (http !== undefined) checkHttp(http);
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
    return [...this.#watchers].map(({ client }) => client as OwnClient);
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
      this.#catchingUp = setInterval(() => this.#catchUp(), CATCH_UP_INTERVAL);
      this.#catchingUp.unref();
    });
    return this.#starting;
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
      clients: this.#watchers.size,
      ...this.#counts,
    };
  }

  protected async onClose(linger: number): Promise<void> {
    this.#stopped.abort();
    await this.#starting?.catch(() => undefined);
    clearInterval(this.#looking);
    clearInterval(this.#catchingUp);
    clearTimeout(this.#coalescing);
    for (const type of CHANGES) this.#node.events.off(type, this.#onChange);
    if (!this.#node.closed) {
      this.#node.serveDiscovery(undefined);
      if (this.#description !== undefined) this.#node.props({ [DISCOVERY_PROP]: undefined });
    }
    await this.#unbind(linger);
  }

  // --- Sockets -------------------------------------------------------------------------------------------------------

  async #bind(): Promise<void> {
    const { endpoint, http, maxClients, socketOptions } = this.#settings;
    if (endpoint !== undefined) {
      const router = new Router({
        plainServer: socketOptions?.curveServer !== true,
        maxMessageSize: MAX_REQUEST,
        sendHighWaterMark: QUEUE_MESSAGES,
        sendHighWaterMarkBytes: QUEUE_BYTES,
        receiveHighWaterMark: REQUEST_MESSAGES,
        maxReceiveQueueBytes: REQUEST_BYTES,
        maxConnections: maxClients,
        maxPendingHandshakes: MAX_HANDSHAKES,
        handshakeInterval: HANDSHAKE_TIME,
        heartbeatInterval: HEARTBEAT_INTERVAL,
        heartbeatStallTimeout: STALL_TIMEOUT,
        backlog: MAX_HANDSHAKES,
        ipv6: endpoint.includes("["),
        ...socketOptions,
        authenticate: (peer) => this.#gate.allows(credentialsOf(peer), () => performance.now()),
      });
      this.#router = router;
      const policing = new Policing(router);
      this.#policing = policing;
      if (!policing.perPeer)
        throw new NotSupportedError(
          "a DiscoveryServer needs an engine that knows its peers: zmtp, not libzmq",
        );
      policing.change(
        {
          admits: (address) => this.#admits(address),
          rate: { messages: REQUEST_RATE },
          joins: (peer) => {
            // The event of the same peer comes next, with its routing id and without its address.
            this.#joining = peer;
            return true;
          },
        },
        undefined,
      );
      listen(router, (event) => {
        if (event.type === "peer:join" && event.routingId !== undefined) this.#onJoin(event.routingId);
        else if (event.type === "peer:leave" && event.routingId !== undefined) this.#onLeave(event.routingId);
      });
      this.#endpoint = await router.bind(endpoint);
      void this.#serve(router);
    }
    if (http !== undefined) await this.#bindHttp(http);
  }

  async #bindHttp(http: DiscoveryHttpOptions): Promise<void> {
    const { path = "/nodes" } = http;
    if ("server" in http) {
      this.#detach = attach(http.server, path, (request, response) => void this.#onHttp(request, response));
      return;
    }
    const server = boundedServer((request, response) => {
      if (pathOf(request) === path) void this.#onHttp(request, response);
      else end(response, 404);
    }, HTTP_LIMITS);
    server.on("connection", (socket) => {
      if (!this.#admits(plainIp(socket.remoteAddress ?? ""))) socket.destroy();
    });
    server.on("clientError", (_, socket) => socket.destroy());
    const { host = "127.0.0.1", port } = http;
    try {
      await listenHttp(server, host, port);
    } catch (error) {
      const { code = "EINVAL", message } = error as NodeJS.ErrnoException;
      throw new TransportError(code as ShoalError["code"], message, { cause: error as Error });
    }
    this.#http = server;
    const { port: bound } = server.address() as { port: number };
    this.#url = `http://${host.includes(":") ? `[${host}]` : host}:${bound}${path}`;
  }

  async #unbind(linger: number): Promise<void> {
    this.#detach?.();
    this.#detach = undefined;
    const [router, http] = [this.#router, this.#http];
    this.#router = undefined;
    this.#policing = undefined;
    this.#http = undefined;
    for (const caller of this.#callers.values()) this.#forget(caller);
    await Promise.all([router?.close({ linger }), http && shut(http)]);
  }

  #admits(address: string): boolean {
    return !this.#node.removed && this.#gate.admits(performance.now(), address);
  }

  // --- Callers over sockets ------------------------------------------------------------------------------------------

  #onJoin(routingId: Buffer): void {
    const address = plainIp(this.#joining?.address ?? "");
    this.#joining = undefined;
    const key = routingId.toString("latin1");
    const before = this.#callers.get(key);
    if (before !== undefined) this.#forget(before);
    this.#callers.set(key, {
      routingId,
      address,
      client: undefined,
      scope: "auto",
      revision: 0,
    });
  }

  #onLeave(routingId: Buffer): void {
    const caller = this.#callers.get(routingId.toString("latin1"));
    if (caller !== undefined) this.#forget(caller);
  }

  #forget(caller: Caller): void {
    this.#callers.delete(caller.routingId.toString("latin1"));
    const { client } = caller;
    if (!this.#watchers.delete(caller) || client === undefined) return;
    this.events.emit({ type: "client:disconnected", client });
  }

  async #serve(router: Router): Promise<void> {
    try {
      for await (const [routingId, ...frames] of router as AsyncIterable<Buffer[]>)
        if (routingId !== undefined) this.#onMessage(router, routingId, frames);
    } catch {
      // The socket closed.
    }
  }

  #onMessage(router: Router, routingId: Buffer, frames: Buffer[]): void {
    const caller = this.#callers.get(routingId.toString("latin1"));
    if (caller === undefined) return; // It is gone already.
    this.#counts.requests += 1;
    // REQ puts a delimiter before the body, and with `correlate` an id before that: both go back as they came.
    const delimiter = frames.findIndex(({ length }) => length === 0);
    const envelope = delimiter < 0 || delimiter === frames.length - 1 ? [] : frames.slice(0, delimiter + 1);
    let reply: Buffer;
    try {
      const request = parseRequest(frames.slice(envelope.length));
      caller.scope = request.addresses;
      if (request.command === "watch") this.#watch(caller, request, envelope.length > 0);
      reply = this.#directory.reply(caller.address, request.addresses);
    } catch (error) {
      this.#counts.invalid += 1;
      const { code, message } = error as ShoalError;
      reply = Buffer.from(JSON.stringify({ ok: false, error: { code, message } }));
    }
    // One that is not sent is as lost as one of a connection that ends: the caller asks again.
    if (router.tryDeliver([routingId, ...envelope, reply]) === "sent")
      caller.revision = this.#directory.revision;
  }

  #watch(caller: Caller, { id, name }: DiscoveryRequest, delimited: boolean): void {
    if (delimited) throw new InvalidArgumentError("watch is for a DEALER: a REQ takes no updates");
    if (caller.client !== undefined) return;
    caller.client = Object.freeze({ id, name, address: caller.address, since: Date.now() });
    this.#watchers.add(caller);
    this.events.emit({ type: "client:connected", client: caller.client });
  }

  #push(caller: Caller): void {
    const router = this.#router;
    const { revision } = this.#directory;
    if (router === undefined || caller.revision === revision) return;
    const update =
      caller.revision === revision - 1
        ? this.#directory.change(caller.address, caller.scope)
        : this.#directory.whole(caller.address, caller.scope);
    if (router.tryDeliver([caller.routingId, update]) === "sent") {
      caller.revision = revision;
      this.#counts.updates += 1;
    } else this.#counts.missed += 1;
  }

  #catchUp(): void {
    const { revision } = this.#directory;
    for (const caller of this.#watchers) if (caller.revision !== revision) this.#push(caller);
  }

  // --- HTTP ----------------------------------------------------------------------------------------------------------

  async #onHttp(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#counts.requests += 1;
    const address = plainIp(request.socket.remoteAddress ?? "");
    const caller = { ...basicOf(request.headers.authorization), address, via: "http" as const };
    if (!(await this.#gate.allows(caller, () => performance.now()))) {
      response.setHeader("WWW-Authenticate", 'Basic realm="shoal", charset="UTF-8"');
      end(response, 401);
      return;
    }
    const query = new URLSearchParams((request.url ?? "").split("?")[1] ?? "");
    const scope = query.get("addresses") ?? "auto";
    const format = query.get("format") ?? (accepts(request, "application/xml") ? "xml" : "json");
    if (!isScope(scope) || (format !== "json" && format !== "xml")) {
      this.#counts.invalid += 1;
      end(response, 400);
      return;
    }
    response.setHeader("Cache-Control", "no-store");
    if (format === "json") end(response, 200, this.#directory.reply(address, scope), "application/json");
    else if (this.#settings.xml)
      end(response, 200, xmlOf(this.#directory.nodes(address, scope)), "application/xml");
    else end(response, 406);
  }

  #onRefused(caller: CallerCredentials, reason: CallerRefusal, error: unknown): void {
    this.#counts.refused += 1;
    const now = performance.now();
    const { address, via } = caller;
    const known = this.#refusals.get(address) ?? { at: Number.NEGATIVE_INFINITY, count: 0 };
    known.count += 1;
    this.#refusals.set(address, known);
    if (now - known.at >= REFUSAL_INTERVAL) {
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
    if (this.#node.removed) this.#policing?.disconnect(() => true);
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
    for (const caller of this.#watchers) this.#push(caller);
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
      httpPort: portOf(this.#url?.replace(/^http:(.*:\d+)\/.*$/, "$1")),
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

/** @throws InvalidArgumentError `EINVAL` */
function checkHttp(http: DiscoveryHttpOptions): void {
  checkKeys("http", http, "server" in http ? ["server", "path"] : ["port", "host", "path"]);
  const { path = "/nodes" } = http;
  if (typeof path !== "string" || !/^\/[^?#\s]*$/.test(path))
    throw new InvalidArgumentError(`http.path begins with a slash; got ${describe(path)}`);
  if ("server" in http) {
    if (typeof http.server?.on !== "function")
      throw new InvalidArgumentError(`http.server is a server of node:http; got ${describe(http.server)}`);
    return;
  }
  const { port, host } = http;
  if (!Number.isSafeInteger(port) || port < 0 || port > 65_535)
    throw new InvalidArgumentError(`http.port is a port from 0 to 65,535; got ${describe(port)}`);
  if (host !== undefined && (typeof host !== "string" || host === ""))
    throw new InvalidArgumentError(`http.host is a text that is not empty; got ${describe(host)}`);
}

function credentialsOf({ username, password, publicKey, address }: PeerCredentials): CallerCredentials {
  return { username, password, publicKey, address: plainIp(address), via: "socket" };
}

/** The host of an endpoint; `undefined` for every address. */
function hostOf(endpoint: string | undefined): string | undefined {
  const host = /^tcp:\/\/\[?([^\]]*)\]?:\d+$/.exec(endpoint ?? "")?.[1];
  return host === "*" ? undefined : host;
}

function portOf(endpoint: string | undefined): number {
  return Number(/:(\d{1,5})$/.exec(endpoint ?? "")?.[1] ?? 0);
}

/** Of a machine's addresses those that a host is bound to: one, or all of them for a wildcard. */
function boundTo(all: readonly HostAddress[], host: string): readonly HostAddress[] {
  if (host === "0.0.0.0" || host === "::" || host === "*") {
    const fits = host === "0.0.0.0" ? all.filter(({ ip }) => !ip.includes(":")) : all;
    // A machine without a network serves itself.
    return fits.length > 0 ? fits : [{ ip: "127.0.0.1", interface: "lo", prefix: 8 }];
  }
  const known = all.find(({ ip }) => ip === host);
  if (known !== undefined) return [known];
  const isLocal = isLoopback(host);
  return [{ ip: host, interface: isLocal ? "lo" : "", prefix: isLocal && isPrivate(host) ? 8 : 0 }];
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "").split("?")[0] ?? "";
}

function accepts(request: IncomingMessage, type: string): boolean {
  const wanted = (request.headers.accept ?? "").split(",").map((each) => each.split(";")[0]?.trim());
  return wanted.includes(type) && !wanted.includes("application/json");
}

function basicOf(header: string | undefined): { username?: string; password?: string } {
  const match = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(header ?? "");
  const code = match?.[1];
  if (code === undefined || code.length > MAX_AUTHORIZATION) return {};
  const text = Buffer.from(code, "base64").toString("utf8");
  const colon = text.indexOf(":");
  return colon < 1 ? {} : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

function end(response: ServerResponse, status: number, body: string | Buffer = "", type?: string): void {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  response.writeHead(status, {
    "Content-Length": bytes.length,
    ...(type === undefined ? {} : { "Content-Type": `${type}; charset=utf-8` }),
  });
  response.end(response.req.method === "HEAD" ? undefined : bytes);
}

/** Answers one path of a server, and leaves everything else to the listeners that it has and gets. */
function attach(
  server: HttpServer,
  path: string,
  listener: (request: IncomingMessage, response: ServerResponse) => void,
): () => void {
  const { emit } = server;
  let isActive = true;
  const own = function (this: HttpServer, name: string | symbol, ...values: unknown[]): boolean {
    const [request, response] = values as [IncomingMessage, ServerResponse];
    if (name !== "request" || !isActive || pathOf(request) !== path)
      return Reflect.apply(emit, this, [name, ...values]) as boolean;
    if (request.method === "GET" || request.method === "HEAD") listener(request, response);
    else {
      response.setHeader("Allow", "GET, HEAD");
      response.setHeader("Connection", "close");
      end(response, 405);
    }
    return true;
  };
  server.emit = own as typeof server.emit;
  return () => {
    isActive = false;
    if (server.emit === (own as typeof server.emit)) server.emit = emit;
  };
}
