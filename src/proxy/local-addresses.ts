/** The addresses of this machine, and whether a proxy is about to connect to itself by one of them. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { InvalidArgumentError } from "../core/errors.js";
import { type LocalAddresses, reached, tcpTarget } from "./own-endpoints.js";

/** One socket of a proxy, when all are bound and none is connected. */
export interface Listening {
  readonly name: string;
  readonly bound: readonly string[];
  readonly connect: readonly string[];
}

/** @throws InvalidArgumentError `EINVAL` for an endpoint to connect to that is one of those bound, and names it */
export async function refuseOwn(sockets: readonly Listening[]): Promise<void> {
  const bound = sockets.flatMap((socket) => socket.bound);
  const local = await localAddresses(
    sockets.flatMap(({ connect }) => connect),
    bound,
  );
  for (const { name, connect } of sockets) {
    for (const endpoint of connect) {
      const own = reached(endpoint, bound, local);
      if (own === undefined) continue;
      throw new InvalidArgumentError(
        `${name} connects to ${endpoint}, but there the proxy itself listens (${own}): messages would go round for ever`,
        { endpoint },
      );
    }
  }
}

/**
 * Looks up the names that endpoints have, where it can matter.
 *
 * @param connects endpoints to connect to
 * @param bound endpoints that are listened at; names are asked for only where the port is one of theirs
 */
export async function localAddresses(
  connects: readonly string[],
  bound: readonly string[],
): Promise<LocalAddresses> {
  const ports = new Set(bound.map((endpoint) => tcpTarget(endpoint)?.port));
  const names = new Map<string, readonly string[]>();
  for (const endpoint of connects) {
    const target = tcpTarget(endpoint);
    if (target === undefined || isIP(target.host) !== 0 || !ports.has(target.port)) continue;
    names.set(target.host, await addressesOf(target.host));
  }
  const own = new Set<string>();
  for (const addresses of Object.values(networkInterfaces()))
    for (const { address } of addresses ?? []) own.add(address);
  return {
    isLocal: (address) =>
      own.has(address) || address.startsWith("127.") || ["0.0.0.0", "::", "::1"].includes(address),
    resolve: (host) => (isIP(host) === 0 ? (names.get(host) ?? []) : [host]),
  };
}

async function addressesOf(host: string): Promise<readonly string[]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch {
    return []; // Not known now: then nothing is certain.
  }
}
