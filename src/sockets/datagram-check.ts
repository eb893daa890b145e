/** Checks which socket types use udp endpoints. */
import { TransportError } from "../core/errors.js";
import type { SocketTypeName } from "../core/socket-type.js";

const DATAGRAMS: Readonly<Partial<Record<SocketTypeName, "bind" | "connect">>> = {
  Radio: "connect",
  Dish: "bind",
  Datagram: "bind",
};

/** @throws TransportError `ENOCOMPATPROTO` for a socket type without udp, or only with it */
export function checkDatagrams(endpoint: string, use: "bind" | "connect", type: SocketTypeName): void {
  const isUdp = endpoint.startsWith("udp:");
  if (isUdp ? DATAGRAMS[type] === use : type !== "Datagram") return;
  const what = isUdp
    ? "udp is for bind of Dish and Datagram, and connect of Radio"
    : "a Datagram is bound to udp alone";
  throw new TransportError("ENOCOMPATPROTO", `Cannot ${use} ${endpoint} of a ${type}: ${what}`, { endpoint });
}
