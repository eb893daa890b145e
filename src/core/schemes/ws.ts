/**
 * The endpoints of WebSockets: `ws://HOST:PORT`, `ws://HOST:PORT/PATH`, and the same with `wss`. HOST and PORT are those of
 * tcp; a path begins with "/", and one that is connected to may have a query. Without a path it is "/".
 */
import { checkHostPort } from "./host-port.js";
import { addressOf, badEndpoint, checkLength, type Scheme } from "./scheme.js";

/** Bytes of a path. */
const MAX_PATH = 1_024;
/** What a path and a query may have (RFC 3986, Path): nothing that would have to be escaped. */
const PATH = /^\/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*$/;
const QUERY = /^[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*$/;

export interface WsAddress {
  /** HOST:PORT. */
  readonly authority: string;
  /** Without its query. */
  readonly path: string;
  /** What a request asks for. */
  readonly target: string;
  /** The path as it was given; may be empty. */
  readonly suffix: string;
}

/** The parts of an endpoint whose form has been checked. */
export function parseWs(endpoint: string): WsAddress {
  const { authority, suffix } = split(addressOf(endpoint));
  const target = suffix.startsWith("/") ? suffix : `/${suffix}`;
  const query = target.indexOf("?");
  return { authority, path: query < 0 ? target : target.slice(0, query), target, suffix };
}

function split(address: string): { authority: string; suffix: string } {
  const at = address.search(/[/?#]/);
  return at < 0
    ? { authority: address, suffix: "" }
    : { authority: address.slice(0, at), suffix: address.slice(at) };
}

/** @param name ws or wss */
export function webSocketScheme(name: string): Scheme {
  return {
    name,
    form: `${name}://HOST:PORT/PATH`,
    reachesProcesses: true,
    check(endpoint, address, use) {
      const { authority, suffix } = split(address);
      checkHostPort(endpoint, authority, use, name);
      if (suffix === "") return;
      checkLength(endpoint, suffix, MAX_PATH, "path");
      const query = suffix.indexOf("?");
      const path = query < 0 ? suffix : suffix.slice(0, query);
      if ((path !== "" && !PATH.test(path)) || (query >= 0 && !QUERY.test(suffix.slice(query + 1))))
        throw badEndpoint(endpoint, "a path has letters, digits and -._~!$&'()*+,;=:@%/; escape all others");
      if (query >= 0 && use === "bind") throw badEndpoint(endpoint, "only connect takes a query");
    },
  };
}
