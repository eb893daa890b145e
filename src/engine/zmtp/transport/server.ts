/** What transports over tcp and ipc share: addresses to bind, servers of `node:net`, and the streams of its sockets. */
import { existsSync } from "node:fs";
import { createServer, isIP, type ListenOptions, type Server, type Socket } from "node:net";
import { type NetworkInterfaceInfo, type NetworkInterfaceInfoIPv6, networkInterfaces } from "node:os";
import { dirname } from "node:path";
import { quoted } from "../../../core/arguments.js";
import { NotSupportedError, TransportError } from "../../../core/errors.js";
import { watchFileLimit } from "../../../core/file-system.js";
import { bindNow, interceptAccepts, pendingOf } from "../../../core/node-internals.js";
import { ignore } from "../../../core/waiter.js";
import { transportError } from "../errors.js";
import { Reader } from "./reader.js";
import type { Acceptor, Framing, Stream } from "./transport.js";

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
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, "");
}

/** @param onAccepted gets paused sockets; those of refused addresses, too, where Node.js hides its handles */
export function makeServer(
  endpoint: string,
  acceptor: Acceptor,
  onAccepted: (accepted: Socket) => void,
): Server {
  const server = createServer({ noDelay: true, pauseOnConnect: true }, (accepted) => {
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

/** A connection that passes bytes unchanged: tcp and ipc. */
export class KernelStream implements Stream {
  readonly prompt = IS_PROMPT;
  /** Set by an upgrade to WebSocket. */
  framing: Framing | undefined = undefined;
  readonly socket: Socket;
  readonly reader = new Reader();
  readonly #remote: string;
  readonly address: string;

  constructor(socket: Socket, remote: string, address: string) {
    this.socket = socket;
    this.#remote = remote;
    this.address = address;
  }

  get remote(): string {
    return this.#remote;
  }

  pending(): number {
    return pendingOf(this.socket);
  }
}
