/**
 * ZMQ over WebSocket (45/ZWS): `ws://HOST:PORT/PATH` over tcp, `wss://HOST:PORT/PATH` over tls.
 *
 *   listen  at a port, or at a program's HTTP server, which sockets share by path (ws-paths.ts)
 *   dial    stream --request, upgrade--> done
 */
import type { X509Certificate } from "node:crypto";
import type { Server as HttpServer, IncomingMessage } from "node:http";
import type { Server as HttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { domainToASCII } from "node:url";
import { TransportError } from "../../../core/errors.js";
import { addressOf, formatHostPort, parseHostPort, parseWs } from "../../../core/schemes/grammar.js";
import { ignore } from "../../../core/waiter.js";
import { transportError } from "../errors.js";
import { chosenMechanism } from "../mechanism/mechanism.js";
import {
  MAX_HEAD,
  NOT_HTTP,
  NOT_UPGRADED,
  newUpgradeKey,
  nextMaskKey,
  readResponse,
  upgradeHeaders,
} from "../ws/upgrade.js";
import { WsFraming } from "../ws/ws-framing.js";
import { isEncrypted, Reader } from "./reader.js";
import { KernelStream } from "./server.js";
import { peerOf } from "./tcp.js";
import {
  type Acceptor,
  DialFault,
  type Listener,
  type Stream,
  type Transport,
  type TransportOptions,
} from "./transport.js";
import { type HttpStream, handOverUpgraded, Paths, type PathUser, upgradeFault } from "./ws-paths.js";

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
    assertUsable(use, options) {
      beneath.assertUsable?.(use, options);
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

interface Attached {
  readonly paths: Paths;
  readonly onUpgrade: (request: IncomingMessage, socket: Socket, head: Buffer) => void;
}

class UpgradedStream extends KernelStream {
  get certificate(): X509Certificate | undefined {
    const socket = this.socket as Partial<TLSSocket>;
    return isEncrypted(this.socket) && socket.authorized ? socket.getPeerX509Certificate?.() : undefined;
  }
}

const attached = new WeakMap<HttpServer | HttpsServer, Attached>();

function attach(server: HttpServer | HttpsServer, endpoint: string, user: PathUser): Listener {
  const { path } = parseWs(endpoint);
  const known = attached.get(server);
  const { paths, onUpgrade } = known ?? begin(server);
  paths.add(path, user, endpoint);
  if (known === undefined) {
    attached.set(server, { paths, onUpgrade });
    server.on("upgrade", onUpgrade);
  }
  return {
    endpoint: `${endpointOf(server)}${path}`,
    async close() {
      paths.remove(path);
      if (paths.size > 0) return;
      server.off("upgrade", onUpgrade);
      attached.delete(server);
    },
  };
}

function begin(server: HttpServer | HttpsServer): Attached {
  const paths = new Paths();
  return {
    paths,
    onUpgrade(request, socket, head) {
      const path = (request.url ?? "").replace(/\?.*$/s, "");
      // An unknown path is left to other listeners.
      if (!paths.has(path) && server.listenerCount("upgrade") > 1) return;
      socket.on("error", ignore);
      socket.setTimeout(0);
      socket.setNoDelay(true);
      socket.unref();
      const scheme = isEncrypted(socket) ? "wss" : "ws";
      const { remote, address } = peerOf(scheme, socket);
      const stream = new UpgradedStream(socket, new Reader(), remote, address);
      paths.upgrade(stream, request, head);
    },
  };
}

function endpointOf(server: HttpServer | HttpsServer): string {
  // Bun's servers lack the method, and a program's own class may not derive from HttpsServer.
  const { Server: Secure } = process.getBuiltinModule("node:https");
  const scheme = "setSecureContext" in server || server instanceof Secure ? "wss" : "ws";
  const address = server.address();
  if (address === null || typeof address === "string") return `${scheme}://*:*`;
  return formatHostPort(scheme, address.address, address.port);
}

export interface UpgradeTarget {
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
    done(new DialFault(fault ?? upgradeFault(why)));
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
