/**
 * ZMQ over WebSocket (45/ZWS): `ws://HOST:PORT/PATH` over tcp, `wss://HOST:PORT/PATH` over tls.
 *
 *   listen  at a port, or at a program's HTTP server, which sockets share by path
 *   dial    stream --request, upgrade--> done
 */
import type { X509Certificate } from "node:crypto";
import type { Server as HttpServer, IncomingMessage } from "node:http";
import type { Server as HttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { domainToASCII } from "node:url";
import { TransportError } from "../../../core/errors.js";
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
  NO_UPGRADE,
  NOT_HTTP,
  NOT_UPGRADED,
  newUpgradeKey,
  nextMaskKey,
  readRequest,
  readResponse,
  refusalResponse,
  type UpgradeRefusal,
  upgradeHeaders,
} from "../ws/upgrade.js";
import { WsFraming } from "../ws/ws-framing.js";
import { isEncrypted } from "./reader.js";
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
  framing?: Framing | undefined;
  remote: string;
}

/** @param defaultPort of the scheme, omitted in `Host` */
export function webSocketOver(scheme: string, beneath: Transport, defaultPort: number): Transport {
  function beneathOf(endpoint: string): string {
    return `${beneath.scheme}://${parseWs(endpoint).authority}`;
  }

  function listenerOf(listener: Listener, upgrades: PortUpgrades, endpoint: string): Listener {
    return {
      endpoint: `${scheme}://${addressOf(listener.endpoint)}${parseWs(endpoint).suffix}`,
      async close() {
        upgrades.close();
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
      const upgrades = new PortUpgrades(parseWs(endpoint).path, { acceptor, options });
      try {
        const listener = await beneath.listen(beneathOf(endpoint), options, upgrades.acceptor);
        return listenerOf(listener, upgrades, endpoint);
      } catch (error) {
        throw bindError(error, endpoint);
      }
    },

    listenSync(endpoint, options, acceptor) {
      const upgrades = new PortUpgrades(parseWs(endpoint).path, { acceptor, options });
      try {
        const listener = beneath.listenSync(beneathOf(endpoint), options, upgrades.acceptor);
        return listenerOf(listener, upgrades, endpoint);
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

// --- Server ----------------------------------------------------------------------------------------------------------

/** ms for a refusal to leave before its connection is cut. */
const REFUSAL_TIMEOUT = 1_000;

const UNBOUND: UpgradeRefusal = { status: 404, reason: "nothing is bound to this path" };
const FORBIDDEN: UpgradeRefusal = { status: 403, reason: "this address may not connect" };
const FOREIGN: UpgradeRefusal = { status: 403, reason: "pages of this origin may not connect (wsOrigins)" };
const REBOUND: UpgradeRefusal = {
  status: 403,
  reason:
    "over loopback, Host must be localhost or a loopback address for a page, whose name may have been made to point here; " +
    "list the origin of a page behind a proxy in wsOrigins",
};

interface PathUser {
  readonly acceptor: Acceptor;
  readonly options: TransportOptions;
}

/** The first gets the events of requests without a known path. */
type PathUsers = ReadonlyMap<string, PathUser>;

function answer(stream: HttpStream, request: IncomingMessage, head: Buffer, users: PathUsers): void {
  const asked = readRequest(request);
  const user = "status" in asked ? undefined : users.get(asked.path);
  if ("status" in asked || user === undefined) {
    refuse(stream, "status" in asked ? asked : UNBOUND, users.values().next().value);
    return;
  }
  const { options, acceptor } = user;
  if (acceptor.admits?.(stream.address) === false) {
    // The policy counts them itself.
    refuse(stream, FORBIDDEN, undefined);
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
    refuse(stream, protocol, user);
    return;
  }
  stream.socket.write(Buffer.from(acceptResponse(asked.key, protocol), "latin1"));
  handOverUpgraded(stream, new WsFraming(name, protocol), head, (upgraded) => acceptor.accepted(upgraded));
}

/** Answers with the reason, and ends the connection. @param user gets an event */
function refuse(stream: HttpStream, refusal: UpgradeRefusal, user: PathUser | undefined): void {
  const { socket, address } = stream;
  socket.end(refusalResponse(refusal), () => socket.destroy());
  const timer = setTimeout(() => socket.destroy(), REFUSAL_TIMEOUT).unref();
  socket.once("close", () => clearTimeout(timer));
  socket.resume();
  const message = `refused the upgrade to WebSocket with status ${refusal.status}: ${refusal.reason}`;
  user?.acceptor.refused?.(address, { kind: "protocol", code: "ERR_ZMTP_UNSPECIFIED", message });
}

/** @param head bytes behind HTTP's head, in the parser's memory */
function handOverUpgraded(
  stream: HttpStream,
  framing: Framing,
  head: Uint8Array,
  give: (stream: Stream) => void,
): void {
  stream.framing = framing;
  stream.remote = stream.remote.replace(/^tcp:/, "ws:").replace(/^tls:/, "wss:");
  if (head.length > 0) stream.socket.unshift(Buffer.from(head));
  give(stream);
}

function originsOf({ wsOrigins }: TransportOptions): readonly string[] | null {
  return wsOrigins === null ? null : wsOrigins.split(/[\s,]+/).filter((each) => each !== "");
}

/** A connection before its request. */
interface Pending {
  readonly stream: HttpStream;
  readonly timer: NodeJS.Timeout | undefined;
  readonly onClose: () => void;
}

/**
 * Upgrades at a socket's port.
 *
 *   stream --node:http--> request --> path, origin, subprotocol --101--> the socket's acceptor
 *             |                         `- refused: an answer with the reason, then the end
 *             +--late, or too many at once--> the end
 *
 * Timeouts of the server do not work with streams from outside, so handshakeInterval is kept here.
 */
export class PortUpgrades {
  /** Of the transport beneath. */
  readonly acceptor: Acceptor;
  readonly #user: PathUser;
  readonly #users: PathUsers;
  readonly #pending = new Map<Duplex, Pending>();
  readonly #limit: HandshakeLimit<Pending>;
  #http: HttpServer | undefined;

  constructor(path: string, user: PathUser) {
    this.#user = user;
    this.#users = new Map([[path, user]]);
    this.acceptor = {
      accepted: (stream) => this.#accept(stream as HttpStream),
      refused: (address, why) => user.acceptor.refused?.(address, why),
      failed: (error) => user.acceptor.failed(error),
    };
    this.#limit = new HandshakeLimit(
      () => (user.options.live ?? user.options).maxPendingHandshakes,
      (pending, limit) => {
        const { remote } = pending.stream;
        this.#fail(pending, `the upgrade of ${remote} was evicted by a new one: ${limit} were in flight`);
      },
    );
  }

  close(): void {
    for (const pending of [...this.#pending.values()]) this.#end(pending);
  }

  #accept(stream: HttpStream): void {
    const { socket, address } = stream;
    const { handshakeInterval: ms } = this.#user.options;
    const late = `no request within ${ms} ms before its upgrade to WebSocket`;
    const timer = ms > 0 ? setTimeout(() => this.#fail(pending, late), ms).unref() : undefined;
    const onClose = (): void =>
      this.#fail(pending, stream.fault?.(true) ?? "the peer hung up before its upgrade to WebSocket");
    const pending = { stream, timer, onClose };
    this.#pending.set(socket, pending);
    socket.on("close", onClose);
    this.#limit.add(pending, address);
    this.#http ??= this.#makeServer();
    this.#http.emit("connection", socket);
    socket.resume();
  }

  #makeServer(): HttpServer {
    const server = process.getBuiltinModule("node:http").createServer({ maxHeaderSize: MAX_HEAD });
    const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
      const stream = this.#take(socket);
      if (stream !== undefined) answer(stream, request, head, this.#users);
    };
    server.on("upgrade", onUpgrade).on("connect", onUpgrade);
    server.on("request", (request) => {
      // Only the first of several requests is answered.
      const stream = this.#take(request.socket);
      const asked = readRequest(request);
      if (stream !== undefined) refuse(stream, "status" in asked ? asked : NO_UPGRADE, this.#user);
    });
    server.on("clientError", (error, socket) => {
      const refusal = headRefusal(error);
      if (refusal === undefined) {
        socket.destroy();
        return;
      }
      const stream = this.#take(socket);
      if (stream !== undefined) refuse(stream, refusal, this.#user);
    });
    return server;
  }

  /** `undefined`: an answered one. */
  #take(socket: Duplex): HttpStream | undefined {
    const pending = this.#pending.get(socket);
    if (pending === undefined) return undefined;
    clearTimeout(pending.timer);
    socket.off("close", pending.onClose);
    this.#pending.delete(socket);
    this.#limit.delete(pending);
    return pending.stream;
  }

  #end({ stream }: Pending): void {
    this.#take(stream.socket);
    stream.socket.destroy();
  }

  #fail(pending: Pending, why: string | Fault): void {
    this.#end(pending);
    const fault = typeof why === "string" ? handshakeFault(why) : why;
    this.#user.acceptor.refused?.(pending.stream.address, fault);
  }
}

/** @returns the answer to a malformed request; `undefined`: the stream failed or ended */
function headRefusal({ code = "" }: NodeJS.ErrnoException): UpgradeRefusal | undefined {
  if (code === "HPE_HEADER_OVERFLOW") return { status: 431, reason: "the request's head is too long" };
  if (!code.startsWith("HPE_") || code === "HPE_INVALID_EOF_STATE") return undefined;
  return { status: 400, reason: "the request is not HTTP/1.1" };
}

// --- A program's server ----------------------------------------------------------------------------------------------

class UpgradedStream extends KernelStream {
  get certificate(): X509Certificate | undefined {
    const socket = this.socket as Partial<TLSSocket>;
    return isEncrypted(this.socket) && socket.authorized ? socket.getPeerX509Certificate?.() : undefined;
  }
}

interface Attached {
  readonly users: Map<string, PathUser>;
  readonly onUpgrade: (request: IncomingMessage, socket: Socket, head: Buffer) => void;
}

/** Servers with bound paths. */
const attached = new WeakMap<HttpServer | HttpsServer, Attached>();

/** @throws TransportError `EADDRINUSE` */
function attach(server: HttpServer | HttpsServer, endpoint: string, user: PathUser): Listener {
  const { path } = parseWs(endpoint);
  const { users, onUpgrade } = attached.get(server) ?? attachTo(server);
  if (users.has(path))
    throw new TransportError("EADDRINUSE", `Cannot bind ${endpoint}: the path is in use`, { endpoint });
  users.set(path, user);
  return {
    endpoint: `${endpointOf(server)}${path}`,
    async close() {
      users.delete(path);
      if (users.size > 0) return;
      attached.delete(server);
      server.off("upgrade", onUpgrade);
    },
  };
}

function attachTo(server: HttpServer | HttpsServer): Attached {
  const users = new Map<string, PathUser>();
  const onUpgrade = (request: IncomingMessage, socket: Socket, head: Buffer): void => {
    const path = (request.url ?? "").replace(/\?.*$/s, "");
    // An unknown path is left to other listeners.
    if (!users.has(path) && server.listenerCount("upgrade") > 1) return;
    socket.on("error", ignore);
    socket.setTimeout(0);
    socket.setNoDelay(true);
    socket.unref();
    const { remote, address } = peerOf(isEncrypted(socket) ? "wss" : "ws", socket);
    answer(new UpgradedStream(socket, remote, address), request, head, users);
  };
  server.on("upgrade", onUpgrade);
  const made = { users, onUpgrade };
  attached.set(server, made);
  return made;
}

function endpointOf(server: HttpServer | HttpsServer): string {
  // Bun's servers lack the method, and a program's own class may not derive from HttpsServer.
  const { Server: Secure } = process.getBuiltinModule("node:https");
  const scheme = "setSecureContext" in server || server instanceof Secure ? "wss" : "ws";
  const address = server.address();
  if (address === null || typeof address === "string") return `${scheme}://*:*`;
  return formatHostPort(scheme, address.address, address.port);
}

// --- Client ----------------------------------------------------------------------------------------------------------

/**
 * The client's side of an upgrade: a request of `node:http` on a connected stream.
 *
 *   request --101, with an offered subprotocol--> a stream of ZMTP
 *      `- another answer, no answer in time, or no HTTP: a fault, and the connection ends
 */
export function upgrade(
  stream: HttpStream,
  { target, host }: { readonly target: string; readonly host: string },
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
  request.on("information", ({ statusCode }) => {
    if (statusCode === 101) fail(NOT_UPGRADED);
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
