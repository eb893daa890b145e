/** Sockets of datagrams, bound. */
import dgram, { type Socket } from "node:dgram";
import { transportError } from "../errors.js";

/** Where a socket of datagrams is bound. */
export interface UdpOptions {
  /** Default: every address of the family. */
  readonly address?: string;
  /** A socket of IPv6 alone. Default: of IPv4. */
  readonly ipv6?: boolean;
  /** 0: by the system. */
  readonly port: number;
  /** Not shared with other processes of a cluster of Node.js. */
  readonly exclusive?: boolean;
}

/**
 * Opens a socket of IPv4, or of IPv6, and binds it. The caller listens for its later errors.
 *
 * @param shares whether other sockets may have the port too, as those of a group have
 * @throws TransportError with the system's code; nothing is left open then
 */
export function bindUdp(options: UdpOptions, shares: boolean): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const { ipv6 = false, ...address } = options;
    const socket = dgram.createSocket({
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
