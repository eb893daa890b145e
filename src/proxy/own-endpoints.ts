/**
 * Whether a proxy is about to connect to itself. Pure; the driver finds out what names and addresses this machine has.
 *
 * What a proxy sends would come back to it for ever, at the speed of the machine. It is certain where an endpoint to
 * connect to is one that this proxy listens at; a way round through another program is not seen here.
 */

/** The addresses of this machine, and how names resolve. */
export interface LocalAddresses {
  /** Whether an address is one of this machine's. */
  isLocal(address: string): boolean;
  /** The addresses of a name, in any order; none: unknown. */
  resolve(host: string): readonly string[];
}

/** The parts of a tcp endpoint. */
export interface TcpTarget {
  readonly host: string;
  readonly port: string;
}

/** @returns `undefined` for another transport; without the source address that a connect may name */
export function tcpTarget(endpoint: string): TcpTarget | undefined {
  if (!endpoint.startsWith("tcp://")) return undefined;
  const address = endpoint.slice(6);
  const target = address.slice(address.indexOf(";") + 1);
  const colon = target.lastIndexOf(":");
  if (colon < 0) return undefined;
  return { host: target.slice(0, colon).replace(/^\[(.*)\]$/, "$1"), port: target.slice(colon + 1) };
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
    if (listener === undefined || Number(listener.port) !== Number(target.port)) return false;
    if (listener.host === target.host) return true;
    const there = local.resolve(target.host);
    if (isWildcard(listener.host)) return there.some((address) => local.isLocal(address));
    return there.some((address) => local.resolve(listener.host).includes(address));
  });
}

function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::" || host === "*";
}
