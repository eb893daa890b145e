/**
 * Whether two endpoints are the same place: no proxy connects to itself, and no configuration binds twice. Pure: looks
 * up no name.
 *
 * A proxy's messages to itself would return forever at full speed. Loops by other names are not found.
 */

/** Two cannot share a port, except different paths of one scheme. */
const OVER_TCP = /^(tcp|tls|wss?):\/\//;

export interface TcpTarget {
  readonly scheme: string;
  /** Path of ws and wss; else empty. */
  readonly path: string;
  readonly host: string;
  readonly port: string;
}

/** @returns the target without its source address, if TCP-based */
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

/** Whether each bind gets another port. */
export function isWildcard(endpoint: string): boolean {
  const port = tcpTarget(endpoint)?.port;
  return port === "*" || (port !== undefined && Number(port) === 0) || endpoint === "ipc://*";
}

/** Possibly the same place: equal text, or one TCP port at any address. */
export function overlaps(one: string, other: string): boolean {
  if (isWildcard(one) || isWildcard(other)) return false;
  const [first, second] = [tcpTarget(one), tcpTarget(other)];
  if (first === undefined || second === undefined) return one === other;
  return (
    Number(first.port) === Number(second.port) &&
    (first.scheme !== second.scheme || first.path === second.path)
  );
}

/** Whether a client of one can talk to the other. */
function isSameService(one: TcpTarget, other: TcpTarget): boolean {
  return Number(one.port) === Number(other.port) && one.scheme === other.scheme && one.path === other.path;
}

/** Certainly not bindable together: equal text, or one port with equal or wildcard addresses. */
export function collides(one: string, other: string): boolean {
  if (!overlaps(one, other)) return false;
  const [first, second] = [tcpTarget(one), tcpTarget(other)];
  if (first === undefined || second === undefined) return true;
  return first.host === second.host || isEverywhere(first.host) || isEverywhere(second.host);
}

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
