/**
 * ZMQ over WebSocket (45/ZWS): `ws://HOST:PORT/PATH` over tcp, `wss://HOST:PORT/PATH` over tls.
 *
 *   listen  at a port, or at a program's HTTP server, which sockets share by path (ws-paths.ts)
 *   dial    stream --request, upgrade--> done (ws-client.ts)
 */

import type { X509Certificate } from "node:crypto";
import type { Server as HttpServer, IncomingMessage } from "node:http";
import type { Server as HttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { TransportError } from "../../../core/errors.js";
import { formatHostPort, parseHostPort } from "../../../core/schemes/host-port.js";
import { addressOf } from "../../../core/schemes/scheme.js";
import { parseWs } from "../../../core/schemes/ws.js";
import { ignore } from "../../../core/waiter.js";
import { transportError } from "../errors.js";
import { isEncrypted, Reader } from "./reader.js";
import { KernelStream } from "./server.js";
import { peerOf } from "./tcp.js";
import type { Acceptor, Listener, Transport } from "./transport.js";
import { upgrade } from "./ws-client.js";
import { type HttpStream, Paths, type PathUser } from "./ws-paths.js";

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
      const named = host.includes(":") ? `[${host}]` : host;
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
