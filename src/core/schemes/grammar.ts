/**
 * The grammar of endpoints; schemes.ts lists the schemes.
 *
 *   HOST:PORT  [V6]:PORT  *:*  eth0:PORT  SOURCE:PORT;HOST:PORT      over TCP (libzmq, zmq_tcp(7))
 *
 *     bind:    HOST is *, an address, [v6] or an interface; PORT 0…65535 or *
 *     connect: HOST is a name or address; PORT 1…65535; SOURCE; before HOST binds the source
 *
 *   ws://HOST:PORT/PATH, wss://…     the path is "/" by default; only `connect` takes a query
 *   { server, path }                 WebSocket upgrades at the program's HTTP server
 */
import type { Server as HttpServer } from "node:http";
import type { Server as HttpsServer } from "node:https";
import { checkKeys, invalidArgument, quoted } from "../arguments.js";
import { InvalidArgumentError, TransportError } from "../errors.js";

export type EndpointUse = "bind" | "connect";

export interface Scheme {
  /** The part before `://`. */
  readonly name: string;
  /** Such as `tcp://HOST:PORT`. */
  readonly form: string;
  /** @param address the part after `://`, not empty @throws InvalidArgumentError `EINVAL`; TransportError `ENAMETOOLONG` (ipc) */
  check(endpoint: string, address: string, use: EndpointUse): void;
}

const MAX_INPROC_NAME = 255;

export const INPROC: Scheme = {
  name: "inproc",
  form: "inproc://NAME",
  check: (endpoint, address) => checkLength(endpoint, address, MAX_INPROC_NAME, "inproc name"),
};

/**
 * @param transports the engine's @param find the schemes of this platform @param otherwise what to do about another transport
 * @throws InvalidArgumentError `EINVAL` for a malformed endpoint; TransportError `EPROTONOSUPPORT` for an
 * unknown transport, `ENAMETOOLONG` for a long ipc path
 */
export function checkForm(
  endpoint: unknown,
  use: EndpointUse,
  transports: readonly string[],
  find: (name: string) => Scheme | undefined,
  otherwise = "",
): asserts endpoint is string {
  if (typeof endpoint !== "string")
    throw invalidArgument('An endpoint must be a string such as "tcp://127.0.0.1:5555"', endpoint);
  const at = endpoint.indexOf("://");
  if (at <= 0)
    throw badEndpoint(endpoint, `expected TRANSPORT://ADDRESS with one of ${transports.join(", ")}`);
  if (endpoint.includes("\0")) throw badEndpoint(endpoint, "must not contain a zero byte");
  const name = endpoint.slice(0, at);
  const address = endpoint.slice(at + 3);
  if (!transports.includes(name)) {
    throw new TransportError(
      "EPROTONOSUPPORT",
      `Endpoint ${quoted(endpoint)}: the transport must be one of ${transports.join(", ")}; got ${quoted(name)}${otherwise}`,
      { endpoint },
    );
  }
  if (address === "") throw badEndpoint(endpoint, `expected an address after ${name}://`);
  find(name)?.check(endpoint, address, use);
}

export function badEndpoint(endpoint: string, what: string): InvalidArgumentError {
  return new InvalidArgumentError(`Endpoint ${quoted(endpoint)}: ${what}`, { endpoint });
}

export function schemeOf(endpoint: string): string {
  return endpoint.slice(0, endpoint.indexOf(":"));
}

export function addressOf(endpoint: string): string {
  return endpoint.slice(endpoint.indexOf("://") + 3);
}

/** @throws InvalidArgumentError `EINVAL` for an address of more than `max` bytes */
function checkLength(endpoint: string, address: string, max: number, what: string): void {
  const length = Buffer.byteLength(address);
  if (length > max) throw badEndpoint(endpoint, `an ${what} has at most ${max} bytes; got ${length}`);
}

const MAX_IPC_PATH = 107;

/** libuv would cut a longer path off. @throws TransportError `ENAMETOOLONG` */
export function checkIpcPath(endpoint: string, path: string): void {
  const length = Buffer.byteLength(path);
  if (length <= MAX_IPC_PATH) return;
  const message = `Endpoint ${quoted(endpoint)}: an ipc path has at most ${MAX_IPC_PATH} bytes; got ${length}`;
  throw new TransportError("ENAMETOOLONG", message, { endpoint });
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
  readonly source: { readonly host: string; readonly port: number } | undefined;
}

export function hostPortScheme(name: string): Scheme {
  return {
    name,
    form: `${name}://HOST:PORT`,
    check: (endpoint, address, use) => checkHostPort(endpoint, address, use, name),
  };
}

/** @throws InvalidArgumentError `EINVAL` @param name the scheme */
export function checkHostPort(endpoint: string, address: string, use: EndpointUse, name: string): void {
  const source = address.indexOf(";");
  if (source >= 0 && use === "bind") throw badEndpoint(endpoint, "only connect takes a source address");
  if (source >= 0) {
    const from = address.slice(0, source);
    // Its port may be left out.
    checkHostPort(endpoint, /:[^\]]*$/.test(from) ? from : `${from}:*`, "bind", name);
  }
  const target = source < 0 ? address : address.slice(source + 1);
  const colon = target.lastIndexOf(":");
  if (colon <= 0 || target.endsWith("]")) throw badEndpoint(endpoint, `expected ${name}://HOST:PORT`);
  const host = target.slice(0, colon);
  const port = target.slice(colon + 1);
  if (host.includes(":") && !(host.startsWith("[") && host.endsWith("]"))) {
    throw badEndpoint(endpoint, `an IPv6 address stands in brackets, ${name}://[ADDRESS]:PORT`);
  }
  if (use === "connect" && host === "*") throw badEndpoint(endpoint, "connect needs a host; * is for bind");
  if (port === "*") {
    if (use === "connect") throw badEndpoint(endpoint, "connect needs a port; * is for bind");
    return;
  }
  const number = Number(port);
  const min = use === "bind" ? 0 : 1;
  if (!/^\d{1,5}$/.test(port) || number > 65_535 || number < min) {
    throw badEndpoint(
      endpoint,
      `the port must be a number from ${min} to 65535${use === "bind" ? " or *" : ""}; got ${quoted(port)}`,
    );
  }
}

export function parseHostPort(endpoint: string): HostPort {
  const address = addressOf(endpoint);
  const semicolon = address.indexOf(";");
  const source = semicolon < 0 ? undefined : split(address.slice(0, semicolon));
  return { ...split(address.slice(semicolon + 1)), source };
}

function split(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(":");
  const bare = text.endsWith("]") || colon < 0;
  const host = bare ? text : text.slice(0, colon);
  const port = bare ? "0" : text.slice(colon + 1);
  return { host: unbracketed(host), port: port === "*" ? 0 : Number(port) };
}

export function unbracketed(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}

/** IPv4 within IPv6 becomes IPv4. */
export function formatHostPort(name: string, host: string, port: number): string {
  const v4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(host)?.[1];
  if (v4 !== undefined) return `${name}://${v4}:${port}`;
  return host.includes(":") ? `${name}://[${host}]:${port}` : `${name}://${host}:${port}`;
}

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

/** Argument of `bind` for WebSocket upgrades at a path of the program's HTTP server. */
export interface HttpServerEndpoint {
  /** A server of `node:http` or `node:https`; the program starts and closes it. */
  readonly server: HttpServer | HttpsServer;
  /** Begins with `/`. Default `/`. */
  readonly path?: string;
}

/**
 * @param check throws for an endpoint that cannot be bound
 * @returns the server, and an endpoint with its path, for engines
 * @throws InvalidArgumentError, or what `check` throws
 */
export function checkServer(
  given: unknown,
  check: (endpoint: unknown) => void,
): { readonly server: HttpServer | HttpsServer; readonly endpoint: string } {
  if (Array.isArray(given)) check(given); // As any other value.
  checkKeys("bind", given as object, ["server", "path"]);
  const { server, path = "/" } = given as { server?: unknown; path?: unknown };
  if (!isServer(server))
    throw invalidArgument(
      "bind({ server, path }): server must be a Server of node:http or node:https",
      server,
    );
  if (typeof path !== "string" || !path.startsWith("/"))
    throw new InvalidArgumentError(
      `bind({ server, path }): path must be text that begins with "/"; got ${String(path)}`,
    );
  check(`ws://127.0.0.1:1${path}`);
  return { server, endpoint: `ws://server${path}` };
}

function isServer(value: unknown): value is HttpServer | HttpsServer {
  const server = value as Partial<HttpServer> | null | undefined;
  return (
    typeof server === "object" && typeof server?.on === "function" && typeof server.address === "function"
  );
}
