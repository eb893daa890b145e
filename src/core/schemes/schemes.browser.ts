/** Replaces schemes.ts: `ws://HOST:PORT/PATH`, `wss://…`, and `inproc://NAME` once added. */
import { invalidArgument, quoted } from "../arguments.js";
import { TransportError } from "../errors.js";
import { badEndpoint, checkLength, type EndpointUse } from "./scheme.js";

const MAX_PATH = 1_024;
const MAX_INPROC_NAME = 255;

/** HOST, PORT, and a path without escapes (RFC 3986, Path), with a query. */
const ADDRESS = /^(\[[^\]]+\]|[^[\]:;/?#*]+):(\d{1,5})([/?][\w.~!$&'()*+,;=:@%/?-]*)?$/;

const NO_INPROC = 'a page has it after: import { enableInproc } from "shoal/browser/inproc"; enableInproc()';

/** Without brackets. */
export function hostOf(endpoint: string): string {
  return new URL(endpoint).hostname.replace(/^\[|\]$/g, "");
}

/** Addresses to bind are not checked. */
export function checkEndpoint(
  endpoint: unknown,
  use: EndpointUse,
  transports: readonly string[],
): asserts endpoint is string {
  if (typeof endpoint !== "string")
    throw invalidArgument('An endpoint must be a string such as "wss://HOST:PORT"', endpoint);
  const [name = "", address = ""] = endpoint.split(/:\/\/(.*)/s);
  if (name === "" || name === endpoint || endpoint.includes("\0"))
    throw badEndpoint(endpoint, `expected TRANSPORT://ADDRESS with one of ${transports.join(", ")}`);
  if (!transports.includes(name)) {
    const reason = name === "inproc" ? NO_INPROC : "a page reaches peers that bind ws:// or wss://";
    throw new TransportError(
      "EPROTONOSUPPORT",
      `Endpoint ${quoted(endpoint)}: this engine's transports are ${transports.join(", ")}; ${reason}`,
      { endpoint },
    );
  }
  if (address === "") throw badEndpoint(endpoint, `expected an address after ${name}://`);
  if (name === "inproc") checkLength(endpoint, address, MAX_INPROC_NAME, "inproc name");
  else if (use === "connect") {
    const [, , port, path = ""] = ADDRESS.exec(address) ?? [];
    if (port === undefined || Number(port) < 1 || Number(port) > 65_535)
      throw badEndpoint(
        endpoint,
        `expected ${name}://HOST:PORT/PATH with a port from 1 to 65535; a path has letters, digits and -._~!$&'()*+,;=:@%/`,
      );
    checkLength(endpoint, path, MAX_PATH, "path");
  }
}
