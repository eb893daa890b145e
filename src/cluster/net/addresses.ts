/**
 * Addresses of nodes, "host:port" and "[v6]:port".
 *
 * IPv6 is written as the system writes it: lower case, zeros shortened.
 */
import { lookup } from "node:dns";
import { isIP, isIPv4, isIPv6, SocketAddress } from "node:net";
import { quoted } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { platformNow } from "../../engine/zmtp/transport/transports.js";
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

export function isGroup(address: string): boolean {
  return isIPv4(address) ? /^2(?:2[4-9]|3\d)\./.test(address) : isIPv6(address) && /^ff/i.test(address);
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
