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
import { invalidArgument, quoted } from "../arguments.js";
import { TransportError } from "../errors.js";
import { customSchemes, customTransport } from "./custom-transport.js";
import { hostPortScheme } from "./host-port.js";
import { badEndpoint, checkIpcPath, checkLength, type EndpointUse, type Scheme, schemeOf } from "./scheme.js";
import { UDP } from "./udp.js";
import { webSocketScheme } from "./ws.js";

const MAX_INPROC_NAME = 255;

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

const INPROC: Scheme = {
  name: "inproc",
  form: "inproc://NAME",
  reachesProcesses: false,
  check: (endpoint, address) => checkLength(endpoint, address, MAX_INPROC_NAME, "inproc name"),
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

/**
 * @param transports the engine's
 * @throws InvalidArgumentError `EINVAL` for a malformed endpoint; TransportError `EPROTONOSUPPORT` for an
 * unknown transport, `ENAMETOOLONG` for a long ipc path
 */
export function checkEndpoint(
  endpoint: unknown,
  use: EndpointUse,
  transports: readonly string[],
): asserts endpoint is string {
  if (typeof endpoint !== "string") {
    throw invalidArgument('An endpoint must be a string such as "tcp://127.0.0.1:5555"', endpoint);
  }
  const at = endpoint.indexOf("://");
  if (at <= 0)
    throw badEndpoint(endpoint, `expected TRANSPORT://ADDRESS with one of ${transports.join(", ")}`);
  if (endpoint.includes("\0")) throw badEndpoint(endpoint, "must not contain a zero byte");
  const name = endpoint.slice(0, at);
  const address = endpoint.slice(at + 3);
  if (!transports.includes(name)) {
    throw new TransportError(
      "EPROTONOSUPPORT",
      `Endpoint ${quoted(endpoint)}: the transport must be one of ${transports.join(", ")}; got ${quoted(name)}`,
      { endpoint },
    );
  }
  if (address === "") throw badEndpoint(endpoint, `expected an address after ${name}://`);
  findScheme(name)?.check(endpoint, address, use);
}
