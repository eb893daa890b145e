/** TCP over IPv4 and IPv6. */

import { type LookupAddress, lookup } from "node:dns";
import { type AddressInfo, connect, isIP, type Server, type Socket, type TcpNetConnectOpts } from "node:net";
import { formatHostPort, parseHostPort } from "../../../core/schemes/grammar.js";
import { RunningTimeout } from "../../../core/timers.js";
import { ignore } from "../../../core/waiter.js";
import {
  bindAddress,
  closeServer,
  KernelStream,
  listen,
  listenSync,
  makeServer,
  plainAddress,
} from "./server.js";
import type { Acceptor, Listener, Stream, Transport, TransportOptions } from "./transport.js";

class TcpStream extends KernelStream {
  readonly #host: string;
  readonly #port: number;

  constructor(socket: Socket, options: TransportOptions) {
    const { remoteAddress = "", remotePort = 0 } = socket;
    super(socket, "", plainAddress(remoteAddress));
    this.#host = remoteAddress;
    this.#port = remotePort;
    tune(socket, options);
  }

  override get remote(): string {
    return formatHostPort(this.framing === undefined ? "tcp" : "ws", this.#host, this.#port);
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

export const tcp = overTcp(
  "tcp",
  (endpoint, options, acceptor) =>
    makeServer(endpoint, acceptor, (socket) => {
      // A peer that hung up already has no address.
      if (socket.remoteAddress === undefined) socket.destroy();
      else acceptor.accepted(new TcpStream(socket, options));
    }),
  (target, _, options) => {
    const socket = connect(target);
    return { socket, stream: () => new TcpStream(socket, options) };
  },
);

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
