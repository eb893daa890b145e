/**
 * A transport listens and dials; core/schemes has the form of its endpoints. What it gives the engine is
 *
 *   a byte stream     tcp, ipc, tls: the engine speaks ZMTP, greeting and frame headers included
 *   a framed stream   ws: the engine sends whole frames (Framing)
 *   a raw stream      the bytes of a STREAM's connection (RAW)
 */
import type { X509Certificate } from "node:crypto";
import type { ShoalError } from "../../../core/errors.js";
import { allocate } from "../../../core/memory.js";
import type { OptionValues } from "../../../core/option-table.js";
import type { EndpointUse, HttpServerEndpoint } from "../../../core/schemes/grammar.js";
import { type FramePiece, LONG_HEADER, writeHeader } from "../../frame.js";
import type { StreamFault } from "../codec/in-stream.js";
import { acquire, type PooledBuffer } from "../codec/pooled-buffer.js";
import { DIRECT } from "../codec/split-frame.js";
import type { Fault, Mechanism, MechanismName } from "../mechanism/mechanism.js";
import type { ByteStream, StreamReader } from "./reader.js";

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
  /** The peer is a thread of this program: without mechanism, authentication and heartbeats. */
  readonly inProcess?: boolean;
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
  /** Called once the socket lists it: peers that have waited for an inproc name connect within the call. */
  isListed?(): void;
  /** Settles when the endpoint is free; connections stay open. */
  close(): Promise<void>;
}

export interface Transport {
  readonly scheme: string;
  /** `false`: not for a STREAM, since streams keep frame borders or have a handshake. */
  readonly raw?: false;
  /** Called before any change. @throws InvalidArgumentError for unusable options */
  assertUsable?(use: EndpointUse, options: TransportOptions, endpoint: string): void;
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
   * Dials all addresses of a name once, in turn.
   *
   * @param done called once, unless cancelled, and never before `dial` returns
   * @returns cancels
   */
  dial(endpoint: string, options: TransportOptions, done: (result: Stream | Error) => void): () => void;
}

/** What binds an endpoint: a transport, datagrams, or inproc. */
export type Binder = Pick<Transport, "assertUsable" | "listen" | "listenSync">;

export interface DecodedFrames {
  readonly bytes: Buffer;
  readonly length: number;
  /** The caller releases it; absent: the next `decode` overwrites the memory. */
  readonly pooled: PooledBuffer | undefined;
  /** The caller owns the memory; absent: `pooled` decides. */
  readonly kept?: boolean;
  /** A whole frame before `bytes`, in memory of the caller. */
  readonly assembled?: Buffer;
}

/**
 * How frames travel on a stream with frame borders, such as a WebSocket. Its handshake agrees on the
 * mechanism and replaces the greeting. The bytes of a STREAM have no frames (RAW): they leave as they are.
 *
 *   out:  the pipe's frames --cipher, if any--> encode --> the stream
 *   in:   the stream --> decode --cipher, if any--> the pipe's frames
 */
export interface Framing {
  /** The handshake fails unless it is the socket's. */
  readonly mechanism: MechanismName;
  /** No handshake: the first message of each side is its routing id. */
  readonly bare: boolean;
  /** Of a STREAM: the frame for its program at the connection's start and end, or no bytes. */
  readonly notice?: Buffer;
  readonly closed: boolean;
  /** Ends the connection; frames decoded before are valid. */
  readonly fault: Fault | StreamFault | undefined;
  /**
   * @param pieces whole frames; a body may be a separate piece
   * @returns wire bytes, valid until `release`; without `release` the caller owns them
   */
  encode?(pieces: readonly FramePiece[]): Uint8Array;
  release?(): void;
  /** Encoded bytes beyond the peer's limit; absent: no limit. */
  readonly excess?: number;
  readonly unfinished?: number;
  /** @param maxSize most bytes of an assembled frame; negative: such frames are discarded */
  decode(bytes: Uint8Array, length: number, maxSize?: number): DecodedFrames;
  /** Bytes to send after each `decode`, such as a pong. */
  takeReply?(): Uint8Array | undefined;
  /** `false`: the peer does not answer pings. */
  readonly pings?: boolean;
  ping?(): Uint8Array;
  /** @param isRegular whether neither side has a fault */
  closeFrame?(isRegular: boolean): Uint8Array;
}

const NOTHING = Buffer.alloc(0);
const EMPTY_FRAME = Buffer.alloc(2);

const NO_MECHANISM: Mechanism = {
  name: "NULL",
  asServer: false,
  start: () => ({ done: new Map() }),
  receive: () => ({}),
  authenticated: () => ({}),
};

class RawFraming implements Framing {
  readonly mechanism = "NULL";
  readonly bare = true;
  readonly notice: Buffer;
  readonly closed = false;
  readonly pings = false;
  fault: StreamFault | undefined = undefined;

  /** @param notifies whether the program gets the empty messages */
  constructor(notifies: boolean) {
    this.notice = notifies ? EMPTY_FRAME : NOTHING;
  }

  decode(bytes: Uint8Array, length: number): DecodedFrames {
    try {
      const size = LONG_HEADER + length;
      const pooled = size < DIRECT ? undefined : acquire(size);
      const frame = pooled?.bytes ?? allocate(size);
      const body = writeHeader(frame, 0, 0, length);
      frame.set(bytes.subarray(0, length), body);
      return { bytes: frame, length: body + length, pooled, kept: true };
    } catch {
      this.fault = "no-memory";
      return { bytes: NOTHING, length: 0, pooled: undefined };
    }
  }
}

/**
 * The bytes of a STREAM's connections, without greeting and handshake: each received chunk is a message, and an empty
 * message marks the start and the end.
 */
export const RAW = {
  mechanism: NO_MECHANISM,
  framing: (notifies: boolean): Framing => new RawFraming(notifies),
};

export type RawParts = typeof RAW;
