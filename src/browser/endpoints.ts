/** The endpoints of pages. */
import {
  addressOf,
  badEndpoint,
  checkForm,
  type EndpointUse,
  INPROC,
  type Scheme,
  webSocketScheme,
} from "../core/schemes/scheme.js";

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

/** Without brackets. */
export function hostOf(endpoint: string): string {
  return new URL(endpoint).hostname.replace(/^\[|\]$/g, "");
}
