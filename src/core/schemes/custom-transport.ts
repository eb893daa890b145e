/** Transports that a program registers, and their schemes. */
import type { Duplex } from "node:stream";
import { quoted } from "../arguments.js";
import { InvalidArgumentError } from "../errors.js";
import type { Scheme } from "./scheme.js";

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
      reachesProcesses: true,
      check: (endpoint, _, use) => transport.check(endpoint, use),
    },
  });
}
