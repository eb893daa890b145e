/**
 * The bytes of a stream (docs/spec/cluster.md, Streams). A number after a field is its length in bytes.
 *
 *   hello    magic 4 "SHLK" | version 1 | random nonce 32 | address: length 1, text
 *   frame    length 4 | packet
 *   messages length 4 | prefix 7 | type 1 = 50 | frame of a link
 *   control  length 4 | type 1, from 40 to 4f | fields of the type
 *
 * Each end sends its hello at once. A frame of length 0 closes the stream on purpose. Messages are sealed like packets if
 * the cluster has a key. A node skips control frames of unknown types.
 */
import { createHash } from "node:crypto";
import { MAX_ADDRESS, MAX_NAMESPACES, MAX_STREAM_PACKET } from "../bounds.js";
import { PREFIX } from "./codec.js";
import { SEAL_OVERHEAD, StreamWay } from "./seal.js";

/** Magic and version. */
const OPENING = Buffer.from("SHLK\u0001");
export const HELLO_HEAD = 4 + 1 + 32 + 1;
export const FRAME_HEAD = 4;
export const MAX_FRAME = MAX_STREAM_PACKET + PREFIX + SEAL_OVERHEAD;

/** First byte of a body with a frame of messaging instead of a packet (packets.ts). */
export const MESSAGES = 0x50;

/**
 * @param nonce 32 random bytes
 * @param address of this node, "host:port"
 */
export function encodeHello(nonce: Uint8Array, address: string): Buffer {
  const hello = Buffer.alloc(HELLO_HEAD + MAX_ADDRESS);
  hello.set(OPENING, 0);
  hello.set(nonce, OPENING.length);
  const length = hello.write(address, HELLO_HEAD);
  hello.writeUInt8(length, HELLO_HEAD - 1);
  return hello.subarray(0, HELLO_HEAD + length);
}

/**
 * @param bytes at least HELLO_HEAD
 * @returns bytes of the whole hello; infinite if it is not a hello
 */
export function helloSize(bytes: Buffer): number {
  if (OPENING.compare(bytes, 0, OPENING.length) !== 0) return Number.POSITIVE_INFINITY;
  return HELLO_HEAD + (bytes[HELLO_HEAD - 1] as number);
}

/** Whether the other end sends a TLS handshake record or alert. @param bytes at least one */
export function isTlsRecord(bytes: Buffer): boolean {
  return bytes[0] === 0x16 || bytes[0] === 0x15;
}

export function helloNonce(hello: Buffer): Buffer {
  return hello.subarray(OPENING.length, HELLO_HEAD - 1);
}

export function helloAddress(hello: Buffer): string {
  return hello.toString("utf8", HELLO_HEAD);
}

export function streamWays(
  initiator: Uint8Array,
  responder: Uint8Array,
): { readonly toResponder: StreamWay; readonly toInitiator: StreamWay } {
  const sessions = createHash("sha256").update("shoal stream 1").update(initiator).update(responder).digest();
  return {
    toResponder: new StreamWay(sessions.subarray(0, 16)),
    toInitiator: new StreamWay(sessions.subarray(16)),
  };
}

/** First byte of frames that are not packets. */
export const StreamFrame = {
  /** The other end is refused. Only the refusing node reports the reason. */
  REFUSED: 0x40,
  /** Proofs of an end for its clusters. */
  PROOF: 0x41,
  /** Ephemeral key, if nodes have keys. */
  KEY: 0x42,
  /** The node at an end, boxed. */
  IDENTITY: 0x43,
  /** Bare: whether the other end is alive, and that it is. */
  ASK: 0x44,
  ANSWER: 0x45,
} as const;

export function isControl(frame: Buffer): boolean {
  return ((frame[0] ?? 0) & 0xf0) === 0x40;
}

/** @param proofs of the clusters */
export function encodeProof(proofs: readonly Buffer[]): Buffer {
  const parts = proofs.flatMap((proof) => [Buffer.of(proof.length), proof]);
  return Buffer.concat([Buffer.of(StreamFrame.PROOF), ...parts]);
}

/** `undefined` for a wrong length or too many clusters. */
export function decodeProof(frame: Buffer): Buffer[] | undefined {
  const proofs: Buffer[] = [];
  for (let at = 1; at < frame.length; ) {
    const end = at + 1 + (frame[at] as number);
    if (end > frame.length || proofs.length === MAX_NAMESPACES) return undefined;
    proofs.push(frame.subarray(at + 1, end));
    at = end;
  }
  return proofs;
}

/** Without bytes, the frame that closes the stream on purpose. */
export function encodeFrame(bytes: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEAD + bytes.length);
  frame.writeUInt32BE(bytes.length, 0);
  frame.set(bytes, FRAME_HEAD);
  return frame;
}
