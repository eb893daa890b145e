/** `net.Server` as a Listener. */
import { existsSync } from "node:fs";
import { createServer, type ListenOptions, type Server, Socket } from "node:net";
import { dirname } from "node:path";
import { NotSupportedError } from "../../../core/errors.js";
import { watchFileLimit } from "../../../core/file-limit.js";
import {
  type AcceptedHandle,
  type AcceptedPeer,
  bindNow,
  interceptAccepts,
} from "../../../core/node-internals.js";
import { ignore } from "../../../core/waiter.js";
import { transportError } from "../errors.js";
import { Reader } from "./reader.js";
import type { Acceptor } from "./transport.js";

/**
 * Servers of node:net have no option `onread`, so sockets are made from accepted handles. Without access to
 * handles, the server's own sockets are read by events.
 * @param onSocket gets the peer's address and port, if known
 */
export function makeServer(
  endpoint: string,
  acceptor: Acceptor,
  onSocket: (socket: Socket, reader: Reader, peer: AcceptedPeer) => void,
): Server {
  const accepted = (socket: Socket, reader: Reader, peer: AcceptedPeer): void => {
    socket.on("error", ignore);
    socket.unref();
    onSocket(socket, reader, peer);
    socket.resume();
  };
  const take = (handle: AcceptedHandle, peer: AcceptedPeer): boolean => {
    if (typeof handle.useUserBuffer !== "function") return false;
    const reader = new Reader();
    accepted(
      new Socket({ handle, onread: reader.onread } as ConstructorParameters<typeof Socket>[0]),
      reader,
      peer,
    );
    return true;
  };
  return makeRawServer(
    endpoint,
    acceptor,
    (socket) => {
      const reader = new Reader();
      reader.follow(socket);
      accepted(socket, reader, {});
    },
    take,
  );
}

/** IPv4-mapped IPv6 addresses become IPv4. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, "");
}

export function makeRawServer(
  endpoint: string,
  acceptor: Acceptor,
  onAccepted: (accepted: Socket) => void,
  take?: Parameters<typeof interceptAccepts>[2],
): Server {
  const admits = (address: string): boolean => acceptor.admits?.(plainAddress(address)) !== false;
  const server = createServer({ noDelay: true, pauseOnConnect: true }, (accepted) => {
    accepted.on("error", ignore);
    const { remoteAddress } = accepted;
    if (remoteAddress !== undefined && !admits(remoteAddress)) accepted.destroy();
    else onAccepted(accepted);
  });
  // A refused address may connect thousands of times a second.
  const asks = acceptor.admits === undefined ? undefined : admits;
  if (take !== undefined || asks !== undefined) interceptAccepts(server, asks, take);
  server.on("error", (error) => {
    if (server.listening) acceptor.failed(transportError(error, "accept at", endpoint));
  });
  server.on("listening", () => {
    const stop = watchFileLimit((error) => {
      if (error !== undefined && server.listening) acceptor.failed(error);
    });
    server.once("close", stop);
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
export function bindError(error: Error, endpoint: string, path: string | undefined): Error {
  const code = (error as NodeJS.ErrnoException).code;
  if (code !== "EACCES" || path === undefined || existsSync(dirname(path)))
    return transportError(error, "bind", endpoint);
  return transportError(
    Object.assign(new Error("there is no such folder"), { code: "ENOENT" }),
    "bind",
    endpoint,
  );
}
