/** tcp:// and ipc:// as `node:net` has them, tls:// as `node:tls`. */
import { once } from "node:events";
import { connect as connectSocket, createServer, type Server, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import type { Side } from "../node/side.js";

/** Where an endpoint is, as `node:net` takes it. */
export function addressOf(endpoint: string): { path: string } | { host: string; port: number } {
  if (endpoint.startsWith("ipc://")) return { path: endpoint.slice("ipc://".length) };
  const { hostname, port } = new URL(endpoint.replace(/:\*$/, ":0"));
  return { host: hostname, port: Number(port) };
}

/** A peer that goes first resets the connection; what matters of that shows in the counts. Anything else is a fault. */
export function onError(error: NodeJS.ErrnoException): void {
  if (error.code !== "ECONNRESET" && error.code !== "EPIPE") throw error;
}

function isTls(endpoint: string): boolean {
  return endpoint.startsWith("tls:");
}

/** Where a side listens or connects; for tls its options have certificate, key and authority. */
type Place = Pick<Side, "endpoint" | "option">;

/** Listens where the side is to be. @returns the server, and the endpoint with its real port */
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

/** Connects where the side is to; settles when the connection stands. */
export async function connect(side: Place): Promise<Socket> {
  const tls = isTls(side.endpoint);
  const address = addressOf(side.endpoint);
  const socket = tls ? connectTls({ ...address, ca: side.option("tlsCa", "") }) : connectSocket(address);
  socket.setNoDelay(true);
  await once(socket, tls ? "secureConnect" : "connect");
  return socket.on("error", onError);
}
