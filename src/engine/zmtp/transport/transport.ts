/**
 * A transport listens and dials. Each has a file, and a place in transports.ts; core/schemes has the form of its
 * endpoints.
 *
 *   a byte stream     tcp, ipc, tls: the engine speaks ZMTP on it, greeting and frame headers included
 *   a framed stream   ws: the stream keeps frame borders (framing.ts), and the engine sends it whole frames
 */
import type { X509Certificate } from "node:crypto";
import type { ShoalError } from "../../../core/errors.js";
import type { OptionValues } from "../../../core/option-table.js";
import type { EndpointUse } from "../../../core/schemes/scheme.js";
import type { Fault } from "../mechanism/mechanism.js";
import type { ByteStream } from "./byte-stream.js";
import type { Framing } from "./framing.js";
import type { StreamReader } from "./reader.js";

export interface Stream {
  readonly socket: ByteStream;
  readonly reader: StreamReader;
  /** The peer's endpoint, with its port. */
  readonly remote: string;
  /** The peer's network address alone, for the `authenticate` hook. */
  readonly address: string;
  /** Present if the transport keeps frame borders; `undefined`: ZMTP's framing. */
  readonly framing?: Framing | undefined;
  /** Written bytes that the system has not taken. */
  pending(): number;
  readonly certificate?: X509Certificate | undefined;
  /** Whether the transport's handshake is in flight; writes wait for it. Absent: no such handshake. */
  readonly opening?: boolean;
  /** Calls back after a successful transport handshake. Call it only while `opening`. */
  onceOpen?(listener: () => void): void;
  /**
   * The reason for a failed transport handshake, if the stream ends before the socket's handshake is complete.
   *
   * @param silent whether the peer sent nothing of the socket's handshake
   */
  fault?(silent: boolean): Fault | undefined;
}

/** Passes a stream to the next sink, which first gets the unused bytes `rest`. */
export function handOver(stream: Stream, rest: Buffer, give: () => void): void {
  stream.reader.pause();
  stream.reader.giveBack(rest);
  give();
  stream.reader.resume();
}

/** All options of the socket at `bind` or `connect`; each transport reads its own. */
export type TransportOptions = Readonly<OptionValues> & {
  /** Current options, for renewable ones such as certificates. Absent: unchanged. */
  readonly live?: Readonly<OptionValues> | undefined;
};

/** The result of `dial` for a failed transport handshake. */
export class DialFault extends Error {
  readonly fault: Fault;

  constructor(fault: Fault) {
    super(fault.message);
    this.fault = fault;
  }
}

export interface Acceptor {
  accepted(stream: Stream): void;
  /** Whether an address may connect, asked before the stream exists. Absent: all may. */
  admits?(address: string): boolean;
  /** Reports a failed transport handshake. @param address of the peer */
  refused?(address: string, fault: Fault): void;
  failed(error: ShoalError): void;
}

export interface Listener {
  /** Resolved, without wildcards. */
  readonly endpoint: string;
  /** Stops listening, with open connections left alone. Settles when the endpoint is free. */
  close(): Promise<void>;
}

export interface Transport {
  readonly scheme: string;
  /** Whether streams keep frame borders, and so cannot serve a STREAM socket. */
  readonly framed?: true;
  /** Called before any change. @throws InvalidArgumentError for unusable options */
  assertUsable?(use: EndpointUse, options: TransportOptions): void;
  /** @throws TransportError with the system's code */
  listen(endpoint: string, options: TransportOptions, acceptor: Acceptor): Promise<Listener>;
  /** Synchronous form of `listen`. @throws NotSupportedError if unavailable */
  listenSync(endpoint: string, options: TransportOptions, acceptor: Acceptor): Listener;
  /**
   * Dials all current addresses of a name once, in turn.
   *
   * @param done called once, unless cancelled
   * @returns cancels
   */
  dial(endpoint: string, options: TransportOptions, done: (result: Stream | Error) => void): () => void;
}
