/**
 * Endpoints that a member advertises under a name, as texts in its details: billing=tcp://10.0.0.1:5555
 *
 * Another node wrote the text, so unusable endpoints are skipped: invalid ones, inproc names and source addresses; and
 * for other hosts also ipc paths and loopback addresses.
 */
import { invalidArgument } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import { isLoopbackHost } from "../core/http-server.js";
import { MAX_TAG } from "./bounds.js";
import { isReservedTag } from "./tags.js";

export interface AdvertisedEndpoint {
  readonly name: string;
  readonly endpoint: string;
}

/** Bytes of an ipc path: the rest of an endpoint is its name. */
const MAX_PATH = 107;
const WILDCARDS = ["0.0.0.0", "[::]", "*"];

/** A name is a tag, too. @throws InvalidArgumentError `EINVAL` */
export function checkServiceName(name: unknown): asserts name is string {
  if (typeof name === "string" && isReservedTag(name))
    throw new InvalidArgumentError(`an endpoint's name must not be the built-in tag "${name}"`);
  if (typeof name !== "string" || !/^[^=\s\p{C}]+$/u.test(name) || Buffer.byteLength(name) > MAX_TAG)
    throw invalidArgument(`an endpoint's name must have 1 to ${MAX_TAG} bytes without spaces and "="`, name);
}

/** The host may be a wildcard, the port may not. @throws InvalidArgumentError `EINVAL` */
export function checkAdvertised(endpoint: unknown): asserts endpoint is string {
  if (typeof endpoint === "string" && isForPeers(published(endpoint, "127.0.0.1"))) return;
  throw invalidArgument(
    "an advertised endpoint must be tcp://HOST:PORT, tls://HOST:PORT or ipc://PATH with a port from 1 to 65,535",
    endpoint,
  );
}

function isForPeers(endpoint: string): boolean {
  const [, port] =
    /^(?:tcp|tls):\/\/(?:\[[\da-fA-F:.]+(?:%[\w.-]+)?\]|[\w.-]+):(\d{1,5})$/.exec(endpoint) ?? [];
  if (port !== undefined) return Number(port) >= 1 && Number(port) <= 65_535;
  const path = endpoint.startsWith("ipc://") ? endpoint.slice(6) : "";
  return path !== "" && path !== "*" && Buffer.byteLength(path) <= MAX_PATH && !path.includes("\0");
}

/** Replaces a wildcard host. @param host the node's address without its port */
export function published(endpoint: string, host: string): string {
  const at = endpoint.lastIndexOf(":");
  if (!/^t(?:cp|ls):/.test(endpoint) || !WILDCARDS.includes(endpoint.slice(6, at))) return endpoint;
  return `${endpoint.slice(0, 6)}${host}${endpoint.slice(at)}`;
}

export function endpointText({ name, endpoint }: AdvertisedEndpoint): string {
  return `${name}=${endpoint}`;
}

/** The name is empty if the text has none. */
export function readEndpoint(text: string): AdvertisedEndpoint {
  const at = text.indexOf("=");
  return { name: text.slice(0, Math.max(0, at)), endpoint: text.slice(at + 1) };
}

export function advertisedNames(texts: readonly string[]): string[] {
  if (texts.length === 0) return [];
  return [...new Set(texts.map((text) => readEndpoint(text).name))].filter((name) => name !== "");
}

export function endpointsByName(texts: readonly string[]): Readonly<Record<string, readonly string[]>> {
  // No prototype: a name may be "__proto__".
  const found = Object.create(null) as Record<string, string[]>;
  for (const text of texts) {
    const { name, endpoint } = readEndpoint(text);
    found[name] ??= [];
    found[name].push(endpoint);
  }
  for (const endpoints of Object.values(found)) Object.freeze(endpoints);
  return Object.freeze(found);
}

/** @param isSameHost whether the member is on this node's host */
export function isWithinReach(endpoint: string, isSameHost: boolean): boolean {
  if (!isForPeers(endpoint)) return false;
  if (endpoint.startsWith("ipc://")) return isSameHost;
  return isSameHost || !isLoopbackHost(endpoint.slice(6));
}
