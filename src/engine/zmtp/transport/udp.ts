/** UDP sockets with promises. */
import type { Socket } from "node:dgram";
import { once } from "node:events";
import { transportError } from "../errors.js";

export interface UdpOptions {
  /** Default: every address of the family. */
  readonly address?: string;
  /** IPv6 only; default IPv4. */
  readonly ipv6?: boolean;
  /** 0: chosen by the system. */
  readonly port: number;
  readonly exclusive?: boolean;
}

/**
 * The caller handles later errors.
 *
 * @param shares whether other sockets may use the port too
 * @throws TransportError with the system's code
 */
export async function bindUdp(options: UdpOptions, shares: boolean): Promise<Socket> {
  const { ipv6 = false, ...address } = options;
  const socket = process.getBuiltinModule("node:dgram").createSocket({
    type: ipv6 ? "udp6" : "udp4",
    reuseAddr: shares,
    ...(ipv6 ? { ipv6Only: true } : {}),
  });
  try {
    socket.bind(address);
    await once(socket, "listening");
    return socket;
  } catch (error) {
    socket.close();
    const host = options.address ?? (ipv6 ? "[::]" : "0.0.0.0");
    throw transportError(error, "bind", `udp://${host}:${options.port}`);
  }
}

/** @returns whether the system took it */
export function sendUdp(socket: Socket, bytes: Buffer, port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => void socket.send(bytes, port, host, (error) => resolve(error === null)));
}

export function closeUdp(socket: Socket | undefined): Promise<void> {
  return new Promise((resolve) => (socket === undefined ? resolve() : void socket.close(() => resolve())));
}
