/** Classifies machine addresses, IPv4 and IPv6. */
import { BlockList, isIP } from "node:net";
import { isLoopback } from "../../core/http-server.js";

/** An address of a machine, as an {@link AddressProvider} reports it. */
export interface HostAddress {
  /** IPv4 or IPv6. */
  readonly ip: string;
  /** Name of the network interface, such as "eth0"; "": unknown. */
  readonly interface: string;
  /** Bits of its network, such as 24; 0: unknown. */
  readonly prefix: number;
  /** Public address under which it is reached from outside, as in clouds. */
  readonly public?: string | undefined;
}

/** Which addresses of nodes a client gets: private or public ones; with `auto` its own address decides. */
export type AddressScope = "auto" | "private" | "public";

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

export function isPort(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= 65_535;
}

/** Without zone, IPv4-mapped IPv6 as IPv4. */
export function plainIp(text: string): string {
  const zone = text.indexOf("%");
  const ip = zone < 0 ? text : text.slice(0, zone);
  return /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(ip) ? ip.slice(7) : ip;
}

/** Other text counts as private. */
export function isPrivate(text: string): boolean {
  const ip = plainIp(text);
  const family = isIP(ip);
  return family === 0 || PRIVATE.check(ip, family === 4 ? "ipv4" : "ipv6");
}

/** Empty if unknown. */
export function networkOf({ ip, prefix }: HostAddress): BlockList {
  const network = new BlockList();
  if (prefix > 0) network.addSubnet(ip, prefix, isIP(ip) === 4 ? "ipv4" : "ipv6");
  return network;
}

function isInNetwork(text: string, address: HostAddress): boolean {
  const caller = plainIp(text);
  const family = isIP(caller);
  return family === isIP(address.ip) && networkOf(address).check(caller, family === 4 ? "ipv4" : "ipv6");
}

/**
 * Best first: the machine's own ones, those in the client's network before others; or the public ones, if
 * there are any.
 *
 * @param caller source address; "": unknown, thus private
 */
export function addressesFor(
  all: readonly HostAddress[],
  caller: string,
  scope: AddressScope,
): readonly SeenAddress[] {
  const near = all.filter((each) => isInNetwork(caller, each));
  const wantsPublic = scope === "public" || (scope === "auto" && near.length === 0 && !isPrivate(caller));
  if (wantsPublic) {
    const outside = all
      .map((each) => ({ ip: each.public ?? each.ip, interface: each.interface }))
      .filter(({ ip }) => !isPrivate(ip));
    if (outside.length > 0) return unique(outside);
  }
  const inside = [...near, ...all.filter((each) => !near.includes(each))];
  return unique(inside.map(({ ip, interface: name }) => ({ ip, interface: name })));
}

/** Address of a node's host for a client. */
export function hostFor(all: readonly HostAddress[], host: string, seen: readonly SeenAddress[]): string {
  const own = all.find(({ ip }) => ip === host);
  if (own?.public === undefined || seen.some(({ ip }) => ip === host)) return host;
  return seen.some(({ ip }) => ip === own.public) ? own.public : host;
}

/** Addresses that a host binds: one, or all for a wildcard. */
export function boundTo(all: readonly HostAddress[], host: string): readonly HostAddress[] {
  if (host === "0.0.0.0" || host === "::" || host === "*") {
    const fits = host === "0.0.0.0" ? all.filter(({ ip }) => !ip.includes(":")) : all;
    // A machine without a network can serve itself.
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
