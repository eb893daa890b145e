/** tcp:// and ipc:// by `node:net`. */
import { once } from "node:events";
import { connect as connectSocket, createServer, type Server, type Socket } from "node:net";
import type { Side } from "../node/side.js";

function addressOf(endpoint: string): { path: string } | { host: string; port: number } {
  if (endpoint.startsWith("ipc://")) return { path: endpoint.slice("ipc://".length) };
  const { hostname, port } = new URL(endpoint.replace(/:\*$/, ":0"));
  return { host: hostname, port: Number(port) };
}

/**
 * Ignores resets of connections by peers that exit first, since lost messages show in the counts; other errors are
 * faults.
 */
function onError(error: NodeJS.ErrnoException): void {
  if (error.code !== "ECONNRESET" && error.code !== "EPIPE") throw error;
}

/** @returns the server, and the endpoint with its real port */
export async function listen(
  side: Side,
  onSocket: (socket: Socket) => void,
): Promise<{ server: Server; endpoint: string }> {
  const server = createServer({ noDelay: true }, (socket) => onSocket(socket.on("error", onError)));
  server.listen({ ...addressOf(side.endpoint), backlog: side.number("backlog", 511) });
  await once(server, "listening");
  const address = server.address();
  if (typeof address === "string" || address === null) return { server, endpoint: side.endpoint };
  return { server, endpoint: `tcp://${address.address}:${address.port}` };
}

export async function connect(side: Side): Promise<Socket> {
  const socket = connectSocket(addressOf(side.endpoint));
  socket.setNoDelay(true);
  await once(socket, "connect");
  return socket.on("error", onError);
}
