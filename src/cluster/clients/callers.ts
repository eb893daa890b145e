/**
 * The ways of a client to a discovery server's list (docs/spec/discovery.md): a ROUTER, and a page over HTTP.
 *
 *   handshake ──gate──> caller ──nodes──> the list        caller ──watch──> watcher ──> the list, after each change
 *
 * A watcher that misses lists gets the newest one when it reads again.
 */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from "node:http";
import type { Server as HttpsServer } from "node:https";
import { invalidArgument } from "../../core/arguments.js";
import { InvalidArgumentError, NotSupportedError } from "../../core/errors.js";
import { boundedServer, type HttpsOptions, serveAt, shut, urlHost } from "../../core/http-server.js";
import type { PeerCredentials } from "../../engine/engine.js";
import { checkOptions, type GivenWith, integer, text } from "../../kit/options.js";
import { readMessages } from "../../kit/sockets.js";
import { listen } from "../../sockets/internal.js";
import { Router, type RouterOptions } from "../../sockets/request-reply.js";
import { CORE } from "../../sockets/socket.js";
import type { ClusterListenerTls } from "../admission/tls.js";
import type { ClusterNamespace } from "../node/namespace.js";
import { type AddressScope, plainIp } from "./addresses.js";
import type { OwnClient } from "./client-registry.js";
import { type NodeDirectory, xmlOf } from "./directory.js";
import { type DiscoveryRequest, isScope, MAX_REQUEST, parseRequest } from "./protocol.js";
import type { CallerCredentials, CallerGate } from "./users.js";

interface Caller {
  readonly routingId: Buffer;
  readonly address: string;
  /** Of a watcher. */
  client: OwnClient | undefined;
  scope: AddressScope;
  /** Of the last list it was sent. */
  revision: number;
}

export interface CallerCounts {
  requests: number;
  invalid: number;
  updates: number;
  missed: number;
}

/** Shared with the page over HTTP. */
interface CallerContext {
  /** Does not serve once it is removed: it has no valid list then. */
  readonly node: ClusterNamespace;
  readonly gate: CallerGate;
  readonly directory: NodeDirectory;
  readonly counts: CallerCounts;
}

export type CallerEvent = {
  readonly type: "client:connected" | "client:disconnected";
  readonly client: OwnClient;
};

function tlsOptionsOf({ cert, key, passphrase, ca }: ClusterListenerTls): RouterOptions {
  return { tlsCert: cert, tlsKey: key, tlsPassphrase: passphrase ?? null, tlsCa: ca ?? null };
}

export interface CallerRouterOptions {
  readonly endpoint: string;
  readonly tls: ClusterListenerTls | undefined;
  readonly maxClients: number;
  readonly socketOptions: RouterOptions | undefined;
}

export class CallerRouter {
  readonly #context: CallerContext;
  readonly #emit: (event: CallerEvent) => void;
  readonly #callers = new Map<string, Caller>();
  #router: Router | undefined;
  /** The next event has its routing id. */
  #joining: PeerCredentials | undefined;
  #catchingUp: NodeJS.Timeout | undefined;

  constructor(context: CallerContext, emit: (event: CallerEvent) => void) {
    this.#context = context;
    this.#emit = emit;
  }

  get size(): number {
    return this.#callers.size;
  }

  get clients(): readonly OwnClient[] {
    return [...this.#callers.values()].flatMap(({ client }) => client ?? []);
  }

  /**
   * @returns the endpoint with its port
   * @throws TransportError, NotSupportedError; close the router then
   */
  async bind({ endpoint, tls, maxClients, socketOptions }: CallerRouterOptions): Promise<string> {
    const router = new Router({
      plainServer: socketOptions?.curveServer !== true,
      maxMessageSize: MAX_REQUEST,
      // Per client. Beyond, updates are skipped and requests not answered.
      sendHighWaterMark: 8,
      sendHighWaterMarkBytes: 65_536,
      // Per client, and bytes of all.
      receiveHighWaterMark: 8,
      maxReceiveQueueBytes: 16_777_216,
      maxConnections: maxClients,
      // Clients come together when a server is back.
      maxPendingHandshakes: 1_024,
      handshakeInterval: 5_000,
      heartbeatInterval: 1_000,
      heartbeatTimeout: 30_000,
      backlog: 1_024,
      ipv6: endpoint.includes("["),
      ...(tls === undefined ? {} : tlsOptionsOf(tls)),
      ...socketOptions,
      authenticate: (peer) => this.#context.gate.allows(credentialsOf(peer)),
    });
    this.#router = router;
    const { policing } = router[CORE].engine;
    if (policing === undefined)
      throw new NotSupportedError("a DiscoveryServer needs the engine zmtp: libzmq does not report peers");
    policing.police({
      admits: () => !this.#context.node.removed,
      invalid: () => {
        this.#context.counts.invalid += 1;
      },
      // Per client and second; more wait.
      rate: { messages: 50 },
      joins: (peer) => {
        // The next event lacks the address.
        this.#joining = peer;
        return true;
      },
    });
    listen(router, (event) => {
      if (event.type === "peer:join" && event.routingId !== undefined) this.#onJoin(event.routingId);
      else if (event.type === "peer:leave" && event.routingId !== undefined) this.#onLeave(event.routingId);
    });
    const bound = await router.bind(endpoint);
    void readMessages(router, (batch) => {
      for (const [routingId, ...frames] of batch)
        if (routingId !== undefined) this.#onMessage(router, routingId, frames);
    });
    this.#catchingUp = setInterval(() => this.push(false), 500);
    this.#catchingUp.unref();
    return bound;
  }

  renew(tls: ClusterListenerTls): void {
    if (this.#router !== undefined) Object.assign(this.#router, tlsOptionsOf(tls));
  }

  /** Sends the list to watchers that lack it. @param isNew otherwise they have missed it already */
  push(isNew: boolean): void {
    const { counts, directory } = this.#context;
    for (const caller of this.#callers.values()) {
      if (caller.client === undefined || caller.revision === directory.revision) continue;
      if (this.#send(caller)) counts.updates += 1;
      else if (isNew) counts.missed += 1;
    }
  }

  /** Makes clients choose another server. */
  disconnect(): void {
    this.#router?.[CORE].engine.policing?.disconnectPeers(() => true);
  }

  async close(linger: number): Promise<void> {
    clearInterval(this.#catchingUp);
    const router = this.#router;
    this.#router = undefined;
    for (const caller of this.#callers.values()) this.#forget(caller);
    await router?.close({ linger });
  }

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
    if (client !== undefined) this.#emit({ type: "client:disconnected", client });
  }

  #onMessage(router: Router, routingId: Buffer, frames: Buffer[]): void {
    const caller = this.#callers.get(routingId.toString("latin1"));
    if (caller === undefined) return;
    this.#context.counts.requests += 1;
    // REQ adds a delimiter before the body, and an id with `correlate`; both are returned.
    const delimiter = frames.findIndex(({ length }) => length === 0);
    const envelope = delimiter < 0 || delimiter === frames.length - 1 ? [] : frames.slice(0, delimiter + 1);
    try {
      const request = parseRequest(frames.slice(envelope.length));
      caller.scope = request.addresses;
      if (request.command === "watch") this.#watch(caller, request, envelope.length > 0);
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      this.#context.counts.invalid += 1;
      const { code, message } = error;
      const refusal = Buffer.from(JSON.stringify({ ok: false, error: { code, message } }));
      router.tryDeliver([routingId, ...envelope, refusal]);
      return;
    }
    // The client asks again after a dropped answer.
    this.#send(caller, envelope);
  }

  #watch(caller: Caller, { id, name }: DiscoveryRequest, delimited: boolean): void {
    if (delimited) throw new InvalidArgumentError("watch needs a DEALER: a REQ cannot receive updates");
    if (caller.client !== undefined) return;
    caller.client = Object.freeze({ id, name, address: caller.address, since: Date.now() });
    this.#emit({ type: "client:connected", client: caller.client });
  }

  /** @returns whether it has room for the list */
  #send(caller: Caller, envelope: readonly Buffer[] = []): boolean {
    const { directory } = this.#context;
    const { routingId, address, scope } = caller;
    const list = directory.list(address, scope);
    const isSent = this.#router?.tryDeliver([routingId, ...envelope, list]) === "sent";
    if (isSent) caller.revision = directory.revision;
    return isSent;
  }
}

function credentialsOf({ username, password, publicKey, address }: PeerCredentials): CallerCredentials {
  return { username, password, publicKey, address: plainIp(address), via: "socket" };
}

// --- HTTP ------------------------------------------------------------------------------------------------------------

const PATH = "/nodes";

const OPTIONS = {
  /** TCP port; 0: any free one. */
  port: integer({ min: 0, max: 65_535 }),
  /** Address or name to listen at. Default `127.0.0.1`. */
  host: text(),
  /** URL path of the list. Default `/nodes`. */
  path: text(),
};

export type DiscoveryHttpOptions = GivenWith<typeof OPTIONS, "port">;

/** A discovery server's list over HTTP (docs/spec/discovery.md, HTTP). */
export class DirectoryPage {
  readonly #context: CallerContext;
  readonly #hasXml: boolean;
  #server: HttpServer | undefined;

  constructor(context: CallerContext, hasXml: boolean) {
    this.#context = context;
    this.#hasXml = hasXml;
  }

  /**
   * @returns the list's URL
   * @throws TransportError `EADDRINUSE` and other system codes
   */
  async open(http: DiscoveryHttpOptions, tls: HttpsOptions | undefined): Promise<string> {
    const { host = "127.0.0.1", path = PATH, port } = http;
    const server = boundedServer(
      (request, response) => {
        if ((request.url ?? "").split("?")[0] === path) void this.#answer(request, response);
        else end(response, 404);
      },
      { connections: 1_024 },
      tls,
    );
    server.on("clientError", ({ code = "" }: NodeJS.ErrnoException, socket) => {
      // Resets and slow requests violate no protocol.
      if (code.startsWith("HPE_") && code !== "HPE_INVALID_EOF_STATE") this.#context.counts.invalid += 1;
      socket.destroy();
    });
    // Its certificate may be renewed from now on.
    this.#server = server;
    const origin = await serveAt(server, "The list of nodes", `${urlHost(host)}:${port}`, { host, port });
    return `${tls === undefined ? origin : origin.replace("http", "https")}${path}`;
  }

  renew(tls: HttpsOptions): void {
    (this.#server as HttpsServer | undefined)?.setSecureContext(tls);
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server !== undefined) await shut(server);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { counts, directory, gate, node } = this.#context;
    counts.requests += 1;
    if (node.removed) {
      end(response, 503);
      return;
    }
    const address = plainIp(request.socket.remoteAddress ?? "");
    const caller = { ...basicOf(request.headers.authorization), address, via: "http" as const };
    if (!(await gate.allows(caller))) {
      response.setHeader("WWW-Authenticate", 'Basic realm="shoal", charset="UTF-8"');
      end(response, 401);
      return;
    }
    const query = new URLSearchParams((request.url ?? "").split("?")[1] ?? "");
    const scope = query.get("addresses") ?? "auto";
    const format = query.get("format") ?? (accepts(request, "application/xml") ? "xml" : "json");
    if (!isScope(scope) || (format !== "json" && format !== "xml")) {
      counts.invalid += 1;
      end(response, 400);
      return;
    }
    response.setHeader("Cache-Control", "no-store");
    if (format === "json") end(response, 200, directory.list(address, scope), "application/json");
    else if (this.#hasXml) end(response, 200, xmlOf(directory.nodes(address, scope)), "application/xml");
    else end(response, 406);
  }
}

export function checkHttp(http: DiscoveryHttpOptions): void {
  const { path = PATH, port } = checkOptions("http", OPTIONS, http);
  if (!/^\/[^?#\s]*$/.test(path)) throw invalidArgument("http.path must begin with a slash", path);
  if (port === undefined) throw new InvalidArgumentError("http needs a port, or 0 for a free one");
}

function accepts(request: IncomingMessage, type: string): boolean {
  const wanted = (request.headers.accept ?? "").split(",").map((each) => each.split(";")[0]?.trim());
  return wanted.includes(type) && !wanted.includes("application/json");
}

function basicOf(header: string | undefined): { username?: string; password?: string } {
  const match = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(header ?? "");
  const code = match?.[1];
  if (code === undefined || code.length > 2_048) return {};
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
