/**
 * The addresses of transports over TCP (libzmq, zmq_tcp(7)):
 *
 *   HOST:PORT  [V6]:PORT  *:*  eth0:PORT  SOURCE:PORT;HOST:PORT
 *
 * bind:    HOST is *, an address, [v6] or an interface; PORT 0…65535 or *
 * connect: HOST is a name or address; PORT 1…65535; SOURCE; before HOST binds the source
 */
import { quoted } from "../arguments.js";
import { addressOf, badEndpoint, type EndpointUse, type Scheme } from "./scheme.js";

export interface HostPort {
  readonly host: string;
  readonly port: number;
  readonly source: { readonly host: string; readonly port: number } | undefined;
}

export function hostPortScheme(name: string): Scheme {
  return {
    name,
    form: `${name}://HOST:PORT`,
    reachesProcesses: true,
    check: (endpoint, address, use) => checkHostPort(endpoint, address, use, name),
  };
}

/** @throws InvalidArgumentError `EINVAL` @param name the scheme */
export function checkHostPort(endpoint: string, address: string, use: EndpointUse, name: string): void {
  const source = address.indexOf(";");
  if (source >= 0 && use === "bind") throw badEndpoint(endpoint, "only connect takes a source address");
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
  return { host: host.replace(/^\[(.*)\]$/, "$1"), port: port === "*" ? 0 : Number(port) };
}

/** IPv4 within IPv6 becomes IPv4. */
export function formatHostPort(name: string, host: string, port: number): string {
  const v4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(host)?.[1];
  if (v4 !== undefined) return `${name}://${v4}:${port}`;
  return host.includes(":") ? `${name}://[${host}]:${port}` : `${name}://${host}:${port}`;
}
