/** Providers of a node's addresses. Behind NAT, only a cloud's metadata service knows the public one. */
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { quoted } from "../../core/arguments.js";
import { InvalidArgumentError, ProtocolError, TimeoutError } from "../../core/errors.js";
import { checkOptions, integer, text } from "../../patterns/kit/options.js";
import { type HttpRequest, requestText } from "../discovery/http.js";
import { type HostAddress, plainIp, prefixOf } from "./addresses.js";

const METADATA_ENDPOINT = "http://169.254.169.254";
const METADATA_TIMEOUT = 2_000;
const MAX_METADATA = 65_536;
const TOKEN_TTL = 21_600;
const MAX_INTERFACES = 16;

/** Returns this machine's addresses without loopback; a rejection becomes an event. */
export type AddressProvider = (
  signal: AbortSignal,
) => Promise<readonly HostAddress[]> | readonly HostAddress[];

export interface MetadataOptions {
  /** Default `http://169.254.169.254`. */
  readonly endpoint?: string | undefined;
  /** ms per request. Default 2,000. */
  readonly timeout?: number | undefined;
}

export interface Ec2Options extends MetadataOptions {
  /** Token lifetime in seconds, 1 to 21,600. Default 21,600. */
  readonly tokenTtl?: number | undefined;
}

const METADATA_OPTIONS = { endpoint: text(), timeout: integer({ default: METADATA_TIMEOUT }) };
const EC2_OPTIONS = {
  ...METADATA_OPTIONS,
  tokenTtl: integer({ default: TOKEN_TTL, max: TOKEN_TTL }),
};

/** Active interfaces' addresses, without loopback and link-local ones. */
export function interfaceAddresses(): AddressProvider {
  return () =>
    Object.entries(networkInterfaces()).flatMap(([name, found = []]) =>
      found
        .filter(({ internal, address }) => !internal && !/^fe[89ab]/i.test(address))
        .map(({ address, cidr, netmask, family }) => ({
          ip: address,
          interface: name,
          prefix: family === "IPv4" ? prefixOf(netmask) : Number(cidr?.split("/")[1] ?? 0),
        })),
    );
}

/**
 * Addresses of an EC2 instance by IMDSv2, private and public. In a container with its own network it rejects
 * with `ETIMEDOUT` unless the instance's hop limit (default 1) is raised.
 *
 * @throws InvalidArgumentError `EINVAL`
 */
export function ec2Addresses(options: Ec2Options = {}): AddressProvider {
  const { timeout, tokenTtl, endpoint } = checkOptions("ec2Addresses", EC2_OPTIONS, options);
  const base = baseOf(endpoint);
  return async (signal) => {
    const token = await ask(
      `${base}/latest/api/token`,
      {
        method: "PUT",
        headers: { "X-aws-ec2-metadata-token-ttl-seconds": String(tokenTtl) },
        timeout,
        signal,
      },
      "; in a container, set the hop limit of the instance's metadata options to 2 or more",
    );
    const headers = { "X-aws-ec2-metadata-token": required(token, "a token").trim() };
    const get = (path: string): Promise<string | undefined> =>
      ask(`${base}/latest/meta-data/${path}`, { method: "GET", headers, timeout, signal });
    const root = "network/interfaces/macs/";
    const macs = lines(required(await get(root), root)).slice(0, MAX_INTERFACES);
    const found: HostAddress[] = [];
    for (const each of macs) {
      const mac = each.replace(/\/$/, "");
      const [number, locals, subnet] = await Promise.all(
        ["device-number", "local-ipv4s", "subnet-ipv4-cidr-block"].map((key) => get(`${root}${mac}/${key}`)),
      );
      const prefix = Number(subnet?.trim().split("/")[1] ?? 0) || 0;
      const name = macNames().get(mac.toLowerCase()) ?? `eth${number?.trim() ?? found.length}`;
      // There is one file per public and private pair.
      const associations = lines((await get(`${root}${mac}/ipv4-associations/`)) ?? "");
      const outside = new Map<string, string>();
      for (const ip of associations.slice(0, MAX_INTERFACES)) {
        const local = (await get(`${root}${mac}/ipv4-associations/${ip}`))?.trim();
        if (local !== undefined && isIP(ip) !== 0) outside.set(local, ip);
      }
      for (const ip of lines(locals ?? "").filter((line) => isIP(line) !== 0))
        found.push({ ip, interface: name, prefix, public: outside.get(ip) });
    }
    return found;
  };
}

/**
 * Addresses of an OpenStack instance: private ones from `network_data.json`, the floating one from EC2's
 * metadata.
 *
 * @throws InvalidArgumentError `EINVAL`
 */
export function openStackAddresses(options: MetadataOptions = {}): AddressProvider {
  const { timeout, endpoint } = checkOptions("openStackAddresses", METADATA_OPTIONS, options);
  const base = baseOf(endpoint);
  return async (signal) => {
    const get = (path: string): Promise<string | undefined> =>
      ask(`${base}/${path}`, { method: "GET", timeout, signal });
    const path = "openstack/latest/network_data.json";
    const [data, local, outside] = await Promise.all([
      get(path),
      get("latest/meta-data/local-ipv4"),
      get("latest/meta-data/public-ipv4"),
    ]);
    const { links, networks } = networkData(required(data, path));
    const floating = outside?.trim() ?? "";
    return networks.slice(0, MAX_INTERFACES).flatMap(({ link, ip_address: address, netmask }) => {
      const ip = typeof address === "string" ? plainIp(address.split("/")[0] as string) : "";
      if (isIP(ip) === 0) return [];
      const { ethernet_mac_address: mac, name } = links.find(({ id }) => id === link) ?? {};
      const known = typeof mac === "string" ? macNames().get(mac.toLowerCase()) : undefined;
      const bits = typeof address === "string" ? Number(address.split("/")[1] ?? 0) || 0 : 0;
      const isLocal = ip === local?.trim() && isIP(floating) !== 0 && floating !== ip;
      return [
        {
          ip,
          interface: known ?? (typeof name === "string" ? name : String(link ?? "")),
          prefix: bits || prefixOf(typeof netmask === "string" ? netmask : undefined),
          public: isLocal ? floating : undefined,
        },
      ];
    });
  };
}

/** @throws InvalidArgumentError `EINVAL`: not a list of addresses */
export function checkAddresses(given: unknown): readonly HostAddress[] {
  if (!Array.isArray(given))
    throw new InvalidArgumentError("an address provider must return an array of addresses");
  return given.map((each: Partial<HostAddress> | null) => {
    const { ip, interface: name = "", prefix = 0, public: outside } = each ?? {};
    const isBad = typeof ip !== "string" || isIP(ip) === 0 || typeof name !== "string";
    if (isBad || !Number.isSafeInteger(prefix) || (outside !== undefined && isIP(outside) === 0))
      throw new InvalidArgumentError(
        "an address must be { ip, interface, prefix, public } with IP addresses as texts",
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
  const { status, text } = await requestText(request, MAX_METADATA).catch((error: unknown) => {
    if (error instanceof TimeoutError)
      throw new TimeoutError("ETIMEDOUT", `${error.message}${hint}`, { cause: error });
    throw error;
  });
  if (status === 200) return text;
  if (status === 404) return undefined;
  throw new ProtocolError(`${asked.method} ${url}: status ${status}`);
}

function required(answer: string | undefined, what: string): string {
  if (answer !== undefined) return answer;
  throw new ProtocolError(`the metadata service has no ${what}`);
}

function lines(answer: string): string[] {
  return answer
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

function baseOf(endpoint: string = METADATA_ENDPOINT): string {
  if (!/^http:\/\/[^/\s]+\/?$/.test(endpoint))
    throw new InvalidArgumentError(`Option endpoint must be http://HOST[:PORT]; got ${quoted(endpoint)}`);
  return endpoint.replace(/\/$/, "");
}

function macNames(): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(networkInterfaces()).flatMap(([name, all = []]) =>
      all.map(({ mac }) => [mac.toLowerCase(), name] as const),
    ),
  );
}

type Part = Readonly<Record<string, unknown>>;

function networkData(text: string): { readonly links: readonly Part[]; readonly networks: readonly Part[] } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ProtocolError("network_data.json is not JSON");
  }
  const { links, networks } = (value ?? {}) as Part;
  const parts = (of: unknown): Part[] =>
    Array.isArray(of) ? of.filter((each): each is Part => typeof each === "object" && each !== null) : [];
  return { links: parts(links), networks: parts(networks) };
}
