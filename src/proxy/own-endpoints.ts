/**
 * Whether two endpoints are the same place: so a proxy does not connect to itself, and a configuration binds nothing
 * twice. Pure; the driver (proxy-sockets.ts) looks up the names and addresses of this machine.
 *
 * What a proxy sends to itself would come back forever, at the speed of the machine. That is certain where an endpoint to
 * connect to is one at which this proxy listens; a loop through another program is not seen here.
 */

/** The addresses of this machine, and how names resolve. */
export interface LocalAddresses {
  /** Whether an address is one of this machine's. */
  isLocal(address: string): boolean;
  /** The addresses of a name, in any order; none: unknown. */
  resolve(host: string): readonly string[];
}

/** Transports over TCP: two of them cannot be bound to one port, except for the paths of one scheme. */
const OVER_TCP = /^(tcp|tls|wss?):\/\//;

/** The parts of an endpoint over TCP. */
export interface TcpTarget {
  readonly scheme: string;
  /** Of ws and wss; else empty. */
  readonly path: string;
  readonly host: string;
  readonly port: string;
}

/** @returns `undefined` for another transport; without the source address that a connect may name */
export function tcpTarget(endpoint: string): TcpTarget | undefined {
  const scheme = OVER_TCP.exec(endpoint)?.[1];
  if (scheme === undefined) return undefined;
  const [, authority, path] = /^([^/?]*)([^?]*)/.exec(endpoint.slice(scheme.length + 3)) as unknown as [
    string,
    string,
    string,
  ];
  const target = authority.slice(authority.indexOf(";") + 1);
  const colon = target.lastIndexOf(":");
  if (colon < 0) return undefined;
  return {
    scheme,
    path: scheme.startsWith("ws") ? path || "/" : "",
    host: target.slice(0, colon).replace(/^\[(.*)\]$/, "$1"),
    port: target.slice(colon + 1),
  };
}

/**
 * The bound endpoint that a connect would reach.
 *
 * @param bound as resolved: with the port, and with the address or a wildcard
 */
export function reached(
  connect: string,
  bound: readonly string[],
  local: LocalAddresses,
): string | undefined {
  const target = tcpTarget(connect);
  if (target === undefined) return bound.find((endpoint) => endpoint === connect);
  return bound.find((endpoint) => {
    const listener = tcpTarget(endpoint);
    if (listener === undefined || !isSameService(listener, target)) return false;
    if (listener.host === target.host) return true;
    const there = local.resolve(target.host);
    if (isEverywhere(listener.host)) return there.some((address) => local.isLocal(address));
    return there.some((address) => local.resolve(listener.host).includes(address));
  });
}

/** Whether each bind of it gives another endpoint. */
export function isWildcard(endpoint: string): boolean {
  const port = tcpTarget(endpoint)?.port;
  return port === "*" || (port !== undefined && Number(port) === 0) || endpoint === "ipc://*";
}

/** Whether both may be one place: the same text, or the same tcp port, whatever the address. */
export function overlaps(one: string, other: string): boolean {
  if (isWildcard(one) || isWildcard(other)) return false;
  const [first, second] = [tcpTarget(one), tcpTarget(other)];
  if (first === undefined || second === undefined) return one === other;
  return (
    Number(first.port) === Number(second.port) &&
    (first.scheme !== second.scheme || first.path === second.path)
  );
}

/** Whether a client of one is understood by the other, if they are at one address. */
function isSameService(one: TcpTarget, other: TcpTarget): boolean {
  return Number(one.port) === Number(other.port) && one.scheme === other.scheme && one.path === other.path;
}

/** Whether both can certainly not be bound at once: the same text, or the same port with one address or with a wildcard. */
export function collides(one: string, other: string): boolean {
  if (!overlaps(one, other)) return false;
  const [first, second] = [tcpTarget(one), tcpTarget(other)];
  if (first === undefined || second === undefined) return true;
  return first.host === second.host || isEverywhere(first.host) || isEverywhere(second.host);
}

/** Whether a connection to one certainly reaches the other, without looking up a name. */
export function leadsTo(connect: string, bound: string): boolean {
  if (!overlaps(connect, bound)) return false;
  const [from, to] = [tcpTarget(connect), tcpTarget(bound)];
  if (from === undefined || to === undefined) return true;
  if (!isSameService(from, to)) return false;
  if (from.host === to.host) return true;
  const loopback = ["localhost", "127.0.0.1", "::1"];
  return loopback.includes(from.host) && (isEverywhere(to.host) || loopback.includes(to.host));
}

function isEverywhere(host: string): boolean {
  return host === "*" || host === "0.0.0.0" || host === "::";
}
