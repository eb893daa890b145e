/** Opens UDP sockets. */
import type { Socket } from "node:dgram";
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
export function bindUdp(options: UdpOptions, shares: boolean): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const { ipv6 = false, ...address } = options;
    const socket = process.getBuiltinModule("node:dgram").createSocket({
      type: ipv6 ? "udp6" : "udp4",
      reuseAddr: shares,
      ...(ipv6 ? { ipv6Only: true } : {}),
    });
    const failed = (error: NodeJS.ErrnoException): void => {
      socket.close();
      reject(
        transportError(
          error,
          "bind",
          `udp://${options.address ?? (ipv6 ? "[::]" : "0.0.0.0")}:${options.port}`,
        ),
      );
    };
    socket.once("error", failed);
    socket.bind(address, () => {
      socket.off("error", failed);
      resolve(socket);
    });
  });
}
