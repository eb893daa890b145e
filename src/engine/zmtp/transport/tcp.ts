/** TCP over IPv4 and IPv6. */
import { connect, type Server, type Socket } from "node:net";
import type { AcceptedPeer } from "../../../core/node-internals.js";
import { formatHostPort } from "../../../core/schemes/host-port.js";
import { KernelStream } from "./kernel-stream.js";
import { Reader } from "./reader.js";
import { makeRawServer, makeServer, plainAddress } from "./server.js";
import { dialTcp, listenTcp, listenTcpSync, tune } from "./tcp-socket.js";
import type { Acceptor, Stream, Transport, TransportOptions } from "./transport.js";

function prepare(
  socket: Socket,
  reader: Reader,
  options: TransportOptions,
  { address: host, port }: AcceptedPeer,
): Stream {
  tune(socket, options);
  return host === undefined || port === undefined
    ? new TcpStream(socket, reader, socket.remoteAddress ?? "", socket.remotePort ?? 0)
    : new TcpStream(socket, reader, host, port);
}

class TcpStream extends KernelStream {
  readonly #host: string;
  readonly #port: number;

  constructor(socket: Socket, reader: Reader, host: string, port: number) {
    super(socket, reader, "", plainAddress(host));
    this.#host = host;
    this.#port = port;
  }

  override get remote(): string {
    return formatHostPort("tcp", this.#host, this.#port);
  }
}

function onAccepted(stream: Stream, acceptor: Acceptor): void {
  // A peer that hung up already has no address.
  if (stream.address === "") stream.socket.destroy();
  else acceptor.accepted(stream);
}

type MakeServer = (endpoint: string, options: TransportOptions, acceptor: Acceptor) => Server;

function transport(isRead: boolean, server: MakeServer): Transport {
  return {
    scheme: "tcp",

    listen(endpoint, options, acceptor) {
      return listenTcp("tcp", endpoint, options, () => server(endpoint, options, acceptor));
    },

    listenSync(endpoint, options, acceptor) {
      return listenTcpSync("tcp", endpoint, options, () => server(endpoint, options, acceptor));
    },

    dial(endpoint, options, done) {
      return dialTcp(
        endpoint,
        options,
        (target) => {
          const reader = new Reader();
          const socket = connect(isRead ? { ...target, onread: reader.onread } : target);
          // An IPv4 address has a single form, so the system need not be asked. A connection to 0.0.0.0 has
          // another peer.
          const peer =
            target.family === 4 && target.host !== "0.0.0.0"
              ? { address: target.host, port: target.port }
              : {};
          return { socket, stream: () => prepare(socket, reader, options, peer as AcceptedPeer) };
        },
        done,
      );
    },
  };
}

export const tcp = transport(true, (endpoint, options, acceptor) =>
  makeServer(endpoint, acceptor, (socket, reader, peer) =>
    onAccepted(prepare(socket, reader, options, peer), acceptor),
  ),
);

/** For `node:http`, which reads first. */
export const tcpForHttp = transport(false, (endpoint, options, acceptor) =>
  makeRawServer(endpoint, acceptor, (socket) =>
    onAccepted(prepare(socket, new Reader(), options, {}), acceptor),
  ),
);
