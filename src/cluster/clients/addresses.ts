/**
 * Addresses of machines as the rules of discovery see them: which are private, which are in one network, and which of a
 * node's suit a caller best. Pure. IPv4 and IPv6, as texts.
 */
import { BlockList, isIP, isIPv4 } from "node:net";
import { isLoopback } from "../../core/loopback.js";

/** An address of a machine. */
export interface HostAddress {
  readonly ip: string;
  /** Name of the interface; empty where it is not known. */
  readonly interface: string;
  /** Bits of the network's prefix; 0 where it is not known. */
  readonly prefix: number;
  /** The address under which the outside reaches this one, as clouds have it. */
  readonly public?: string | undefined;
}

/** Which of a node's addresses a caller gets. `auto`: by where it comes from. */
export type AddressScope = "auto" | "private" | "public";

/** An address for a caller. */
export interface SeenAddress {
  readonly ip: string;
  readonly interface: string;
}

const PRIVATE = new BlockList();
for (const [network, prefix] of [
  ["10.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["100.64.0.0", 10],
  ["169.254.0.0", 16],
  ["127.0.0.0", 8],
] as const)
  PRIVATE.addSubnet(network, prefix, "ipv4");
for (const [network, prefix] of [
  ["fc00::", 7],
  ["fe80::", 10],
  ["::1", 128],
] as const)
  PRIVATE.addSubnet(network, prefix, "ipv6");

/** An address without its zone; one of IPv4 in the form of IPv6 is that of IPv4. */
export function plainIp(text: string): string {
  const zone = text.indexOf("%");
  const ip = zone < 0 ? text : text.slice(0, zone);
  return /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(ip) ? ip.slice(7) : ip;
}

/** Whether an address means something within a private network only; a text that is not an address counts as private. */
export function isPrivate(text: string): boolean {
  const ip = plainIp(text);
  const family = isIP(ip);
  return family === 0 || PRIVATE.check(ip, family === 4 ? "ipv4" : "ipv6");
}

/** Whether an address is in the network of another, by that one's prefix. */
export function isInNetwork(text: string, { ip, prefix }: HostAddress): boolean {
  const caller = plainIp(text);
  const family = isIP(caller);
  if (prefix === 0 || family === 0 || family !== isIP(ip)) return false;
  const network = new BlockList();
  network.addSubnet(ip, prefix, family === 4 ? "ipv4" : "ipv6");
  return network.check(caller, family === 4 ? "ipv4" : "ipv6");
}

/** Bits of a netmask such as "255.255.255.0"; 0 for anything else. */
export function prefixOf(netmask: string | undefined): number {
  if (netmask === undefined || !isIPv4(netmask)) return 0;
  const bits = netmask
    .split(".")
    .map((byte) => Number(byte).toString(2).padStart(8, "0"))
    .join("");
  return /^1*0*$/.test(bits) ? bits.replaceAll("0", "").length : 0;
}

/**
 * A node's addresses for a caller, the best one first: private ones in the caller's own network, then the other private ones;
 * or the public ones. A node that has none of the wanted kind gives the others, which are better than nothing.
 *
 * @param caller its source address; empty where it is not known, which counts as private
 */
export function addressesFor(
  all: readonly HostAddress[],
  caller: string,
  scope: AddressScope,
): readonly SeenAddress[] {
  const near = all.filter((each) => isInNetwork(caller, each));
  const wantsPublic = scope === "public" || (scope === "auto" && near.length === 0 && !isPrivate(caller));
  const outside = unique(
    all
      .map((each) => ({ ip: each.public ?? each.ip, interface: each.interface }))
      .filter(({ ip }) => !isPrivate(ip)),
  );
  const inside = unique(
    [...near, ...all.filter((each) => !near.includes(each))].map(({ ip, interface: name }) => ({
      ip,
      interface: name,
    })),
  );
  if (wantsPublic) return outside.length > 0 ? outside : inside;
  return inside.length > 0 ? inside : outside;
}

/** The address under which a caller reaches a host of a node: its public one for callers from outside. */
export function hostFor(all: readonly HostAddress[], host: string, seen: readonly SeenAddress[]): string {
  const own = all.find(({ ip }) => ip === host);
  if (own?.public === undefined || seen.some(({ ip }) => ip === host)) return host;
  return seen.some(({ ip }) => ip === own.public) ? own.public : host;
}

/** Of a machine's addresses those that a host is bound to: one, or all of them for a wildcard. */
export function boundTo(all: readonly HostAddress[], host: string): readonly HostAddress[] {
  if (host === "0.0.0.0" || host === "::" || host === "*") {
    const fits = host === "0.0.0.0" ? all.filter(({ ip }) => !ip.includes(":")) : all;
    // A machine without a network serves itself.
    return fits.length > 0 ? fits : [{ ip: "127.0.0.1", interface: "lo", prefix: 8 }];
  }
  const known = all.find(({ ip }) => ip === host);
  if (known !== undefined) return [known];
  const isLocal = isLoopback(host);
  return [{ ip: host, interface: isLocal ? "lo" : "", prefix: isLocal && isPrivate(host) ? 8 : 0 }];
}

function unique(addresses: readonly SeenAddress[]): readonly SeenAddress[] {
  return addresses.filter(({ ip }, at) => addresses.findIndex((other) => other.ip === ip) === at);
}
