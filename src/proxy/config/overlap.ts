/** Whether two endpoints can be the same place. Pure, and careful: it knows no addresses of the machine. */
import { tcpTarget } from "../own-endpoints.js";

/** Another endpoint each time it is bound. */
export function isWildcard(endpoint: string): boolean {
  const port = tcpTarget(endpoint)?.port;
  return port === "*" || (port !== undefined && Number(port) === 0) || endpoint === "ipc://*";
}

/** Whether both may be one place: the same text, or the same tcp port, whatever the address. */
export function overlaps(one: string, other: string): boolean {
  if (isWildcard(one) || isWildcard(other)) return false;
  const [first, second] = [tcpTarget(one), tcpTarget(other)];
  if (first === undefined || second === undefined) return one === other;
  return Number(first.port) === Number(second.port);
}

/** Whether both can certainly not be bound at once: the same text, or the same port with one address or with a wildcard. */
export function collides(one: string, other: string): boolean {
  if (!overlaps(one, other)) return false;
  const [first, second] = [tcpTarget(one), tcpTarget(other)];
  if (first === undefined || second === undefined) return true;
  return first.host === second.host || isEverywhere(first.host) || isEverywhere(second.host);
}

/** Whether who connects to one certainly reaches the other, without asking for the addresses of a name. */
export function leadsTo(connect: string, bound: string): boolean {
  if (!overlaps(connect, bound)) return false;
  const [from, to] = [tcpTarget(connect), tcpTarget(bound)];
  if (from === undefined || to === undefined) return true;
  if (from.host === to.host) return true;
  const loopback = ["localhost", "127.0.0.1", "::1"];
  return loopback.includes(from.host) && (isEverywhere(to.host) || loopback.includes(to.host));
}

function isEverywhere(host: string): boolean {
  return host === "*" || host === "0.0.0.0" || host === "::";
}
