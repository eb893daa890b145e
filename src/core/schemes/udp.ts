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
import { checkHostPort, parseHostPort } from "./host-port.js";
import { badEndpoint, type Scheme } from "./scheme.js";

export const UDP: Scheme = {
  name: "udp",
  form: "udp://HOST:PORT",
  reachesProcesses: true,
  check(endpoint, address, use) {
    const semicolon = address.indexOf(";");
    checkHostPort(endpoint, address.slice(semicolon + 1), use, "udp");
    if (semicolon < 0) return;
    if (semicolon === 0) throw badEndpoint(endpoint, "expected an interface before ;");
    if (!isMulticast(parseHostPort(endpoint).host))
      throw badEndpoint(endpoint, "only a multicast address takes an interface before ;");
  },
};

export function isMulticast(host: string): boolean {
  const version = isIP(host.split("%", 1)[0] as string);
  if (version === 6) return /^ff/i.test(host);
  if (version !== 4) return false;
  const first = Number(host.slice(0, host.indexOf(".")));
  return first >= 224 && first <= 239;
}
