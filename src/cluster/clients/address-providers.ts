/** Providers of a machine's addresses. Behind NAT, only a cloud's metadata service knows the public one. */
import { isIP } from "node:net";
import { invalidArgument, quoted } from "../../core/arguments.js";
import { InvalidArgumentError, ProtocolError, TimeoutError } from "../../core/errors.js";
import { platformNow } from "../../engine/zmtp/transport/transports.js";
import { checkOptions, type Given, integer, text } from "../../kit/options.js";
import { type HttpRequest, requestText } from "../discovery/http.js";
import { isLinkLocal } from "../net/addresses.js";
import { allInterfaces } from "../net/interfaces.js";
import { type HostAddress, plainIp } from "./addresses.js";

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
