/**
 * Whether two endpoints are the same place: no proxy connects to itself, and no configuration binds twice. Pure: looks
 * up no name.
 *
 * A proxy's messages to itself would return forever at full speed. Loops by other names are not found.
 */
import { parseHostPort, parseWs } from "../core/schemes/grammar.js";

/** Two cannot share a port, except different paths of one scheme. */
const OVER_TCP = /^(tcp|tls|wss?):\/\//;

interface TcpTarget {
  readonly scheme: string;
  /** Path of ws and wss; else empty. */
  readonly path: string;
  readonly host: string;
  /** 0: a wildcard. */
  readonly port: number;
}

/** @returns the target without its source address, if TCP-based */
function tcpTarget(endpoint: string): TcpTarget | undefined {
  const scheme = OVER_TCP.exec(endpoint)?.[1];
  if (scheme === undefined) return undefined;
  const { authority, path } = parseWs(endpoint);
  const { host, port } = parseHostPort(`tcp://${authority}`);
  return { scheme, path: scheme.startsWith("ws") ? path : "", host, port };
}

/** Whether each bind gets another port. */
export function isWildcard(endpoint: string): boolean {
  return tcpTarget(endpoint)?.port === 0 || endpoint === "ipc://*";
}

/** Possibly the same place: equal text, or one TCP port at any address. */
export function overlaps(one: string, other: string): boolean {
  if (isWildcard(one) || isWildcard(other)) return false;
  const [first, second] = [tcpTarget(one), tcpTarget(other)];
  if (first === undefined || second === undefined) return one === other;
  return first.port === second.port && (first.scheme !== second.scheme || first.path === second.path);
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
  if (from.scheme !== to.scheme) return false;
  if (from.host === to.host) return true;
  const loopback = ["localhost", "127.0.0.1", "::1"];
  return loopback.includes(from.host) && (isEverywhere(to.host) || loopback.includes(to.host));
}

function isEverywhere(host: string): boolean {
  return host === "*" || host === "0.0.0.0" || host === "::";
}
