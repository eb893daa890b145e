/**
 * ZMQ over WebSocket (45/ZWS): `ws://HOST:PORT/PATH` over tcp, `wss://HOST:PORT/PATH` over tls.
 *
 *   listen  at a port, or at a program's HTTP server, which sockets share by path (Paths)
 *   dial    stream --request, upgrade--> done
 */
import type { X509Certificate } from "node:crypto";
import type { Server as HttpServer, IncomingMessage, ServerResponse } from "node:http";
import type { Server as HttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { domainToASCII } from "node:url";
import { TransportError } from "../../../core/errors.js";
import type { OptionValues } from "../../../core/option-table.js";
import { addressOf, formatHostPort, parseHostPort, parseWs } from "../../../core/schemes/grammar.js";
import { ignore } from "../../../core/waiter.js";
import { transportError } from "../errors.js";
import { HandshakeLimit } from "../handshake-limit.js";
import { chosenMechanism, type Fault, handshakeFault } from "../mechanism/mechanism.js";
import {
  acceptResponse,
  chooseProtocol,
  isOriginAllowed,
  isRebound,
  MAX_HEAD,
  NOT_HTTP,
  NOT_UPGRADED,
  newUpgradeKey,
  nextMaskKey,
  readRequest,
  readResponse,
  refusalAnswer,
  refusalResponse,
  type UpgradeRefusal,
  upgradeHeaders,
} from "../ws/upgrade.js";
import { WsFraming } from "../ws/ws-framing.js";
import { isEncrypted, type Reader } from "./reader.js";
import { KernelStream, peerOf } from "./tcp.js";
import {
  type Acceptor,
  DialFault,
  type Framing,
  type Listener,
  type Stream,
  type Transport,
  type TransportOptions,
} from "./transport.js";

export interface HttpStream extends Stream {
  readonly socket: Duplex;
  readonly reader: Reader;
  framing?: Framing | undefined;
}

/** @param defaultPort of the scheme, omitted in `Host` */
export function webSocketOver(scheme: string, beneath: Transport, defaultPort: number): Transport {
  function beneathOf(endpoint: string): string {
    return `${beneath.scheme}://${parseWs(endpoint).authority}`;
  }

  function acceptorOf(paths: Paths): Acceptor {
    return {
      accepted: (stream) => paths.accept(stream as HttpStream),
      refused: (address, why) => paths.first?.acceptor.refused?.(address, why),
      failed: (error) => paths.first?.acceptor.failed(error),
    };
  }

  function pathsOf(endpoint: string, user: PathUser): Paths {
    const paths = new Paths();
    paths.add(parseWs(endpoint).path, user, endpoint);
    return paths;
  }

  function listenerOf(listener: Listener, paths: Paths, endpoint: string): Listener {
    const { path, suffix } = parseWs(endpoint);
    return {
      endpoint: `${scheme}://${addressOf(listener.endpoint)}${suffix}`,
      async close() {
        paths.remove(path);
        paths.close();
        await listener.close();
      },
    };
  }

  return {
    scheme,
    raw: false,
    assertUsable(use, options, endpoint) {
      beneath.assertUsable?.(use, options, endpoint);
    },

    async listen(endpoint, options, acceptor, server) {
      if (server !== undefined) return attach(server, endpoint, { acceptor, options });
      const paths = pathsOf(endpoint, { acceptor, options });
      try {
        const listener = await beneath.listen(beneathOf(endpoint), options, acceptorOf(paths));
        return listenerOf(listener, paths, endpoint);
      } catch (error) {
        throw bindError(error, endpoint);
      }
    },

    listenSync(endpoint, options, acceptor) {
      const paths = pathsOf(endpoint, { acceptor, options });
      try {
        const listener = beneath.listenSync(beneathOf(endpoint), options, acceptorOf(paths));
        return listenerOf(listener, paths, endpoint);
      } catch (error) {
        throw bindError(error, endpoint);
      }
    },

    dial(endpoint, options, done) {
      const { target } = parseWs(endpoint);
      const inner = beneathOf(endpoint);
      const { host, port } = parseHostPort(inner);
      const named = host.includes(":") ? `[${host}]` : domainToASCII(host);
      const shownHost = port === defaultPort ? named : `${named}:${port}`;
      let cancel = beneath.dial(inner, options, (result) => {
        if (result instanceof Error) done(result);
        else cancel = upgrade(result as HttpStream, { target, host: shownHost }, options, done);
      });
      return () => cancel();
    },
  };
}

/** Names the given endpoint, not the one beneath. */
function bindError(error: unknown, endpoint: string): unknown {
  return error instanceof TransportError ? transportError(error.cause ?? error, "bind", endpoint) : error;
}

class UpgradedStream extends KernelStream {
  get certificate(): X509Certificate | undefined {
    const socket = this.socket as Partial<TLSSocket>;
    return isEncrypted(this.socket) && socket.authorized ? socket.getPeerX509Certificate?.() : undefined;
  }
}

function attach(server: HttpServer | HttpsServer, endpoint: string, user: PathUser): Listener {
  const { path } = parseWs(endpoint);
  const paths = attached.get(server) ?? new ServerPaths(server);
  paths.add(path, user, endpoint);
  return { endpoint: `${endpointOf(server)}${path}`, close: async () => paths.remove(path) };
}

function endpointOf(server: HttpServer | HttpsServer): string {
  // Bun's servers lack the method, and a program's own class may not derive from HttpsServer.
  const { Server: Secure } = process.getBuiltinModule("node:https");
  const scheme = "setSecureContext" in server || server instanceof Secure ? "wss" : "ws";
  const address = server.address();
  if (address === null || typeof address === "string") return `${scheme}://*:*`;
  return formatHostPort(scheme, address.address, address.port);
}

// --- Paths -----------------------------------------------------------------------------------------------------------

/** ms for a refusal to leave before its connection is cut. */
const REFUSAL_TIMEOUT = 1_000;

const NO_UPGRADE: UpgradeRefusal = { status: 426, reason: "the request asks for no upgrade to websocket" };
const UNBOUND: UpgradeRefusal = { status: 404, reason: "nothing is bound to this path" };
const FORBIDDEN: UpgradeRefusal = { status: 403, reason: "this address may not connect" };
const FOREIGN: UpgradeRefusal = { status: 403, reason: "pages of this origin may not connect (wsOrigins)" };
const REBOUND: UpgradeRefusal = {
  status: 403,
  reason:
    "over loopback, Host must be localhost or a loopback address for a page, whose name may have been made to point here; " +
    "list the origin of a page behind a proxy in wsOrigins",
};

/** @param head bytes behind HTTP's head, in the parser's memory */
function handOverUpgraded(
  stream: HttpStream,
  framing: Framing,
  head: Uint8Array,
  give: (stream: Stream) => void,
): void {
  stream.framing = framing;
  stream.reader.giveBack(Buffer.from(head));
  give(stream);
}

/** @returns the answer to a malformed request; `undefined`: the stream failed or ended */
function headRefusal({ code = "" }: NodeJS.ErrnoException): UpgradeRefusal | undefined {
  if (code === "HPE_HEADER_OVERFLOW") return { status: 431, reason: "the request's head is too long" };
  if (!code.startsWith("HPE_") || code === "HPE_INVALID_EOF_STATE") return undefined;
  return { status: 400, reason: "the request is not HTTP/1.1" };
}

interface PathUser {
  readonly acceptor: Acceptor;
  readonly options: TransportOptions;
}

/** A connection before its request, or a refused one until the answer has left. */
interface Pending {
  readonly stream: HttpStream;
  /** `undefined`: the connection is refused. */
  readonly user: PathUser | undefined;
  readonly timer: NodeJS.Timeout | undefined;
  readonly onClose: () => void;
}

/**
 * The server's side of upgrades: the socket of a port, or those of an HTTP server, each at its path.
 *
 *   stream --node:http--> request --> path, origin, subprotocol --101--> the path's acceptor
 *             |                         `- refused: an answer with the reason, then the end
 *             +--late, or too many at once--> the end
 *
 * Timeouts of the server do not work with streams from outside, so handshakeInterval is kept here.
 */
export class Paths {
  readonly #users = new Map<string, PathUser>();
  readonly #pending = new Map<Duplex, Pending>();
  readonly #limit = new HandshakeLimit<Pending>(
    () => optionsNow(this.first)?.maxPendingHandshakes ?? 0,
    (pending, limit) => {
      const { remote } = pending.stream;
      this.#fail(pending, `the upgrade of ${remote} was evicted by a new one: ${limit} were in flight`);
    },
  );
  #http: HttpServer | undefined;

  get size(): number {
    return this.#users.size;
  }

  /** Its options apply, and it gets events, until a connection's path is known. */
  get first(): PathUser | undefined {
    return this.#users.values().next().value;
  }

  has(path: string): boolean {
    return this.#users.has(path);
  }

  /** @throws TransportError `EADDRINUSE` */
  add(path: string, user: PathUser, endpoint: string): void {
    if (this.#users.has(path))
      throw new TransportError("EADDRINUSE", `Cannot bind ${endpoint}: the path is in use`, { endpoint });
    this.#users.set(path, user);
  }

  remove(path: string): void {
    this.#users.delete(path);
  }

  accept(stream: HttpStream): void {
    const user = this.first;
    if (user === undefined) {
      stream.socket.destroy();
      return;
    }
    const { handshakeInterval } = user.options;
    const late = `no request within ${handshakeInterval} ms before its upgrade to WebSocket`;
    this.#add(stream, user, handshakeInterval, late);
    this.#http ??= this.#makeServer();
    this.#http.emit("connection", stream.socket);
    stream.socket.resume();
  }

  upgrade(stream: HttpStream, request: IncomingMessage, head: Buffer): void {
    const asked = readRequest(request);
    const user = "status" in asked ? undefined : this.#users.get(asked.path);
    if ("status" in asked || user === undefined) {
      this.#refuse(stream, "status" in asked ? asked : UNBOUND, this.first);
      return;
    }
    const { options, acceptor } = user;
    if (acceptor.admits?.(stream.address) === false) {
      // The policy counts them itself.
      this.#refuse(stream, FORBIDDEN, undefined);
      return;
    }
    const { name } = chosenMechanism(options);
    const origins = originsOf(options);
    const protocol = isRebound(asked, stream.address, origins)
      ? REBOUND
      : isOriginAllowed(asked, origins)
        ? chooseProtocol(asked.protocols, name)
        : FOREIGN;
    if (typeof protocol !== "string") {
      this.#refuse(stream, protocol, user);
      return;
    }
    stream.socket.write(Buffer.from(acceptResponse(asked.key, protocol), "latin1"));
    handOverUpgraded(stream, new WsFraming(name, protocol), head, (upgraded) => acceptor.accepted(upgraded));
  }

  close(): void {
    for (const pending of [...this.#pending.values()]) this.#end(pending);
  }

  #makeServer(): HttpServer {
    const server = process.getBuiltinModule("node:http").createServer({ maxHeaderSize: MAX_HEAD });
    const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
      const pending = this.#pending.get(socket);
      if (pending?.user === undefined) return;
      this.#forget(pending);
      this.upgrade(pending.stream, request, head);
    };
    server.on("upgrade", onUpgrade).on("connect", onUpgrade);
    server.on("request", (request, response) => {
      const pending = this.#pending.get(request.socket);
      // Only the first of several requests is answered.
      if (pending?.user === undefined) return;
      const asked = readRequest(request);
      this.#refuse(pending.stream, "status" in asked ? asked : NO_UPGRADE, this.first, response);
    });
    server.on("clientError", (error, socket) => {
      const pending = this.#pending.get(socket);
      const refusal = headRefusal(error);
      if (pending === undefined || refusal === undefined) socket.destroy();
      else if (pending.user !== undefined) this.#refuse(pending.stream, refusal, this.first);
    });
    return server;
  }

  /** @param ms until the connection ends; 0: unlimited @param late the reason then */
  #add(stream: HttpStream, user: PathUser | undefined, ms: number, late: string): void {
    const { socket, address } = stream;
    const timer = ms > 0 ? setTimeout(() => this.#fail(pending, late), ms).unref() : undefined;
    const onClose = (): void => {
      const fault = stream.fault?.(true);
      this.#fail(pending, fault ?? "the peer hung up before its upgrade to WebSocket");
    };
    const pending = { stream, user, timer, onClose };
    this.#pending.set(socket, pending);
    socket.on("close", onClose);
    this.#limit.add(pending, address);
  }

  #forget(pending: Pending): void {
    clearTimeout(pending.timer);
    pending.stream.socket.off("close", pending.onClose);
    this.#pending.delete(pending.stream.socket);
    this.#limit.delete(pending);
  }

  #end(pending: Pending): void {
    this.#forget(pending);
    pending.stream.socket.destroy();
  }

  #fail(pending: Pending, why: string | Fault): void {
    const { user, stream } = pending;
    this.#end(pending);
    user?.acceptor.refused?.(stream.address, typeof why === "string" ? handshakeFault(why) : why);
  }

  /** @param user gets an event @param response of a request without an upgrade */
  #refuse(
    stream: HttpStream,
    refusal: UpgradeRefusal,
    user: PathUser | undefined,
    response?: ServerResponse,
  ): void {
    const { socket, address } = stream;
    const before = this.#pending.get(socket);
    if (before !== undefined) this.#forget(before);
    this.#add(stream, undefined, REFUSAL_TIMEOUT, "");
    if (response === undefined) socket.end(refusalResponse(refusal));
    else {
      const { headers, body } = refusalAnswer(refusal);
      response.writeHead(refusal.status, headers).end(body);
    }
    socket.resume();
    const message = `refused the upgrade to WebSocket with status ${refusal.status}: ${refusal.reason}`;
    user?.acceptor.refused?.(address, { kind: "protocol", code: "ERR_ZMTP_UNSPECIFIED", message });
  }
}

const attached = new WeakMap<HttpServer | HttpsServer, ServerPaths>();

/** The paths of a program's server, as long as there are any. */
class ServerPaths extends Paths {
  readonly #server: HttpServer | HttpsServer;

  constructor(server: HttpServer | HttpsServer) {
    super();
    this.#server = server;
    attached.set(server, this);
    server.on("upgrade", this.#serverOnUpgrade);
  }

  override remove(path: string): void {
    super.remove(path);
    if (this.size > 0) return;
    attached.delete(this.#server);
    this.#server.off("upgrade", this.#serverOnUpgrade);
  }

  #serverOnUpgrade = (request: IncomingMessage, socket: Socket, head: Buffer): void => {
    const path = (request.url ?? "").replace(/\?.*$/s, "");
    // An unknown path is left to other listeners.
    if (!this.has(path) && this.#server.listenerCount("upgrade") > 1) return;
    socket.on("error", ignore);
    socket.setTimeout(0);
    socket.setNoDelay(true);
    socket.unref();
    const { remote, address } = peerOf(isEncrypted(socket) ? "wss" : "ws", socket);
    this.upgrade(new UpgradedStream(socket, remote, address), request, head);
  };
}

function optionsNow(user: PathUser | undefined): Readonly<OptionValues> | undefined {
  return user?.options.live ?? user?.options;
}

function originsOf({ wsOrigins }: TransportOptions): readonly string[] | null {
  return wsOrigins === null ? null : wsOrigins.split(/[\s,]+/).filter((each) => each !== "");
}

// --- Client ----------------------------------------------------------------------------------------------------------

interface UpgradeTarget {
  readonly target: string;
  readonly host: string;
}

/**
 * The client's side of an upgrade: a request of `node:http` on a connected stream.
 *
 *   request --101, with an offered subprotocol--> a stream of ZMTP
 *      `- another answer, no answer in time, or no HTTP: a fault, and the connection ends
 */
export function upgrade(
  stream: HttpStream,
  { target, host }: UpgradeTarget,
  options: TransportOptions,
  done: (result: Stream | DialFault) => void,
): () => void {
  const { socket } = stream;
  const { handshakeInterval } = options;
  const { name } = chosenMechanism(options);
  const key = newUpgradeKey();
  let isOver = false;
  let timer: NodeJS.Timeout | undefined;
  const finish = (): boolean => {
    clearTimeout(timer);
    const isFirst = !isOver;
    isOver = true;
    return isFirst;
  };
  const fail = (why: string): void => {
    if (!finish()) return;
    // A failed TLS handshake has a more precise reason.
    const fault = why === HUNG_UP ? stream.fault?.(true) : undefined;
    socket.destroy();
    done(new DialFault(fault ?? handshakeFault(why)));
  };
  if (handshakeInterval > 0)
    timer = setTimeout(
      () => fail(`the server did not answer the upgrade within ${handshakeInterval} ms`),
      handshakeInterval,
    ).unref();
  socket.on("error", ignore);
  const request = process.getBuiltinModule("node:http").request({
    createConnection: () => socket,
    path: target,
    headers: upgradeHeaders(host, key, name),
    maxHeaderSize: MAX_HEAD,
  });
  request.on("error", (error) => fail(reasonOf(error)));
  const onAnswer = (response: Parameters<typeof readResponse>[0]): string | undefined => {
    const agreed = readResponse(response, key, name);
    if ("protocol" in agreed) return agreed.protocol;
    fail(agreed.fault);
    return undefined;
  };
  request.on("response", onAnswer);
  // Without upgrade headers, `node:http` takes 101 as an interim answer.
  request.on("information", (answer) => {
    if (answer.statusCode === 101) fail(NOT_UPGRADED);
  });
  request.on("upgrade", (response, _socket, head) => {
    const protocol = isOver ? undefined : onAnswer(response);
    if (protocol === undefined || !finish()) return;
    handOverUpgraded(stream, new WsFraming(name, protocol, nextMaskKey), head, done);
  });
  request.end();
  return () => {
    finish();
    socket.destroy();
  };
}

const HUNG_UP = "the server hung up before it answered the upgrade to WebSocket";

function reasonOf({ code = "" }: NodeJS.ErrnoException): string {
  if (code === "HPE_HEADER_OVERFLOW") return "the server's answer is too long";
  return code.startsWith("HPE_") && code !== "HPE_INVALID_EOF_STATE" ? NOT_HTTP : HUNG_UP;
}
