/** TCP over IPv4 and IPv6, and what other transports over `node:net` share: addresses to bind, servers, and streams. */
import { type LookupAddress, lookup } from "node:dns";
import { existsSync } from "node:fs";
import {
  type AddressInfo,
  connect,
  createServer,
  isIP,
  type ListenOptions,
  type Server,
  type Socket,
  type TcpNetConnectOpts,
} from "node:net";
import { type NetworkInterfaceInfo, type NetworkInterfaceInfoIPv6, networkInterfaces } from "node:os";
import { dirname } from "node:path";
import type { Duplex } from "node:stream";
import { quoted } from "../../../core/arguments.js";
import { NotSupportedError, TransportError } from "../../../core/errors.js";
import { watchFileLimit } from "../../../core/file-system.js";
import { bindNow, interceptAccepts, pendingOf } from "../../../core/node-internals.js";
import { formatHostPort, parseHostPort } from "../../../core/schemes/grammar.js";
import { RunningTimeout } from "../../../core/timers.js";
import { ignore } from "../../../core/waiter.js";
import { transportError } from "../errors.js";
import { Reader } from "./reader.js";
import type { Acceptor, Framing, Listener, Stream, Transport, TransportOptions } from "./transport.js";

/** Bun and Deno hand bytes to the system later. */
const IS_PROMPT = process.versions.bun === undefined && process.versions.deno === undefined;

/**
 * @param host `*`, an address, or an interface's name
 * @throws TransportError `ENODEV` for an unknown interface
 */
export function bindAddress(host: string, ipv6: boolean, endpoint: string): string {
  if (host === "*") return ipv6 ? "::" : "0.0.0.0";
  if (isIP(host) !== 0 || host === "localhost")
    return host === "localhost" ? (ipv6 ? "::1" : "127.0.0.1") : host;
  const addresses = networkInterfaces()[host];
  const family = ipv6 ? "IPv6" : "IPv4";
  const own = addresses?.filter((each) => each.family === family);
  // A link-local address needs its interface (RFC 4007).
  const wanted = own?.find((each) => !isOfLink(each)) ?? own?.[0] ?? addresses?.[0];
  if (wanted === undefined) {
    throw new TransportError("ENODEV", `Cannot bind ${endpoint}: there is no interface ${quoted(host)}`, {
      endpoint,
    });
  }
  if (!isOfLink(wanted)) return wanted.address;
  return `${wanted.address}%${process.platform === "win32" ? wanted.scopeid : host}`;
}

function isOfLink(info: NetworkInterfaceInfo): info is NetworkInterfaceInfoIPv6 {
  return info.family === "IPv6" && info.scopeid > 0;
}

/** IPv4-mapped IPv6 addresses become IPv4. */
function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, "");
}

/** @param onAccepted gets sockets of refused addresses, too, where Node.js hides its handles */
export function makeServer(
  endpoint: string,
  acceptor: Acceptor,
  onAccepted: (accepted: Socket) => void,
): Server {
  const server = createServer({ noDelay: true }, (accepted) => {
    accepted.on("error", ignore);
    accepted.unref();
    onAccepted(accepted);
  });
  // A refused address may connect thousands of times a second.
  if (acceptor.admits !== undefined)
    interceptAccepts(server, (address) => acceptor.admits?.(plainAddress(address)) !== false);
  server.on("error", (error) => {
    if (server.listening) acceptor.failed(transportError(error, "accept at", endpoint));
  });
  server.on("listening", () => {
    server.once("close", watchFileLimit());
  });
  return server;
}

export function listen(server: Server, options: ListenOptions, endpoint: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(bindError(error, endpoint, options.path));
    server.once("error", failed);
    server.listen({ ...options, exclusive: true }, () => {
      server.off("error", failed);
      server.unref();
      resolve();
    });
  });
}

/**
 * @param address an IP address, or a path with port and family -1
 * @throws TransportError; NotSupportedError if Node.js lacks the call
 */
export function listenSync(
  server: Server,
  address: string,
  port: number,
  family: number,
  backlog: number,
  endpoint: string,
): void {
  server.on("error", ignore); // Emitted on the next turn, too late for the caller.
  if (process.versions.bun !== undefined) {
    // Bun binds within the call.
    server.listen(
      family === -1 ? { path: address, backlog } : { host: address, port, backlog, exclusive: true },
    );
  } else if (!bindNow(server, address, port, family, backlog))
    throw new NotSupportedError("This version of Node.js cannot bind synchronously: use bind");
  if (!server.listening) {
    const cause = Object.assign(new Error("the address is in use, or not one of this machine"), {
      code: "EADDRINUSE",
    });
    throw transportError(cause, "bind", endpoint);
  }
  server.unref();
}

export function closeServer(server: Server): Promise<void> {
  // The system's listener closes within the call.
  server.close();
  return new Promise((resolve) => setImmediate(resolve));
}

/** Node.js reports EACCES for a missing folder. */
function bindError(error: Error, endpoint: string, path: string | undefined): Error {
  const code = (error as NodeJS.ErrnoException).code;
  if (code !== "EACCES" || path === undefined || existsSync(dirname(path)))
    return transportError(error, "bind", endpoint);
  return transportError(
    Object.assign(new Error("there is no such folder"), { code: "ENOENT" }),
    "bind",
    endpoint,
  );
}

/** A socket of the system: tcp, ipc, and what is made of them. */
export class KernelStream<S extends Socket = Socket> implements Stream {
  readonly prompt: boolean = IS_PROMPT;
  /** Set by an upgrade to WebSocket. */
  framing: Framing | undefined = undefined;
  remote: string;
  readonly socket: S;
  readonly reader: Reader;
  readonly address: string;

  constructor(socket: S, remote: string, address: string, reader = new Reader()) {
    this.socket = socket;
    this.remote = remote;
    this.address = address;
    this.reader = reader;
  }

  pending(): number {
    return pendingOf(this.socket);
  }
}

/** A stream that is no socket of the system. */
export class DuplexStream implements Stream {
  readonly socket: Duplex;
  readonly reader = new Reader();
  readonly remote: string;
  readonly address: string;

  constructor(stream: Duplex, remote: string, address: string) {
    this.socket = stream;
    this.remote = remote;
    this.address = address;
    stream.on("error", ignore);
  }

  pending(): number {
    return this.socket.writableLength;
  }
}

type MakeServer = (endpoint: string, options: TransportOptions, acceptor: Acceptor) => Server;

interface Attempt {
  readonly socket: Socket;
  stream(): Stream;
}

type MakeAttempt = (target: TcpNetConnectOpts, endpoint: string, options: TransportOptions) => Attempt;

/** A transport over TCP. */
export function overTcp(scheme: string, serverFor: MakeServer, attempt: MakeAttempt): Transport {
  return {
    scheme,

    async listen(endpoint, options, acceptor) {
      const { address: host, port } = placeOf(endpoint, options);
      const server = serverFor(endpoint, options, acceptor);
      await listen(server, { host, port, backlog: options.backlog, ipv6Only: false }, endpoint);
      return listenerOf(scheme, server);
    },

    listenSync(endpoint, options, acceptor) {
      const { address, port } = placeOf(endpoint, options);
      const server = serverFor(endpoint, options, acceptor);
      listenSync(server, address, port, isIP(address), options.backlog, endpoint);
      return listenerOf(scheme, server);
    },

    dial: (endpoint, options, done) => dial(endpoint, options, attempt, done),
  };
}

const serverOf: MakeServer = (endpoint, options, acceptor) =>
  makeServer(endpoint, acceptor, (socket) => {
    // A peer that hung up already has no address.
    if (socket.remoteAddress === undefined) socket.destroy();
    else acceptor.accepted(streamOf(socket, options));
  });

/** A socket that is made with its reader takes 4 % less processor time for a connection. */
export const tcp = overTcp("tcp", serverOf, (target, _, options) => {
  const reader = new Reader(false);
  const socket = connect({ ...target, onread: reader.onread });
  return { socket, stream: () => streamOf(socket, options, reader) };
});

/** An HTTP parser reads first. */
export const tcpForHttp = overTcp("tcp", serverOf, (target, _, options) => {
  const socket = connect(target);
  return { socket, stream: () => streamOf(socket, options) };
});

function streamOf(socket: Socket, options: TransportOptions, reader?: Reader): Stream {
  tune(socket, options);
  const { remote, address } = peerOf("tcp", socket);
  return new KernelStream(socket, remote, address, reader);
}

export function peerOf(
  scheme: string,
  socket: Socket,
): { readonly remote: string; readonly address: string } {
  const host = socket.remoteAddress ?? "";
  return { remote: formatHostPort(scheme, host, socket.remotePort ?? 0), address: plainAddress(host) };
}

export function tune(socket: Socket, options: TransportOptions): void {
  socket.unref();
  socket.setNoDelay(true);
  if (options.tcpKeepalive < 0) return;
  socket.setKeepAlive(options.tcpKeepalive === 1, Math.max(0, options.tcpKeepaliveIdle) * 1_000);
}

function listenerOf(scheme: string, server: Server): Listener {
  const { address, port } = server.address() as AddressInfo;
  return { endpoint: formatHostPort(scheme, address, port), close: () => closeServer(server) };
}

function placeOf(endpoint: string, { ipv6 }: TransportOptions): { address: string; port: number } {
  const { host, port } = parseHostPort(endpoint);
  return { address: bindAddress(host, ipv6, endpoint), port };
}

/** @param done called once, unless cancelled @returns cancels */
function dial(
  endpoint: string,
  options: TransportOptions,
  attempt: MakeAttempt,
  done: (result: Stream | Error) => void,
): () => void {
  const { host, port, source } = parseHostPort(endpoint);
  let cancel: (() => void) | undefined;
  let cancelled = false;
  const next = (addresses: readonly LookupAddress[], at: number, failure: Error | undefined): void => {
    const target = addresses[at];
    if (cancelled) return;
    if (target === undefined) {
      done(failure ?? new Error(`${host} has no address`));
      return;
    }
    let made: Attempt;
    try {
      const own =
        source === undefined
          ? {}
          : { localAddress: bindAddress(source.host, options.ipv6, endpoint), localPort: source.port };
      made = attempt({ host: target.address, port, family: target.family, ...own }, endpoint, options);
    } catch (error) {
      done(error as Error); // A missing interface, or an invalid port.
      return;
    }
    const { socket } = made;
    cancel = whenConnected(socket, options.connectTimeout, (fault) => {
      const error = fault ?? ownPeerError(socket, port);
      if (error !== undefined) {
        socket.on("error", ignore).destroy();
        next(addresses, at + 1, error);
        return;
      }
      let stream: Stream;
      try {
        stream = made.stream();
      } catch (error) {
        socket.on("error", ignore).destroy();
        done(error as Error);
        return;
      }
      done(stream);
    });
  };
  const family = isIP(host);
  // `queueMicrotask` would create an object of node:async_hooks.
  if (family !== 0) process.nextTick(next, [{ address: host, family }], 0, undefined);
  else {
    lookup(host, { all: true, family: options.ipv6 ? 0 : 4 }, (error, addresses) => {
      if (cancelled) return;
      if (error !== null) done(error);
      else next(addresses, 0, undefined);
    });
  }
  return () => {
    cancelled = true;
    cancel?.();
  };
}

/** @param done called once, unless cancelled @returns cancels, and destroys the socket */
export function whenConnected(socket: Socket, ms: number, done: (error?: Error) => void): () => void {
  let timeout: RunningTimeout | undefined;
  const settle = (error?: Error): void => {
    timeout?.clear();
    socket.off("error", settle).off("connect", settle);
    done(error);
  };
  socket.unref();
  // `once` would create two more objects.
  socket.on("error", settle).on("connect", settle);
  if (ms > 0) {
    timeout = new RunningTimeout(ms, () => {
      if (!socket.connecting || socket.destroyed) return;
      settle(new Error(`no connection within ${ms} ms (connectTimeout)`));
    });
  }
  return () => {
    timeout?.clear();
    socket.off("error", settle).on("error", ignore).destroy();
  };
}

/** The system may give a socket the very port that it dials. */
function ownPeerError(socket: Socket, port: number): Error | undefined {
  if (socket.localPort !== port || socket.localAddress !== socket.remoteAddress) return undefined;
  return new Error("the system connected the socket to itself: nothing listens there");
}
