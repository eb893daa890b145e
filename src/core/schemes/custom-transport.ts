/**
 * Transports that a program brings itself: byte streams under a scheme of its own. The engine in TypeScript uses them as it
 * uses tcp: handshakes, mechanisms, heartbeats, high-water marks and reconnecting are the same.
 */
import type { Duplex } from "node:stream";
import { quoted } from "../arguments.js";
import { InvalidArgumentError } from "../errors.js";
import type { Scheme } from "./scheme.js";

/** One connection of a program's own transport. */
export interface TransportStream {
  /** Bytes in both directions, in order; nobody else may read or write it. */
  readonly stream: Duplex;
  /** The peer's endpoint, for events and errors. */
  readonly remote: string;
  /** The peer's address for the `authenticate` hook; default: `remote` without its scheme. */
  readonly address?: string;
}

/** What a program's own transport listens for. */
export interface TransportAcceptor {
  /** A peer has connected. */
  accepted(stream: TransportStream): void;
  /** A peer could not be accepted; the socket emits `accept:error`. */
  failed(error: Error): void;
}

/** A bound endpoint of a program's own transport. */
export interface TransportListener {
  /** As resolved: wildcards filled in. */
  readonly endpoint: string;
  /** Stops listening, and leaves accepted streams alone; settles when the endpoint is free. */
  close(): Promise<void>;
}

/** A transport of a program's own. Errors with a `code` of shoal's keep it; others get `ERR_TRANSPORT`. */
export interface Transport {
  /** What stands before `://` in its endpoints: a lower-case letter, then letters, digits, `+`, `-` and `.`. */
  readonly scheme: string;
  /**
   * Checks the form of an endpoint before anything else happens.
   *
   * @throws what `bind` or `connect` is to throw, such as InvalidArgumentError
   */
  check(endpoint: string, use: "bind" | "connect"): void;
  /** Listens; rejects where it cannot. */
  listen(endpoint: string, acceptor: TransportAcceptor): Promise<TransportListener>;
  /** The same at once, for `bindSync`; without it that call throws NotSupportedError. */
  listenSync?(endpoint: string, acceptor: TransportAcceptor): TransportListener;
  /** Connects once; rejects where it cannot, and the socket tries again. @param signal aborted when nobody wants it any more */
  dial(endpoint: string, signal: AbortSignal): Promise<TransportStream>;
}

/** A registered transport, and the grammar of its endpoints. */
export interface CustomTransport {
  readonly transport: Transport;
  readonly scheme: Scheme;
}

const NAME = /^[a-z][a-z\d+.-]{0,31}$/;
/** Schemes of shoal, of libzmq and of the command line. */
const RESERVED: readonly string[] = [
  ...["tcp", "ipc", "inproc", "tls", "ws", "wss", "udp", "pgm", "epgm", "norm", "tipc", "vmci", "vsock"],
  ...["http", "https", "cluster", "node"],
];

const CUSTOM = new Map<string, CustomTransport>();

/** The transport that a program registered for a scheme. */
export function customTransport(scheme: string): CustomTransport | undefined {
  return CUSTOM.get(scheme);
}

let schemes: readonly string[] = [];

/** The schemes that programs have registered; another list when there is one more. */
export function customSchemes(): readonly string[] {
  return schemes;
}

/**
 * Adds a transport to the engine `zmtp`, for all contexts of this thread. It stays until the process ends.
 *
 * @throws InvalidArgumentError `EINVAL` for a scheme that is invalid, reserved or registered already, or a missing method
 */
export function registerTransport(transport: Transport): void {
  const scheme: unknown = transport?.scheme;
  if (typeof scheme !== "string" || !NAME.test(scheme)) {
    throw new InvalidArgumentError(
      `A transport's scheme is a lower-case letter, then up to 31 letters, digits, "+", "-" and "."; got ${quoted(scheme)}`,
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
  schemes = [...CUSTOM.keys()];
}
