/**
 * What a transport is: a way to listen, and a way to dial. One file each, listed in transports.ts; the form of its endpoints
 * is above the seam (core/schemes).
 *
 *   a byte stream     tcp, ipc, tls: the engine speaks ZMTP on it, greeting and frame headers included
 *   a framed stream   ws: the stream keeps the borders of frames itself (framing.ts), and the engine sends it whole frames
 */
import type { X509Certificate } from "node:crypto";
import type { ShoalError } from "../../../core/errors.js";
import type { OptionValues } from "../../../core/option-table.js";
import type { EndpointUse } from "../../../core/schemes/scheme.js";
import type { Fault } from "../mechanism/mechanism.js";
import type { ByteStream } from "./byte-stream.js";
import type { Framing } from "./framing.js";
import type { StreamReader } from "./reader.js";

/** A connection to a peer. */
export interface Stream {
  readonly socket: ByteStream;
  /** Hands on what comes. */
  readonly reader: StreamReader;
  /** The peer's endpoint, with its port. */
  readonly remote: string;
  /** The peer's network address alone, for the `authenticate` hook. */
  readonly address: string;
  /** How frames travel, where the transport keeps their borders; `undefined`: as ZMTP has it. */
  readonly framing?: Framing | undefined;
  /** Bytes that the system has taken so far. */
  taken(): number;
  /** The certificate that the peer has proved to be its own, and that was accepted. */
  readonly certificate?: X509Certificate | undefined;
  /** Its own handshake is under way: what is written does not leave before it is complete. Absent: it has none. */
  readonly opening?: boolean;
  /** Calls back once its own handshake is complete; never, where it fails. Only while that is under way. */
  onceOpen?(listener: () => void): void;
  /**
   * Why its own handshake failed; asked when it has ended before that of the socket was complete.
   *
   * @param silent nothing of the socket's own handshake has come
   */
  fault?(silent: boolean): Fault | undefined;
}

/** Lets the next sink have a stream: what came behind the last one's bytes first. */
export function handOver(stream: Stream, rest: Buffer, give: () => void): void {
  stream.reader.pause();
  stream.reader.giveBack(rest);
  give();
  stream.reader.resume();
}

/** All options of the socket at the time of `bind` or `connect`; each transport reads its own. */
export type TransportOptions = Readonly<OptionValues> & {
  /** The options as they are now, for what can be renewed meanwhile: certificates. Absent: the same. */
  readonly live?: Readonly<OptionValues> | undefined;
};

/** What `dial` reports where the transport's own handshake failed. */
export class DialFault extends Error {
  readonly fault: Fault;

  constructor(fault: Fault) {
    super(fault.message);
    this.fault = fault;
  }
}

/** Hears of a listener's connections. */
export interface Acceptor {
  accepted(stream: Stream): void;
  /** Whether peers of an address may connect; asked before a stream is made. Absent: all may. */
  admits?(address: string): boolean;
  /** The transport's own handshake with a peer failed. @param address of the peer */
  refused?(address: string, fault: Fault): void;
  failed(error: ShoalError): void;
}

/** A bound endpoint. */
export interface Listener {
  /** As resolved: wildcards filled in. */
  readonly endpoint: string;
  /** Stops listening; connections that stand are left alone. Settles when the endpoint is free. */
  close(): Promise<void>;
}

export interface Transport {
  readonly scheme: string;
  /** Its streams keep the borders of frames: a STREAM, which has bytes, cannot use it. */
  readonly framed?: true;
  /** Called before anything changes. @throws InvalidArgumentError for options with which the transport cannot work */
  assertUsable?(use: EndpointUse, options: TransportOptions): void;
  /** @throws TransportError with the system's code */
  listen(endpoint: string, options: TransportOptions, acceptor: Acceptor): Promise<Listener>;
  /** The same at once. @throws NotSupportedError where the transport cannot */
  listenSync(endpoint: string, options: TransportOptions, acceptor: Acceptor): Listener;
  /**
   * Dials once: every address that the name has now, one after the other.
   *
   * @param done called once, unless cancelled
   * @returns call it to cancel
   */
  dial(endpoint: string, options: TransportOptions, done: (result: Stream | Error) => void): () => void;
}
