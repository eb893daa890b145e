/** Upgrades that a program's own HTTP server receives (core/schemes/http-server.ts). */
import type { X509Certificate } from "node:crypto";
import type { Server as HttpServer, IncomingMessage } from "node:http";
import type { Server as HttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { formatHostPort } from "../../../core/schemes/host-port.js";
import { readNodeRequest } from "../ws/upgrade.js";
import { KernelStream } from "./kernel-stream.js";
import { Reader } from "./reader.js";
import type { Listener } from "./transport.js";
import { Paths, type PathUser } from "./ws-paths.js";

/** What listens for upgrades of a server. */
interface Attached {
  readonly paths: Paths;
  readonly onUpgrade: (request: IncomingMessage, socket: Socket, head: Buffer) => void;
}

/** The upgraded connection of a server. */
class UpgradedStream extends KernelStream {
  /** Where the server asks for one, and the peer's is right. */
  get certificate(): X509Certificate | undefined {
    const socket = this.socket as Partial<TLSSocket>;
    return isEncrypted(socket) && socket.authorized ? socket.getPeerX509Certificate?.() : undefined;
  }
}

/** Not by its class: Bun gives another one. */
function isEncrypted(socket: object): boolean {
  return (socket as Partial<TLSSocket>).encrypted === true;
}

const attached = new WeakMap<HttpServer | HttpsServer, Attached>();

/** @throws TransportError `EADDRINUSE` */
export function attach(
  server: HttpServer | HttpsServer,
  path: string,
  endpoint: string,
  user: PathUser,
): Listener {
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
      // Other listeners have paths of their own; where there is none, nobody else would answer.
      if (!paths.has(path) && server.listenerCount("upgrade") > 1) return;
      const reader = new Reader();
      socket.on("error", ignore);
      socket.setTimeout(0);
      socket.setNoDelay(true);
      socket.unref();
      reader.follow(socket);
      const scheme = isEncrypted(socket) ? "wss" : "ws";
      const host = socket.remoteAddress ?? "";
      const remote = formatHostPort(scheme, host, socket.remotePort ?? 0);
      const stream = new UpgradedStream(socket, reader, remote, host.replace(/^::ffff:(?=\d+\.)/i, ""));
      // Copied: it may be a view of memory that the server's parser shares.
      paths.upgrade(stream, readNodeRequest(request), Buffer.from(head));
    },
  };
}

/** Where a server listens; `*` while it does not. */
function endpointOf(server: HttpServer | HttpsServer): string {
  // Bun's have no such method; what a program derives from a server of TLS may be no HttpsServer.
  const { Server: Secure } = process.getBuiltinModule("node:https");
  const scheme = "setSecureContext" in server || server instanceof Secure ? "wss" : "ws";
  const address = server.address();
  if (address === null || typeof address === "string") return `${scheme}://*:*`;
  return formatHostPort(scheme, address.address, address.port);
}

function ignore(): void {}
