/**
 * The parts of a tcp endpoint (libzmq, zmq_tcp(7)):
 *
 *   tcp://HOST:PORT  tcp://[V6]:PORT  tcp://*:*  tcp://eth0:PORT  tcp://SOURCE:PORT;HOST:PORT
 */
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { TransportError } from "../../../core/errors.js";

export interface TcpAddress {
  readonly host: string;
  readonly port: number;
  /** The local address to connect from. */
  readonly source: { readonly host: string; readonly port: number } | undefined;
}

/** The part behind `tcp://`; its form has been checked above the seam. */
export function parseTcp(endpoint: string): TcpAddress {
  const address = endpoint.slice("tcp://".length);
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

export function formatTcp(host: string, port: number): string {
  const v4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(host)?.[1];
  if (v4 !== undefined) return `tcp://${v4}:${port}`;
  return host.includes(":") ? `tcp://[${host}]:${port}` : `tcp://${host}:${port}`;
}

/**
 * The address to bind for a host: `*`, an address, or an interface's name.
 *
 * @throws TransportError `ENODEV` when there is no such interface
 */
export function bindAddress(host: string, ipv6: boolean, endpoint: string): string {
  if (host === "*") return ipv6 ? "::" : "0.0.0.0";
  if (isIP(host) !== 0 || host === "localhost")
    return host === "localhost" ? (ipv6 ? "::1" : "127.0.0.1") : host;
  const addresses = networkInterfaces()[host];
  const wanted = addresses?.find(({ family }) => family === (ipv6 ? "IPv6" : "IPv4")) ?? addresses?.[0];
  if (wanted === undefined) {
    throw new TransportError(
      "ENODEV",
      `Cannot bind ${endpoint}: there is no interface ${JSON.stringify(host)}`,
      {
        endpoint,
      },
    );
  }
  return wanted.address;
}
