/**
 * NaCl's box and its key pairs (26/CURVEZMQ, Cryptography): X25519, HSalsa20 and XSalsa20-Poly1305.
 *
 *   sealed = tag 16 | cipher text, as long as the plain text
 *   key(A, b) = HSalsa20(X25519(b, A), 16 x 00) = key(B, a)
 */

import { randomBytes } from "../../../core/bytes.js";
import { publicKeyOf } from "../../../core/x25519.js";

export const TAG_LENGTH = 16;
export const KEY_LENGTH = 32;
export const NONCE_LENGTH = 24;

/** Keys have 32 bytes, nonces 24. No argument is kept. */
export interface CurveBox {
  readonly name: "libsodium" | "sodium" | "noble";
  /** @param sealed 16 bytes longer than `plain`, which may be its bytes behind the tag */
  seal(sealed: Uint8Array, plain: Uint8Array, nonce: Uint8Array, key: Uint8Array): void;
  /**
   * @param plain 16 bytes shorter than `sealed`, or its bytes behind the tag; garbage unless genuine
   * @param sealed at least 16 bytes
   * @returns whether the box is genuine
   */
  open(plain: Uint8Array, sealed: Uint8Array, nonce: Uint8Array, key: Uint8Array): boolean;
  /** `undefined`: the public key agrees on one result with all secret keys. */
  agree(publicKey: Uint8Array, secretKey: Uint8Array): Uint8Array | undefined;
  publicKeyOf(secretKey: Uint8Array): Buffer;
  /** Memory for short frames; absent in pages. */
  readonly frames?: FrameMemory;
  /** Bytes of the longest body that `frames` seals and opens; less than half of its input. */
  readonly mostShort: number;
}

/** Where a handshake gets its box, for which it may have to wait. */
export interface CurvePrimitives {
  /** @returns `undefined` once loaded @throws NotSupportedError if they cannot be loaded */
  load(): Promise<void> | undefined;
  /** Call it once loaded. */
  box(): CurveBox;
}

export interface FrameMemory {
  readonly bytes: Uint8Array;
  readonly input: number;
  readonly inputSize: number;
  readonly output: number;
  readonly outputSize: number;
  /** @param nonce its first 16 bytes are common until the next call */
  use(key: Uint8Array, nonce: Uint8Array): void;
  /**
   * @param from of the input @param to tag and cipher text in the output @param high, low the nonce's last 8
   * bytes
   */
  sealFrame(from: number, length: number, to: number, high: number, low: number): void;
  /** @param from of the input @param to of the text in the output @returns whether the box is genuine */
  openFrame(from: number, length: number, to: number, high: number, low: number): boolean;
}

export interface KeyPair {
  readonly publicKey: Buffer;
  readonly secretKey: Buffer;
}

/** Any 32 bytes are a secret key. */
export function newKeyPair(box: CurveBox): KeyPair {
  const secretKey = randomBytes(KEY_LENGTH);
  return { publicKey: box.publicKeyOf(secretKey), secretKey };
}

const known = new WeakMap<Uint8Array, KeyPair>();

/** Cached as long as `secretKey` lives. */
export function keyPairOf(secretKey: Uint8Array): KeyPair {
  const kept = known.get(secretKey);
  if (kept?.secretKey.equals(secretKey) === true) return kept;
  const pair = { publicKey: publicKeyOf(secretKey), secretKey: Buffer.from(secretKey) };
  known.set(secretKey, pair);
  return pair;
}
