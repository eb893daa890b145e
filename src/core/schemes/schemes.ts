/**
 * The schemes of endpoints and their check.
 *
 *   tcp://HOST:PORT      host-port.ts; tls:// has the same addresses
 *   ws://HOST:PORT/PATH  ws.ts; wss:// has the same
 *   ipc://PATH           a path of at most 107 bytes; * makes a temporary one; @NAME is abstract (Linux)
 *   inproc://NAME        any name of 1 to 255 bytes
 *   udp://HOST:PORT      udp.ts
 *
 * Programs add schemes with `registerTransport` (custom-transport.ts).
 */
import { customSchemes, customTransport } from "./custom-transport.js";
import {
  badEndpoint,
  checkForm,
  checkIpcPath,
  type EndpointUse,
  hostPortScheme,
  INPROC,
  type Scheme,
  schemeOf,
  webSocketScheme,
} from "./scheme.js";
import { UDP } from "./udp.js";

const IPC: Scheme = {
  name: "ipc",
  form: "ipc://PATH",
  reachesProcesses: true,
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

export function findScheme(name: string): Scheme | undefined {
  return SCHEMES.get(name) ?? customTransport(name)?.scheme;
}

export function knownSchemes(): readonly string[] {
  return [...SCHEMES.keys(), ...customSchemes()];
}

const REACHING: readonly Scheme[] = [...SCHEMES.values()].filter(
  (scheme) => scheme.reachesProcesses && scheme !== UDP,
);

export function reachesProcesses(endpoint: string): boolean {
  return findScheme(schemeOf(endpoint))?.reachesProcesses === true;
}

export function reachableForms(): readonly string[] {
  return REACHING.map(({ form }) => form);
}

/** As `checkForm`. */
export function checkEndpoint(
  endpoint: unknown,
  use: EndpointUse,
  transports: readonly string[],
): asserts endpoint is string {
  checkForm(endpoint, use, transports, findScheme);
}
