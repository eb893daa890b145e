/**
 * WebSocket endpoints: `ws://HOST:PORT/PATH`, and the same with `wss`. The path is "/" by default; only
 * `connect` takes a query.
 */
import { checkHostPort } from "./host-port.js";
import { addressOf, badEndpoint, checkLength, type Scheme } from "./scheme.js";

/** Bytes of a path. */
const MAX_PATH = 1_024;
/** Characters without escapes (RFC 3986, Path). */
const PATH = /^\/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*$/;
const QUERY = /^[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*$/;

export interface WsAddress {
  readonly authority: string;
  /** Without its query. */
  readonly path: string;
  readonly target: string;
  /** As given; may be empty. */
  readonly suffix: string;
}

export function parseWs(endpoint: string): WsAddress {
  const { authority, suffix } = splitPath(addressOf(endpoint));
  const target = suffix.startsWith("/") ? suffix : `/${suffix}`;
  const query = target.indexOf("?");
  return { authority, path: query < 0 ? target : target.slice(0, query), target, suffix };
}

function splitPath(address: string): { authority: string; suffix: string } {
  const at = address.search(/[/?#]/);
  return at < 0
    ? { authority: address, suffix: "" }
    : { authority: address.slice(0, at), suffix: address.slice(at) };
}

export function webSocketScheme(name: string): Scheme {
  return {
    name,
    form: `${name}://HOST:PORT/PATH`,
    reachesProcesses: true,
    check(endpoint, address, use) {
      const { authority, suffix } = splitPath(address);
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
