/**
 * How a stream begins, and what its two ways are sealed by (docs/spec/cluster.md, Streams).
 *
 *   hello    magic 4 "SHLK" | version 1 | nonce 32, random | address: length 1, text      each end, at once
 *   frame    length 4 | packet                                      length 0: this end closes on purpose
 *   messages magic 4 "SHLM" | version 1 | bus 6                       in place of the dialler's hello: connections of messages follow
 *   sockets  ff, as a greeting of ZMTP begins                         in place of the dialler's hello: a socket's connection
 *   control  length 4 | type 1, from 40 to 4f | what the type has     a node that does not know it skips it
 *
 * Where a socket is bound to the node's port, the end that accepts says hello when the first bytes of the dialler show that it is a node.
 *
 * The sessions of the two ways are the halves of a hash of both hellos, the dialler's first. Each end gives a fresh nonce, so
 * what was recorded of one stream opens in no other.
 */
import { createHash } from "node:crypto";
import { MAX_ADDRESS, MAX_BUSES, MAX_STREAM_PACKET } from "../bounds.js";
import { PREFIX } from "./codec.js";
import { SEAL_OVERHEAD, StreamWay } from "./seal.js";

const MAGIC = 0x5348_4c4b;
const LINK_VERSION = 1;
/** Bytes of a hello's nonce. */
export const HELLO_NONCE = 32;
/** Bytes of a hello before its address. */
export const HELLO_HEAD = 4 + 1 + HELLO_NONCE + 1;
/** Bytes of a frame's length. */
export const FRAME_HEAD = 4;
/** Bytes of a frame at most. */
export const MAX_FRAME = MAX_STREAM_PACKET + PREFIX + SEAL_OVERHEAD;

const MESSAGES_MAGIC = 0x5348_4c4d;
/** Bytes of what begins a stream for messages. */
export const MESSAGES_HEAD = 4 + 1 + 6;

/** What comes before both hellos in the hash. */
const LABEL = "shoal stream 1";

/** @param nonce 32 random bytes @param address of the node that says hello, "host:port" */
export function encodeHello(nonce: Uint8Array, address: string): Buffer {
  const hello = Buffer.alloc(HELLO_HEAD + MAX_ADDRESS);
  hello.writeUInt32BE(MAGIC, 0);
  hello.writeUInt8(LINK_VERSION, 4);
  hello.set(nonce, 5);
  const length = hello.write(address, HELLO_HEAD);
  hello.writeUInt8(length, HELLO_HEAD - 1);
  return hello.subarray(0, HELLO_HEAD + length);
}

/**
 * @param bytes HELLO_HEAD at least
 * @returns bytes of the whole hello; -1: it is not a hello
 */
export function helloSize(bytes: Buffer): number {
  if (bytes.readUInt32BE(0) !== MAGIC || bytes[4] !== LINK_VERSION) return -1;
  return HELLO_HEAD + (bytes[HELLO_HEAD - 1] as number);
}

/** What a dialler begins a stream with that is for the messages of a bus, in place of a hello. */
export function encodeMessagesHead(bus: number): Buffer {
  const head = Buffer.alloc(MESSAGES_HEAD);
  head.writeUInt32BE(MESSAGES_MAGIC, 0);
  head.writeUInt8(LINK_VERSION, 4);
  head.writeUIntBE(bus, 5, 6);
  return head;
}

/** Whether a stream is for messages. @param bytes its first ones, 4 at least */
export function isForMessages(bytes: Buffer): boolean {
  return bytes.readUInt32BE(0) === MESSAGES_MAGIC;
}

/** The bus that a stream for messages is of; -1: another version. @param head MESSAGES_HEAD bytes */
export function messagesBus(head: Buffer): number {
  return head[4] === LINK_VERSION ? head.readUIntBE(5, 6) : -1;
}

/** Whether a stream is a socket's, of 37/ZMTP. @param bytes one at least */
export function isForSockets(bytes: Buffer): boolean {
  return bytes[0] === 0xff;
}

/** Whether the other end speaks TLS in place of a hello: a handshake record, or an alert. @param bytes one at least */
export function isTlsRecord(bytes: Buffer): boolean {
  return bytes[0] === 0x16 || bytes[0] === 0x15;
}

/** The nonce in a whole hello. */
export function helloNonce(hello: Buffer): Buffer {
  return hello.subarray(5, 5 + HELLO_NONCE);
}

/** The address in a whole hello. */
export function helloAddress(hello: Buffer): string {
  return hello.toString("utf8", HELLO_HEAD);
}

/** The two ways of a stream. */
export function streamWays(
  dialler: Uint8Array,
  acceptor: Uint8Array,
): { readonly toAcceptor: StreamWay; readonly toDialler: StreamWay } {
  const sessions = createHash("sha256").update(LABEL).update(dialler).update(acceptor).digest();
  return {
    toAcceptor: new StreamWay(sessions.subarray(0, 16)),
    toDialler: new StreamWay(sessions.subarray(16)),
  };
}

/** Frames about the stream itself: their first byte, which is no packet's. */
export const LinkFrame = {
  /** This end is refused. Bare: the reason stays with the one that refuses. */
  REFUSED: 0x40,
  /** What an end shows of its buses. */
  PROOF: 0x41,
  /** An ephemeral key, where nodes prove keys of their own. */
  KEY: 0x42,
  /** Which node an end is, boxed. */
  IDENTITY: 0x43,
} as const;

/** Bytes of a bus in a PROOF: bus 6 | key id 4, 0: in the clear | proof 32. */
const PROOF_SIZE = 6 + 4 + 32;

/** A bus, and what proves that an end has its key (admission/proof.ts). */
export interface BusProof {
  readonly bus: number;
  readonly keyId: number;
  readonly proof: Buffer;
}

/** Whether a frame is about the stream, not a packet. */
export function isControl(frame: Buffer): boolean {
  return ((frame[0] ?? 0) & 0xf0) === 0x40;
}

/** The bytes of a PROOF. */
export function encodeProof(buses: readonly BusProof[]): Buffer {
  const out = Buffer.alloc(1 + buses.length * PROOF_SIZE);
  out.writeUInt8(LinkFrame.PROOF, 0);
  buses.forEach(({ bus, keyId, proof }, index) => {
    const at = 1 + index * PROOF_SIZE;
    out.writeUIntBE(bus, at, 6);
    out.writeUInt32BE(keyId, at + 6);
    proof.copy(out, at + 10);
  });
  return out;
}

/** What a PROOF has; `undefined` for a wrong length or too many buses. */
export function decodeProof(frame: Buffer): BusProof[] | undefined {
  const count = (frame.length - 1) / PROOF_SIZE;
  if (!Number.isInteger(count) || count < 0 || count > MAX_BUSES) return undefined;
  return Array.from({ length: count }, (_, index) => {
    const at = 1 + index * PROOF_SIZE;
    return {
      bus: frame.readUIntBE(at, 6),
      keyId: frame.readUInt32BE(at + 6),
      proof: Buffer.from(frame.subarray(at + 10, at + PROOF_SIZE)),
    };
  });
}

/** A packet's bytes as a frame; without bytes the farewell. */
export function encodeFrame(bytes: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEAD + bytes.length);
  frame.writeUInt32BE(bytes.length, 0);
  frame.set(bytes, FRAME_HEAD);
  return frame;
}
