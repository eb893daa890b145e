/** tcp:// and ipc:// as `node:net` has them. */
import { once } from "node:events";
import { connect as connectSocket, createServer, type Server, type Socket } from "node:net";

function addressOf(endpoint: string): { path: string } | { host: string; port: number } {
  if (endpoint.startsWith("ipc://")) return { path: endpoint.slice("ipc://".length) };
  const { hostname, port } = new URL(endpoint.replace(/:\*$/, ":0"));
  return { host: hostname, port: Number(port) };
}

/** A peer that goes first resets the connection; what matters of that shows in the counts. Anything else is a fault. */
function onError(error: NodeJS.ErrnoException): void {
  if (error.code !== "ECONNRESET" && error.code !== "EPIPE") throw error;
}

/** Listens. @returns the server, and the endpoint with its real port */
export async function listen(
  endpoint: string,
  backlog: number,
  onSocket: (socket: Socket) => void,
): Promise<{ server: Server; endpoint: string }> {
  const server = createServer({ noDelay: true }, (socket) => onSocket(socket.on("error", onError)));
  server.listen({ ...addressOf(endpoint), backlog });
  await once(server, "listening");
  const address = server.address();
  if (typeof address === "string" || address === null) return { server, endpoint };
  return { server, endpoint: `tcp://${address.address}:${address.port}` };
}

/** Connects; settles when the connection stands. */
export async function connect(endpoint: string): Promise<Socket> {
  const socket = connectSocket(addressOf(endpoint));
  socket.setNoDelay(true);
  await once(socket, "connect");
  return socket.on("error", onError);
}
