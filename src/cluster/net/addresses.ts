/**
 * Addresses of nodes, "host:port" and "[v6]:port", and the host's interfaces that a node uses.
 *
 * IPv6 is written as the system writes it: lower case, zeros shortened.
 */
import { lookup } from "node:dns";
import { isIP, isIPv6, SocketAddress } from "node:net";
import { quoted } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { transportError } from "../../engine/zmtp/errors.js";
import { type HostInterface, type Platform, platformNow } from "../../engine/zmtp/transport/transports.js";
import { MAX_ADDRESS } from "../bounds.js";

export interface HostPort {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Checks for a colon first: the first use of `isIPv6` compiles an expression, several ms of each start. */
export function isIp6(host: string): boolean {
  return host.includes(":") && isIPv6(host);
}

export function splitAddress(address: string): HostPort | undefined {
  const at = address.lastIndexOf(":");
  if (at < 1 || address.length > MAX_ADDRESS) return undefined;
  const digits = address.slice(at + 1);
  const port = Number(digits);
  if (!/^\d{1,5}$/.test(digits) || port < 1 || port > 65_535) return undefined;
  const host = address.slice(0, at);
  if (!host.startsWith("[")) return host.includes(":") ? undefined : { host, port };
  const inner = host.endsWith("]") ? host.slice(1, -1) : "";
  return isIp6(inner) ? { host: inner, port } : undefined;
}

/** `undefined` unless the host is an IP address. A peer's name is never looked up. */
export function splitIpAddress(address: string): HostPort | undefined {
  const parts = splitAddress(address);
  return parts !== undefined && isIP(parts.host) !== 0 ? parts : undefined;
}

export function joinAddress(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** "host:port" of configuration and discovery; `undefined` for anything else. */
export function readAddress(value: unknown): HostPort | undefined {
  const parts = typeof value === "string" ? splitAddress(value) : undefined;
  if (parts === undefined) return undefined;
  return isIp6(parts.host) || /^[A-Za-z0-9._-]+$/.test(parts.host) ? parts : undefined;
}

/** @throws InvalidArgumentError `EINVAL` unless the value is "host:port" */
export function checkAddress(what: string, value: unknown): HostPort {
  const parts = readAddress(value);
  if (parts === undefined)
    throw new InvalidArgumentError(
      `${what} must be "host:port", or "[v6]:port", with a port from 1 to 65,535; got ${quoted(value)}`,
    );
  return parts;
}

/** IPv6 as the system writes it; anything else unchanged. */
export function canonicalAddress(address: string): string {
  const parts = splitAddress(address);
  if (parts === undefined || !isIp6(parts.host)) return address;
  const [ip = "", zone] = parts.host.split("%");
  const { address: canonical } = new SocketAddress({ address: ip, family: "ipv6" });
  return joinAddress(zone === undefined ? canonical : `${canonical}%${zone}`, parts.port);
}

/** Whether an address belongs to one link. */
export function isLinkLocal(host: string): boolean {
  return /^fe[89ab].*:/i.test(host);
}

export function resolveAddress({ host, port }: HostPort, families: 4 | 6 | "both" = 4): Promise<string[]> {
  if (isIP(host) !== 0) return Promise.resolve([canonicalAddress(joinAddress(host, port))]);
  const known = platformNow().lookup?.(host);
  if (known !== undefined) return known.then((address) => [joinAddress(address, port)]);
  return new Promise((resolve, reject) => {
    lookup(host, { all: true, family: families === "both" ? 0 : families }, (error, found) => {
      if (error === null) resolve(found.map(({ address }) => joinAddress(address, port)));
      else reject(error);
    });
  });
}

const LOOPBACK6: HostInterface = { name: "lo", address: "::1", internal: true };
const LOOPBACK: HostInterface = { name: "lo", address: "127.0.0.1", internal: true };

export interface InterfaceSettings {
  readonly scope: "host" | "link";
  /** Name or address; `undefined`: all. */
  readonly interface: string | undefined;
  readonly ipv6?: boolean;
}

/** Addresses that a node's sockets are bound to; `undefined`: none. */
export interface Binding {
  readonly v4: string | undefined;
  readonly v6: string | undefined;
}

/**
 * Interfaces by which packets are sent; the first one's address is the node's.
 *
 * @param list of `allInterfaces`
 * @throws InvalidArgumentError `EINVAL` for a missing interface
 */
export function usedInterfaces(
  list: readonly HostInterface[],
  { scope, interface: wanted, ipv6 = false }: InterfaceSettings,
): HostInterface[] {
  // A link-local address means nothing to another host without the interface by which that host reaches it.
  const all = list.filter(({ address }) => !address.includes(":") || (ipv6 && !isLinkLocal(address)));
  const named = all.filter(({ name, address }) => name === wanted || address === wanted);
  if (wanted !== undefined && named.length === 0) {
    const names = [...new Set(all.map(({ name }) => name))].join(", ");
    throw new InvalidArgumentError(`there is no interface ${quoted(wanted)}; there are ${names}`);
  }
  if (scope === "host") return [wanted === LOOPBACK6.address ? LOOPBACK6 : LOOPBACK];
  if (wanted !== undefined) return named;
  const found = all.filter(({ internal }) => !internal);
  // A machine without a network uses loopback.
  return found.length > 0 ? found : [LOOPBACK];
}

/** @param interfaces of `usedInterfaces`: the first one is the node's own */
export function bindingOf(
  platform: Platform,
  { scope, interface: wanted, ipv6 = false }: InterfaceSettings,
  interfaces: readonly HostInterface[],
): Binding {
  const own = interfaces[0]?.address ?? LOOPBACK.address;
  const both = ipv6 && platform.interfaces6 !== undefined;
  if (isIp6(own)) return { v4: undefined, v6: scope === "link" && wanted === undefined ? "::" : own };
  if (scope === "host") return { v4: LOOPBACK.address, v6: both ? LOOPBACK6.address : undefined };
  if (wanted === undefined) return { v4: "0.0.0.0", v6: both ? "::" : undefined };
  return { v4: own, v6: interfaces.find(({ address }) => isIp6(address))?.address };
}

/** @throws TransportError with the system's code */
export function allInterfaces(platform: Platform): readonly HostInterface[] {
  try {
    return [...platform.interfaces(), ...(platform.interfaces6?.() ?? [])];
  } catch (error) {
    // `info` has the system's error code.
    const { message, info } = error as Error & { readonly info?: { readonly code?: string } };
    const cause = info === undefined ? error : Object.assign(new Error(message), { code: info.code });
    throw transportError(cause, "list", "the host's interfaces");
  }
}
