/** Addresses of a machine, IPv4 and IPv6: the providers that find them, and the choice of those that suit a client. */
import { BlockList, isIP } from "node:net";
import { invalidArgument, quoted } from "../../core/arguments.js";
import { InvalidArgumentError, ProtocolError, TimeoutError } from "../../core/errors.js";
import { isLoopback } from "../../core/http-server.js";
import { platformNow } from "../../engine/zmtp/transport/transports.js";
import { checkOptions, type Given, integer, text } from "../../kit/options.js";
import { type HttpRequest, requestText } from "../discovery/http.js";
import { allInterfaces, isLinkLocal } from "../net/addresses.js";

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

/**
 * Returns this machine's addresses, without loopback. If it throws or rejects, the known addresses stay, and the server
 * emits `addresses:failed`.
 *
 * @param signal aborts when the server closes, or no longer waits
 */
export type AddressProvider = (
  signal: AbortSignal,
) => Promise<readonly HostAddress[]> | readonly HostAddress[];

const EC2_OPTIONS = {
  /** Metadata service, "http://host[:port]". Default `http://169.254.169.254`. */
  endpoint: text(),
  /** ms per request. Default 2,000. */
  timeout: integer({ default: 2_000 }),
};

/** Options of {@link ec2Addresses}. */
export type Ec2Options = Given<typeof EC2_OPTIONS>;

/** Active interfaces' addresses, without loopback and link-local ones. */
export function interfaceAddresses(): HostAddress[] {
  return allInterfaces(platformNow())
    .filter(({ internal, address }) => !internal && !isLinkLocal(address))
    .map(({ name, address, prefix = 0 }) => ({ ip: address, interface: name, prefix }));
}

/**
 * The interfaces' addresses, and the public address of the instance's first private one by the metadata service of EC2
 * (IMDSv2), or of a cloud that imitates it, such as OpenStack. In a container with its own network only that pair,
 * and `ETIMEDOUT` unless the instance's hop limit (default 1) is raised.
 *
 * @throws InvalidArgumentError `EINVAL`
 */
export function ec2Addresses(options: Ec2Options = {}): AddressProvider {
  const { timeout, endpoint } = checkOptions("ec2Addresses", EC2_OPTIONS, options);
  const base = baseOf(endpoint);
  return async (signal) => {
    const ttl = { "X-aws-ec2-metadata-token-ttl-seconds": "60" };
    const hint = "; in a container, set the hop limit of the instance's metadata options to 2 or more";
    const tokenUrl = `${base}/latest/api/token`;
    const token = await ask(tokenUrl, { method: "PUT", headers: ttl, timeout, signal }, hint);
    // OpenStack has no tokens.
    const headers = token === undefined ? {} : { "X-aws-ec2-metadata-token": token.trim() };
    const get = async (name: string): Promise<string> =>
      (await ask(`${base}/latest/meta-data/${name}`, { method: "GET", headers, timeout, signal }))?.trim() ??
      "";
    const [local, outside] = await Promise.all([get("local-ipv4"), get("public-ipv4")]);
    if (isIP(local) === 0) throw new ProtocolError("the metadata service has no local-ipv4");
    const mapped = isIP(outside) === 0 || outside === local ? undefined : outside;
    const own = interfaceAddresses();
    return own.some(({ ip }) => ip === local)
      ? own.map((each) => (each.ip === local ? { ...each, public: mapped } : each))
      : [{ ip: local, interface: "", prefix: 0, public: mapped }];
  };
}

/** @throws InvalidArgumentError `EINVAL`: not a list of addresses */
export function checkAddresses(given: unknown): readonly HostAddress[] {
  if (!Array.isArray(given))
    throw invalidArgument("an address provider must return an array of addresses", given);
  return given.map((each: Partial<HostAddress> | null) => {
    const { ip, interface: name = "", prefix = 0, public: outside } = each ?? {};
    const isBad = typeof ip !== "string" || isIP(ip) === 0 || typeof name !== "string";
    const bits = !isBad && isIP(plainIp(ip)) === 4 ? 32 : 128;
    if (
      isBad ||
      !Number.isSafeInteger(prefix) ||
      prefix < 0 ||
      prefix > bits ||
      // `isIP` takes an array for its text, and a list may come from another node.
      (outside !== undefined && (typeof outside !== "string" || isIP(outside) === 0))
    )
      throw invalidArgument(
        "an address must be { ip, interface, prefix, public } with IP addresses as texts",
        JSON.stringify(each),
      );
    return { ip: plainIp(ip as string), interface: name, prefix, public: outside };
  });
}

/**
 * @param hint possible reason of silence
 * @returns `undefined` for 404
 * @throws TransportError, TimeoutError; ProtocolError for another status or too many bytes
 */
async function ask(url: string, asked: Omit<HttpRequest, "url">, hint = ""): Promise<string | undefined> {
  const request = { ...asked, url: new URL(url), headers: { accept: "*/*", ...asked.headers } };
  const { status, text } = await requestText(request, 65_536).catch((error: unknown) => {
    if (error instanceof TimeoutError)
      throw new TimeoutError("ETIMEDOUT", `${error.message}${hint}`, { cause: error });
    throw error;
  });
  if (status === 200) return text;
  if (status === 404) return undefined;
  throw new ProtocolError(`${asked.method} ${url}: status ${status}`);
}

function baseOf(endpoint = "http://169.254.169.254"): string {
  if (!/^http:\/\/[^/\s]+\/?$/.test(endpoint))
    throw new InvalidArgumentError(`Option endpoint must be http://HOST[:PORT]; got ${quoted(endpoint)}`);
  return endpoint.replace(/\/$/, "");
}
