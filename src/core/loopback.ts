/**
 * Loopback, and the names that a browser uses for it. Pure.
 *
 * A page whose name is made to point to 127.0.0.1 (DNS rebinding) is, to its browser, of the same origin as what listens there.
 * The request still has that name as its Host, so over loopback a name counts only if no stranger can own it.
 */
import { isIP, isIPv4 } from "node:net";

/** Whether an address is 127.0.0.0/8 or ::1, also as IPv4 within IPv6. */
export function isLoopback(address: string): boolean {
  const ip = address.replace(/^::ffff:(?=\d+\.)/i, "");
  return ip === "::1" || (isIPv4(ip) && ip.startsWith("127."));
}

/** The name or address in a Host header, lower-case; `undefined` for what is not one. */
export function hostOf(header: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(header ?? "");
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}

/** Whether a Host header has localhost, a name below it, or a loopback address. */
export function isLoopbackHost(header: string | undefined): boolean {
  const host = hostOf(header);
  return host !== undefined && (isLocalName(host) || isLoopback(host));
}

/** The same, or any other address: no name can be made to point to a host that has none. */
export function isLocalNameOrAddress(header: string | undefined): boolean {
  const host = hostOf(header);
  return host !== undefined && (isLocalName(host) || isIP(host) !== 0);
}

function isLocalName(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost");
}
