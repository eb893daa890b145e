/** The endpoints of pages. */
import {
  addressOf,
  badEndpoint,
  checkForm,
  type EndpointUse,
  INPROC,
  type Scheme,
  webSocketScheme,
} from "../core/schemes/grammar.js";

const SCHEMES: ReadonlyMap<string, Scheme> = new Map(
  [webSocketScheme("ws"), webSocketScheme("wss"), INPROC].map((scheme) => [scheme.name, scheme]),
);

const OTHERWISE = "; a page reaches peers that bind ws:// or wss://";
const INPROC_BY =
  ', and has inproc after: import { enableInproc } from "shoal/browser/inproc"; enableInproc()';

/** A URL has no source address, and its host none of the characters that mean something else in it. */
const HOST_AND_PORT = /^(\[[^\]]+\]|[^[\]:;/?#*]+):\d+([/?]|$)/;

export function checkEndpoint(endpoint: unknown, use: EndpointUse, transports: readonly string[]): void {
  const otherwise = transports.includes(INPROC.name) ? OTHERWISE : OTHERWISE + INPROC_BY;
  checkForm(endpoint, use, transports, (name) => SCHEMES.get(name), otherwise);
  if (use === "connect" && endpoint.startsWith("ws") && !HOST_AND_PORT.test(addressOf(endpoint)))
    throw badEndpoint(endpoint, "expected a host name or an address, as in ws://HOST:PORT");
}

/**
 * The endpoint of a path on the page's server, with an explicit port: `wss://` for a page from https, else `ws://`.
 *
 * @param path begins with `/`, such as `/prices`
 */
export function pageEndpoint(path: string): string {
  const { protocol, hostname, port } = (
    globalThis as unknown as { location: { protocol: string; hostname: string; port: string } }
  ).location;
  const isSecure = protocol === "https:";
  return `${isSecure ? "wss" : "ws"}://${hostname}:${port === "" ? (isSecure ? 443 : 80) : port}${path}`;
}
