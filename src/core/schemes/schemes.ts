/**
 * The schemes of endpoints and their check.
 *
 *   tcp://HOST:PORT      grammar.ts; tls:// has the same addresses
 *   ws://HOST:PORT/PATH  grammar.ts; wss:// has the same
 *   ipc://PATH           a path of at most 107 bytes; * makes a temporary one; @NAME is abstract (Linux)
 *   inproc://NAME        any name of 1 to 255 bytes
 *   udp://HOST:PORT      datagrams (libzmq, zmq_udp(7)): HOST:PORT  [V6]:PORT  *:*  GROUP:PORT  INTERFACE;GROUP:PORT
 *
 *     bind:    HOST is *, an address or an interface's name; GROUP a multicast address to join; PORT 0…65535 or *
 *     connect: HOST is a name or address; PORT 1…65535
 *     INTERFACE is the address or name of the machine's interface for a group
 */
import { isIP } from "node:net";
import {
  addressOf,
  badEndpoint,
  checkForm,
  checkHostPort,
  checkIpcPath,
  type EndpointUse,
  hostPortScheme,
  INPROC,
  parseHostPort,
  type Scheme,
  schemeOf,
  unbracketed,
  webSocketScheme,
} from "./grammar.js";

export interface UdpAddress {
  readonly host: string;
  readonly port: number;
  /** Of a multicast group; `undefined` for the system's choice. */
  readonly interface: string | undefined;
}

const UDP: Scheme = {
  name: "udp",
  form: "udp://HOST:PORT",
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
  const { host, port } = parseHostPort(endpoint);
  const address = addressOf(endpoint);
  const semicolon = address.indexOf(";");
  return { host, port, interface: semicolon < 0 ? undefined : unbracketed(address.slice(0, semicolon)) };
}

export function isMulticast(host: string): boolean {
  const version = isIP(host.split("%", 1)[0] as string);
  if (version === 6) return /^ff/i.test(host);
  if (version !== 4) return false;
  const first = Number(host.slice(0, host.indexOf(".")));
  return first >= 224 && first <= 239;
}

const IPC: Scheme = {
  name: "ipc",
  form: "ipc://PATH",
  check(endpoint, address, use) {
    checkIpcPath(endpoint, address);
    if (address === "@") throw badEndpoint(endpoint, "expected a name after @");
    if (use === "connect" && address === "*") throw badEndpoint(endpoint, "only bind takes the path *");
  },
};

const SCHEMES: ReadonlyMap<string, Scheme> = new Map(
  [
    ...[hostPortScheme("tcp"), hostPortScheme("tls"), webSocketScheme("ws"), webSocketScheme("wss")],
    ...[IPC, INPROC, UDP],
  ].map((scheme) => [scheme.name, scheme]),
);

export const KNOWN_SCHEMES: readonly string[] = [...SCHEMES.keys()];

export function reachesProcesses(endpoint: string): boolean {
  const scheme = SCHEMES.get(schemeOf(endpoint));
  return scheme !== undefined && scheme !== INPROC;
}

export function reachableForms(): readonly string[] {
  return [...SCHEMES.values()]
    .filter((scheme) => scheme !== INPROC && scheme !== UDP)
    .map(({ form }) => form);
}

/** As `checkForm`. */
export function checkEndpoint(
  endpoint: unknown,
  use: EndpointUse,
  transports: readonly string[] = KNOWN_SCHEMES,
): asserts endpoint is string {
  checkForm(endpoint, use, transports, (name) => SCHEMES.get(name));
}
