/**
 * Loopback addresses and local host names, against DNS rebinding: a name that resolves to 127.0.0.1 gives a
 * foreign page the origin of a local server. Only unregistrable names count as local.
 */
import { isIP, isIPv4 } from "node:net";

/** 127.0.0.0/8 or ::1, also as IPv4 within IPv6. */
export function isLoopback(address: string): boolean {
  const ip = address.replace(/^::ffff:(?=\d+\.)/i, "");
  return ip === "::1" || (isIPv4(ip) && ip.startsWith("127."));
}

/** In lower case. */
export function hostOf(header: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(header ?? "");
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}

export function isLoopbackHost(header: string | undefined): boolean {
  const host = hostOf(header);
  return host !== undefined && (isLocalName(host) || isLoopback(host));
}

/** DNS rebinding needs a name, so any address is accepted. */
export function isLocalNameOrAddress(header: string | undefined): boolean {
  const host = hostOf(header);
  return host !== undefined && (isLocalName(host) || isIP(host) !== 0);
}

function isLocalName(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost");
}
