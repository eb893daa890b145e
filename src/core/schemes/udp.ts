/**
 * The addresses of datagrams (libzmq, zmq_udp(7)):
 *
 *   HOST:PORT  [V6]:PORT  *:*  GROUP:PORT  INTERFACE;GROUP:PORT
 *
 *   bind:    HOST is *, an address or an interface's name; GROUP a multicast address to join; PORT 0…65535 or *
 *   connect: HOST is a name or address; PORT 1…65535
 *   INTERFACE is the address or name of the machine's interface for a group
 */
import { isIP } from "node:net";
import { addressOf, badEndpoint, checkHostPort, type Scheme } from "./scheme.js";

export interface UdpAddress {
  readonly host: string;
  readonly port: number;
  /** Of a multicast group; `undefined` for the system's choice. */
  readonly interface: string | undefined;
}

export const UDP: Scheme = {
  name: "udp",
  form: "udp://HOST:PORT",
  reachesProcesses: true,
  check(endpoint, address, use) {
    const semicolon = address.indexOf(";");
    checkHostPort(endpoint, address.slice(semicolon + 1), use, "udp");
    if (semicolon < 0) return;
    if (semicolon === 0) throw badEndpoint(endpoint, "expected an interface before ;");
    if (!isMulticast(parseUdp(endpoint).host))
      throw badEndpoint(endpoint, "only a multicast address takes an interface before ;");
  },
};

export function parseUdp(endpoint: string): UdpAddress {
  const address = addressOf(endpoint);
  const semicolon = address.indexOf(";");
  const target = address.slice(semicolon + 1);
  const colon = target.lastIndexOf(":");
  const port = target.slice(colon + 1);
  return {
    host: bare(target.slice(0, colon)),
    port: port === "*" ? 0 : Number(port),
    interface: semicolon < 0 ? undefined : bare(address.slice(0, semicolon)),
  };
}

function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}

export function isMulticast(host: string): boolean {
  const version = isIP(host.split("%", 1)[0] as string);
  if (version === 6) return /^ff/i.test(host);
  if (version !== 4) return false;
  const first = Number(host.slice(0, host.indexOf(".")));
  return first >= 224 && first <= 239;
}
