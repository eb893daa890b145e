/**
 * Sockets of the program at a node's own port, so that a firewall opens no second port for other programs.
 *
 *   socket.bind("node://ID") ──takeSockets──> the node's streams ──one that begins as ZMTP does──> the socket
 *
 * A ZMTP greeting (37/ZMTP) begins with ff, a node's hello does not. While a socket is bound, the listener keeps its
 * hello back until it has seen that byte.
 */
import { InvalidArgumentError, NotSupportedError, TransportError } from "../../core/errors.js";
import { addressOf } from "../../core/schemes/scheme.js";
import type { Acceptor, Listener, Transport } from "../../engine/zmtp/transport/transport.js";
import { addTransport } from "../../engine/zmtp/transport/transports.js";

export interface OwnPort {
  /** Endpoint for other programs; its host may be a wildcard. */
  endpoint(): string;
  /** Gives ZMTP streams to `acceptor`. @returns ends that; `undefined`: another socket has them */
  takeSockets(acceptor: Acceptor): (() => void) | undefined;
}

/** By node id. */
const PORTS = new Map<string, OwnPort>();
const SCHEME = "node";

const TRANSPORT: Transport = {
  scheme: SCHEME,

  assertUsable(use) {
    if (use !== "bind")
      throw new InvalidArgumentError(
        "node:// is for bind: others connect to the node's address, tcp://HOST:PORT",
      );
  },

  listen: async (endpoint, _options, acceptor) => listen(endpoint, acceptor),

  listenSync: (endpoint, _options, acceptor) => listen(endpoint, acceptor),

  dial() {
    throw new NotSupportedError("node:// is for bind");
  },
};

/** Endpoint for sockets of this thread with the engine `zmtp`. @param id of the node */
export function ownPortEndpoint(id: string): string {
  addTransport(TRANSPORT);
  return `${SCHEME}://${id}`;
}

export function openOwnPort(id: string, port: OwnPort): void {
  PORTS.set(id, port);
}

export function closeOwnPort(id: string): void {
  PORTS.delete(id);
}

function listen(endpoint: string, acceptor: Acceptor): Listener {
  const port = PORTS.get(addressOf(endpoint));
  if (port === undefined)
    throw new TransportError("EADDRNOTAVAIL", "no node of this thread that has this id was started", {
      endpoint,
    });
  const bound = port.endpoint();
  const end = port.takeSockets(acceptor);
  if (end === undefined)
    throw new TransportError("EADDRINUSE", "another socket is bound to the node's port", { endpoint });
  return { endpoint: bound, close: async () => end() };
}
