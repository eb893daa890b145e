/** Upgrades at a program's own HTTP server (core/schemes/http-server.ts). */
import type { X509Certificate } from "node:crypto";
import type { Server as HttpServer, IncomingMessage } from "node:http";
import type { Server as HttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { ignore } from "../../../core/ignore.js";
import { formatHostPort } from "../../../core/schemes/host-port.js";
import { KernelStream } from "./kernel-stream.js";
import { Reader } from "./reader.js";
import { plainAddress } from "./server.js";
import { isEncrypted } from "./socket-read.js";
import type { Listener } from "./transport.js";
import { Paths, type PathUser } from "./ws-paths.js";

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
      // An unknown path is left to other listeners.
      if (!paths.has(path) && server.listenerCount("upgrade") > 1) return;
      socket.on("error", ignore);
      socket.setTimeout(0);
      socket.setNoDelay(true);
      socket.unref();
      const scheme = isEncrypted(socket) ? "wss" : "ws";
      const host = socket.remoteAddress ?? "";
      const remote = formatHostPort(scheme, host, socket.remotePort ?? 0);
      const stream = new UpgradedStream(socket, new Reader(), remote, plainAddress(host));
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
