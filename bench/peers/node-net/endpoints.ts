/** tcp:// and ipc:// by `node:net`, tls:// by `node:tls`. */
import { once } from "node:events";
import { connect as connectSocket, createServer, type Server, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import type { Side } from "../node/side.js";

export function addressOf(endpoint: string): { path: string } | { host: string; port: number } {
  if (endpoint.startsWith("ipc://")) return { path: endpoint.slice("ipc://".length) };
  const { hostname, port } = new URL(endpoint.replace(/:\*$/, ":0"));
  return { host: hostname, port: Number(port) };
}

/**
 * Ignores resets of connections by peers that exit first, since lost messages show in the counts; other errors are
 * faults.
 */
export function onError(error: NodeJS.ErrnoException): void {
  if (error.code !== "ECONNRESET" && error.code !== "EPIPE") throw error;
}

function isTls(endpoint: string): boolean {
  return endpoint.startsWith("tls:");
}

/** Location of a side; for tls its options have certificate, key and authority. */
type Place = Pick<Side, "endpoint" | "option">;

/** @returns the server, and the endpoint with its real port */
export async function listen(
  side: Place,
  backlog: number,
  onSocket: (socket: Socket) => void,
): Promise<{ server: Server; endpoint: string }> {
  const accept = (socket: Socket) => onSocket(socket.on("error", onError));
  const tls = isTls(side.endpoint);
  const server = tls
    ? createTlsServer(
        { noDelay: true, cert: side.option("tlsCert", ""), key: side.option("tlsKey", "") },
        accept,
      )
    : createServer({ noDelay: true }, accept);
  server.listen({ ...addressOf(side.endpoint), backlog });
  await once(server, "listening");
  const address = server.address();
  if (typeof address === "string" || address === null) return { server, endpoint: side.endpoint };
  return { server, endpoint: `${tls ? "tls" : "tcp"}://${address.address}:${address.port}` };
}

export async function connect(side: Place): Promise<Socket> {
  const tls = isTls(side.endpoint);
  const address = addressOf(side.endpoint);
  const socket = tls ? connectTls({ ...address, ca: side.option("tlsCa", "") }) : connectSocket(address);
  socket.setNoDelay(true);
  await once(socket, tls ? "secureConnect" : "connect");
  return socket.on("error", onError);
}
