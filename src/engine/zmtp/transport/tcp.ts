/** TCP over IPv4 and IPv6. Names are resolved again for every connection, and all their addresses tried. */
import { type LookupAddress, lookup } from "node:dns";
import { type AddressInfo, connect, isIP, type Socket } from "node:net";
import { formatHostPort, parseHostPort } from "../../../core/schemes/host-port.js";
import { bindAddress } from "./address.js";
import { KernelStream } from "./kernel-stream.js";
import { Reader } from "./reader.js";
import { closeServer, listen, listenSync, makeServer } from "./server.js";
import type { Acceptor, Listener, Stream, Transport, TransportOptions } from "./transport.js";

function prepare(socket: Socket, reader: Reader, options: TransportOptions): Stream {
  socket.unref();
  socket.setNoDelay(true);
  if (options.tcpKeepalive >= 0) {
    socket.setKeepAlive(options.tcpKeepalive === 1, Math.max(0, options.tcpKeepaliveIdle) * 1_000);
  }
  const host = socket.remoteAddress ?? "";
  const remote = formatHostPort("tcp", host, socket.remotePort ?? 0);
  return new KernelStream(socket, reader, remote, host.replace(/^::ffff:(?=\d+\.)/i, ""));
}

function server(endpoint: string, options: TransportOptions, acceptor: Acceptor) {
  return makeServer(endpoint, acceptor, (socket, reader) => {
    const stream = prepare(socket, reader, options);
    // A peer that is gone already has no address any more.
    if (stream.address === "") socket.destroy();
    else acceptor.accepted(stream);
  });
}

function listener(made: ReturnType<typeof server>): Listener {
  const { address, port } = made.address() as AddressInfo;
  return { endpoint: formatHostPort("tcp", address, port), close: () => closeServer(made) };
}

export const tcp: Transport = {
  scheme: "tcp",

  async listen(endpoint, options, acceptor) {
    const { host, port } = parseHostPort(endpoint);
    const address = bindAddress(host, options.ipv6, endpoint);
    const made = server(endpoint, options, acceptor);
    await listen(made, { host: address, port, backlog: options.backlog, ipv6Only: false }, endpoint);
    return listener(made);
  },

  listenSync(endpoint, options, acceptor) {
    const { host, port } = parseHostPort(endpoint);
    const address = bindAddress(host, options.ipv6, endpoint);
    const made = server(endpoint, options, acceptor);
    listenSync(made, address, port, isIP(address), options.backlog, endpoint);
    return listener(made);
  },

  dial(endpoint, options, done) {
    const { host, port, source } = parseHostPort(endpoint);
    let socket: Socket | undefined;
    let cancelled = false;
    let timer: NodeJS.Timeout | undefined;
    const next = (addresses: readonly LookupAddress[], at: number, failure: Error): void => {
      const target = addresses[at];
      if (cancelled) return;
      if (target === undefined) {
        done(failure);
        return;
      }
      let dialled: Socket;
      const reader = new Reader();
      try {
        dialled = connect({
          onread: reader.onread,
          host: target.address,
          port,
          family: target.family,
          ...(source === undefined
            ? {}
            : { localAddress: bindAddress(source.host, options.ipv6, endpoint), localPort: source.port }),
        });
      } catch (error) {
        done(error as Error); // The source: an interface that is not there (now), or no port.
        return;
      }
      socket = dialled;
      dialled.unref();
      const failed = (error: Error): void => {
        clearTimeout(timer);
        dialled.destroy();
        next(addresses, at + 1, error);
      };
      dialled.once("error", failed);
      if (options.connectTimeout > 0) {
        const late = (): void => {
          if (!dialled.connecting || dialled.destroyed) return;
          dialled.off("error", failed);
          dialled.on("error", () => undefined);
          failed(new Error(`no connection within ${options.connectTimeout} ms (connectTimeout)`));
        };
        // After a turn of the event loop: timers run first in a process that stood still, and the connection may be there.
        timer = setTimeout(() => setImmediate(late), options.connectTimeout).unref();
      }
      dialled.once("connect", () => {
        clearTimeout(timer);
        dialled.off("error", failed);
        done(prepare(dialled, reader, options));
      });
    };
    const family = isIP(host);
    if (family !== 0) queueMicrotask(() => next([{ address: host, family }], 0, new Error("no address")));
    else {
      lookup(host, { all: true, family: options.ipv6 ? 0 : 4 }, (error, addresses) => {
        if (cancelled) return;
        if (error !== null) done(error);
        else next(addresses, 0, new Error(`${host} has no address`));
      });
    }
    return () => {
      cancelled = true;
      clearTimeout(timer);
      socket?.on("error", () => undefined);
      socket?.destroy();
    };
  },
};
