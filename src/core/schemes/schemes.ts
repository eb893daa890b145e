/**
 * The schemes of endpoints and their check.
 *
 *   tcp://HOST:PORT      grammar.ts; tls:// has the same addresses
 *   ws://HOST:PORT/PATH  grammar.ts; wss:// has the same
 *   ipc://PATH           a path of at most 107 bytes; * makes a temporary one; @NAME is abstract (Linux)
 *   inproc://NAME        any name of 1 to 255 bytes
 *   udp://HOST:PORT      datagrams (libzmq, zmq_udp(7)): HOST:PORT  [V6]:PORT  *:*  GROUP:PORT  INTERFACE;GROUP:PORT
 *
 *     bind:    HOST is *, an address or an interface's name; GROUP a multicast address to join; PORT 0…65535 or *
 *     connect: HOST is a name or address; PORT 1…65535
 *     INTERFACE is the address or name of the machine's interface for a group
 *
 * Programs add schemes with {@link registerTransport}.
 */
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { quoted } from "../arguments.js";
import { InvalidArgumentError } from "../errors.js";
import {
  addressOf,
  badEndpoint,
  checkForm,
  checkHostPort,
  checkIpcPath,
  type EndpointUse,
  hostPortScheme,
  INPROC,
  parseHostPort,
  type Scheme,
  schemeOf,
  unbracketed,
  webSocketScheme,
} from "./grammar.js";

export interface TransportStream {
  /** Bytes in both directions, in order; reserved for the engine. */
  readonly stream: Duplex;
  /** The peer's endpoint, for events and errors. */
  readonly remote: string;
  /** The peer's address for the `authenticate` hook. Default: `remote` without its scheme. */
  readonly address?: string;
}

export interface TransportAcceptor {
  accepted(stream: TransportStream): void;
  /** A peer could not be accepted; the socket emits `accept:error`. */
  failed(error: Error): void;
}

export interface TransportListener {
  /** Resolved, without wildcards. */
  readonly endpoint: string;
  /** Stops listening but leaves accepted streams open; settles when the endpoint is free. */
  close(): Promise<void>;
}

/** A transport registered by a program. Errors with a `code` of shoal keep it; others get `ERR_TRANSPORT`. */
export interface Transport {
  /** The part of endpoints before `://`: a lower-case letter, then letters, digits, `+`, `-` and `.`. */
  readonly scheme: string;
  /** @throws the error for `bind` or `connect` to throw, such as InvalidArgumentError */
  check(endpoint: string, use: "bind" | "connect"): void;
  /** Listens, or rejects. */
  listen(endpoint: string, acceptor: TransportAcceptor): Promise<TransportListener>;
  /** For `bindSync`, which otherwise throws NotSupportedError. */
  listenSync?(endpoint: string, acceptor: TransportAcceptor): TransportListener;
  /** Connects once, or rejects; the socket retries. @param signal aborts when the connection is no longer needed */
  dial(endpoint: string, signal: AbortSignal): Promise<TransportStream>;
}

export interface CustomTransport {
  readonly transport: Transport;
  readonly scheme: Scheme;
}

const NAME = /^[a-z][a-z\d+.-]{0,31}$/;
/** Schemes of shoal, libzmq and the command line. */
const RESERVED: readonly string[] = [
  ...["tcp", "ipc", "inproc", "tls", "ws", "wss", "udp", "pgm", "epgm", "norm", "tipc", "vmci", "vsock"],
  ...["http", "https", "cluster", "node"],
];

const CUSTOM = new Map<string, CustomTransport>();

export function customTransport(scheme: string): CustomTransport | undefined {
  return CUSTOM.get(scheme);
}

export function customSchemes(): readonly string[] {
  return [...CUSTOM.keys()];
}

/**
 * Registers a transport of engine `zmtp` for all contexts of this thread, until the process ends.
 *
 * @throws InvalidArgumentError `EINVAL` for an invalid, reserved or registered scheme, or a missing method
 */
export function registerTransport(transport: Transport): void {
  const scheme: unknown = transport?.scheme;
  if (typeof scheme !== "string" || !NAME.test(scheme)) {
    throw new InvalidArgumentError(
      `A transport's scheme must be a lower-case letter, then up to 31 letters, digits, "+", "-" and "."; got ${quoted(scheme)}`,
    );
  }
  for (const method of ["check", "listen", "dial"] as const) {
    if (typeof transport[method] !== "function")
      throw new InvalidArgumentError(`The transport ${scheme} has no method ${method}`);
  }
  if (RESERVED.includes(scheme) || CUSTOM.has(scheme))
    throw new InvalidArgumentError(`The scheme ${scheme} is taken`);
  CUSTOM.set(scheme, {
    transport,
    scheme: {
      name: scheme,
      form: `${scheme}://ADDRESS`,
      check: (endpoint, _, use) => transport.check(endpoint, use),
    },
  });
}

export interface UdpAddress {
  readonly host: string;
  readonly port: number;
  /** Of a multicast group; `undefined` for the system's choice. */
  readonly interface: string | undefined;
}

const UDP: Scheme = {
  name: "udp",
  form: "udp://HOST:PORT",
  check(endpoint, address, use) {
    const semicolon = address.indexOf(";");
    checkHostPort(endpoint, address.slice(semicolon + 1), use, "udp");
    if (semicolon < 0) return;
    if (semicolon === 0) throw badEndpoint(endpoint, "expected an interface before ;");
    if (!isMulticast(parseUdp(endpoint).host))
      throw badEndpoint(endpoint, "only a multicast address takes an interface before ;");
  },
};

export function parseUdp(endpoint: string): UdpAddress {
  const { host, port } = parseHostPort(endpoint);
  const address = addressOf(endpoint);
  const semicolon = address.indexOf(";");
  return { host, port, interface: semicolon < 0 ? undefined : unbracketed(address.slice(0, semicolon)) };
}

export function isMulticast(host: string): boolean {
  const version = isIP(host.split("%", 1)[0] as string);
  if (version === 6) return /^ff/i.test(host);
  if (version !== 4) return false;
  const first = Number(host.slice(0, host.indexOf(".")));
  return first >= 224 && first <= 239;
}

const IPC: Scheme = {
  name: "ipc",
  form: "ipc://PATH",
  check(endpoint, address, use) {
    checkIpcPath(endpoint, address);
    if (address === "@") throw badEndpoint(endpoint, "expected a name after @");
    if (use === "connect" && address === "*") throw badEndpoint(endpoint, "only bind takes the path *");
  },
};

const SCHEMES: ReadonlyMap<string, Scheme> = new Map(
  [
    ...[hostPortScheme("tcp"), hostPortScheme("tls"), webSocketScheme("ws"), webSocketScheme("wss")],
    ...[IPC, INPROC, UDP],
  ].map((scheme) => [scheme.name, scheme]),
);

export function findScheme(name: string): Scheme | undefined {
  return SCHEMES.get(name) ?? customTransport(name)?.scheme;
}

export function knownSchemes(): readonly string[] {
  return [...SCHEMES.keys(), ...customSchemes()];
}

export function reachesProcesses(endpoint: string): boolean {
  const scheme = findScheme(schemeOf(endpoint));
  return scheme !== undefined && scheme !== INPROC;
}

export function reachableForms(): readonly string[] {
  return [...SCHEMES.values()]
    .filter((scheme) => scheme !== INPROC && scheme !== UDP)
    .map(({ form }) => form);
}

/** As `checkForm`. */
export function checkEndpoint(
  endpoint: unknown,
  use: EndpointUse,
  transports: readonly string[],
): asserts endpoint is string {
  checkForm(endpoint, use, transports, findScheme);
}
