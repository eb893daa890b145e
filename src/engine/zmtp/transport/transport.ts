/**
 * A transport listens and dials; core/schemes has the form of its endpoints.
 *
 *   a byte stream     tcp, ipc, tls: the engine speaks ZMTP, greeting and frame headers included
 *   a framed stream   ws: the engine sends whole frames (framing.ts)
 */
import type { X509Certificate } from "node:crypto";
import type { ShoalError } from "../../../core/errors.js";
import type { OptionValues } from "../../../core/option-table.js";
import type { HttpServerEndpoint } from "../../../core/schemes/http-server.js";
import type { EndpointUse } from "../../../core/schemes/scheme.js";
import type { Fault } from "../mechanism/mechanism.js";
import type { ByteStream } from "./byte-stream.js";
import type { Framing } from "./framing.js";
import type { StreamReader } from "./reader.js";

export interface Stream {
  readonly socket: ByteStream;
  readonly reader: StreamReader;
  readonly remote: string;
  /** Without a port. */
  readonly address: string;
  /** `undefined`: ZMTP's framing. */
  readonly framing?: Framing | undefined;
  /** Written bytes that the system has not taken. */
  pending(): number;
  /** The system takes a write at once while it has room. */
  readonly prompt?: boolean;
  readonly certificate?: X509Certificate | undefined;
  /** The transport's handshake is in flight; writes wait for it. */
  readonly opening?: boolean;
  /** Call it only while `opening`. */
  onceOpen?(listener: () => void): void;
  /** Why the transport's handshake failed. @param silent the peer sent nothing of the socket's handshake */
  fault?(silent: boolean): Fault | undefined;
}

/** Each transport reads its own. */
export type TransportOptions = Readonly<OptionValues> & {
  /** Current options, such as renewed certificates. */
  readonly live?: Readonly<OptionValues> | undefined;
};

export class DialFault extends Error {
  readonly fault: Fault;

  constructor(fault: Fault) {
    super(fault.message);
    this.fault = fault;
  }
}

export interface Acceptor {
  accepted(stream: Stream): void;
  /** Asked before the stream exists. */
  admits?(address: string): boolean;
  refused?(address: string, fault: Fault): void;
  failed(error: ShoalError): void;
}

export interface Listener {
  /** Without wildcards. */
  readonly endpoint: string;
  /** Settles when the endpoint is free; connections stay open. */
  close(): Promise<void>;
}

export interface Transport {
  readonly scheme: string;
  /** `false`: not for a STREAM, since streams keep frame borders or have a handshake. */
  readonly raw?: false;
  /** Called before any change. @throws InvalidArgumentError for unusable options */
  assertUsable?(use: EndpointUse, options: TransportOptions): void;
  /** @param server the program's, for ws @throws TransportError with the system's code */
  listen(
    endpoint: string,
    options: TransportOptions,
    acceptor: Acceptor,
    server?: HttpServerEndpoint["server"],
  ): Promise<Listener>;
  /** @throws NotSupportedError if unavailable */
  listenSync(endpoint: string, options: TransportOptions, acceptor: Acceptor): Listener;
  /**
   * Dials all addresses of a name once, in turn. @param done called once, unless cancelled @returns cancels
   */
  dial(endpoint: string, options: TransportOptions, done: (result: Stream | Error) => void): () => void;
}

/** What binds an endpoint: a transport, or datagrams. */
export type Binder = Pick<Transport, "assertUsable" | "listen" | "listenSync">;
