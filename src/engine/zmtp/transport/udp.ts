/** Sockets of datagrams, bound. */
import dgram, { type Socket } from "node:dgram";
import { transportError } from "../errors.js";

/** Where a socket of datagrams is bound. */
export interface UdpOptions {
  /** Default: every address of IPv4. */
  readonly address?: string;
  /** 0: by the system. */
  readonly port: number;
  /** Not shared with other processes of a cluster of Node.js. */
  readonly exclusive?: boolean;
}

/**
 * Opens a socket of IPv4 and binds it. The caller listens for its later errors.
 *
 * @param shares whether other sockets may have the port too, as those of a group have
 * @throws TransportError with the system's code; nothing is left open then
 */
export function bindUdp(options: UdpOptions, shares: boolean): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = dgram.createSocket({ type: "udp4", reuseAddr: shares });
    const failed = (error: NodeJS.ErrnoException): void => {
      socket.close();
      reject(transportError(error, "bind", `udp://${options.address ?? "0.0.0.0"}:${options.port}`));
    };
    socket.once("error", failed);
    socket.bind(options, () => {
      socket.off("error", failed);
      resolve(socket);
    });
  });
}
