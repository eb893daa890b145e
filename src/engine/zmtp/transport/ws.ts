/**
 * ZMQ over WebSocket (45/ZWS): `ws://HOST:PORT/PATH` over tcp, `wss://HOST:PORT/PATH` over tls.
 *
 *   listen  at a port shared by path with sockets of this thread (ws-paths.ts), or at a program's HTTP server
 *           (`attach`)
 *   dial    stream --request, upgrade--> done (ws-client.ts)
 */

import type { X509Certificate } from "node:crypto";
import type { Server as HttpServer, IncomingMessage } from "node:http";
import type { Server as HttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { TransportError } from "../../../core/errors.js";
import { ignore } from "../../../core/ignore.js";
import { isSecret, OPTIONS, type OptionName, type OptionValues } from "../../../core/option-table.js";
import { formatHostPort, parseHostPort } from "../../../core/schemes/host-port.js";
import { serverOf } from "../../../core/schemes/http-server.js";
import { addressOf } from "../../../core/schemes/scheme.js";
import { parseWs } from "../../../core/schemes/ws.js";
import { renewedOptions } from "../options.js";
import { bindAddress } from "./address.js";
import { KernelStream } from "./kernel-stream.js";
import { Reader } from "./reader.js";
import { plainAddress } from "./server.js";
import { isEncrypted } from "./socket-read.js";
import type { Acceptor, Listener, Transport, TransportOptions } from "./transport.js";
import { upgrade } from "./ws-client.js";
import { type HttpStream, Paths, type PathUser } from "./ws-paths.js";

interface Port {
  readonly listener: Listener;
  readonly paths: Paths;
}

/** @param defaultPort of the scheme, omitted in `Host` */
export function webSocketOver(scheme: string, beneath: Transport, defaultPort: number): Transport {
  /** A promise while binding. */
  const ports = new Map<string, Port | Promise<unknown>>();

  function beneathOf(endpoint: string, ipv6: boolean): { key: string; port: number; target: string } {
    const { authority } = parseWs(endpoint);
    const inner = `${beneath.scheme}://${authority}`;
    const { host, port } = parseHostPort(inner);
    return {
      key: formatHostPort(beneath.scheme, bindAddress(host, ipv6, endpoint), port),
      port,
      target: inner,
    };
  }

  function acceptorOf(paths: Paths): Acceptor {
    return {
      accepted: (stream) => paths.accept(stream as HttpStream),
      refused: (address, why) => paths.first?.acceptor.refused?.(address, why),
      failed: (error) => paths.first?.acceptor.failed(error),
    };
  }

  /** With current certificates of the oldest socket at the port. */
  function optionsOf(paths: Paths, options: TransportOptions): TransportOptions {
    return renewedOptions(options, () => liveOf(paths.first?.options ?? options));
  }

  function join(port: Port, key: string, endpoint: string, user: PathUser): Listener {
    const { first } = port.paths;
    if (first !== undefined && !haveSameCertificates(liveOf(first.options), liveOf(user.options)))
      throw new TransportError(
        "EADDRINUSE",
        `Cannot bind ${endpoint}: the sockets of a port have the same certificates`,
        { endpoint },
      );
    const { path, suffix } = parseWs(endpoint);
    port.paths.add(path, user, endpoint);
    return {
      endpoint: `${scheme}://${addressOf(key)}${suffix}`,
      async close() {
        port.paths.remove(path);
        if (port.paths.size > 0) return;
        ports.delete(key);
        port.paths.close();
        await port.listener.close();
      },
    };
  }

  function open(listener: Listener, paths: Paths, endpoint: string, user: PathUser): Listener {
    const key = listener.endpoint;
    const port: Port = { listener, paths };
    ports.set(key, port);
    return join(port, key, endpoint, user);
  }

  return {
    scheme,
    raw: false,
    assertUsable(use, options) {
      beneath.assertUsable?.(use, options);
    },

    async listen(endpoint, options, acceptor) {
      const own = serverOf(endpoint);
      if (own !== undefined) return attach(own.server, own.path, endpoint, { acceptor, options });
      const { key, port, target } = beneathOf(endpoint, options.ipv6);
      const user = { acceptor, options };
      for (let known = ports.get(key); port !== 0 && known !== undefined; known = ports.get(key)) {
        if (!(known instanceof Promise)) return join(known, key, endpoint, user);
        await known;
      }
      const paths = new Paths();
      const opening = beneath.listen(target, optionsOf(paths, options), acceptorOf(paths));
      if (port === 0) return open(await opening, paths, endpoint, user);
      ports.set(
        key,
        opening.catch(() => undefined), // This call throws the error.
      );
      try {
        const listener = await opening;
        ports.delete(key);
        return open(listener, paths, endpoint, user);
      } catch (error) {
        ports.delete(key);
        throw error;
      }
    },

    listenSync(endpoint, options, acceptor) {
      const { key, port, target } = beneathOf(endpoint, options.ipv6);
      const user = { acceptor, options };
      const known = port === 0 ? undefined : ports.get(key);
      if (known !== undefined && !(known instanceof Promise)) return join(known, key, endpoint, user);
      const paths = new Paths();
      const listener = beneath.listenSync(target, optionsOf(paths, options), acceptorOf(paths));
      return open(listener, paths, endpoint, user);
    },

    dial(endpoint, options, done) {
      const { authority, target } = parseWs(endpoint);
      const inner = `${beneath.scheme}://${authority}`;
      const { host, port } = parseHostPort(inner);
      const named = host.includes(":") ? `[${host}]` : host;
      const shownHost = port === defaultPort ? named : `${named}:${port}`;
      let cancel = beneath.dial(inner, options, (result) => {
        if (result instanceof Error) done(result);
        else cancel = upgrade(result as HttpStream, { scheme, target, host: shownHost }, options, done);
      });
      return () => cancel();
    },
  };
}

function liveOf(options: TransportOptions): Readonly<OptionValues> {
  return options.live ?? options;
}

const CERTIFICATE_OPTIONS = (Object.keys(OPTIONS) as OptionName[]).filter(
  (name) => name.startsWith("tls") && !isSecret(name),
);

/** Keys follow from certificates. */
function haveSameCertificates(one: Readonly<OptionValues>, other: Readonly<OptionValues>): boolean {
  return CERTIFICATE_OPTIONS.every((name) => one[name] === other[name]);
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

function attach(server: HttpServer | HttpsServer, path: string, endpoint: string, user: PathUser): Listener {
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
