/**
 * NaCl's box (26/CURVEZMQ, Cryptography): X25519, HSalsa20 and XSalsa20-Poly1305.
 *
 *   sealed = tag 16 | cipher text, as long as the plain text
 *   key(A, b) = HSalsa20(X25519(b, A), 16 x 00) = key(B, a)
 */
import type { CipherMemory } from "./mechanism.js";

export const TAG_LENGTH = 16;
export const KEY_LENGTH = 32;
export const NONCE_LENGTH = 24;

/** Keys have 32 bytes, nonces 24. No argument is kept. */
export interface CurveBox {
  readonly name: "libsodium" | "sodium" | "noble";
  /** @param sealed 16 bytes longer than `plain`, which may be its bytes behind the tag */
  seal(sealed: Uint8Array, plain: Uint8Array, nonce: Uint8Array, key: Uint8Array): void;
  /**
   * @param plain 16 bytes shorter than `sealed`, or its bytes behind the tag
   * @param sealed at least 16 bytes
   * @returns whether the box is genuine; if not, `plain` is garbage
   */
  open(plain: Uint8Array, sealed: Uint8Array, nonce: Uint8Array, key: Uint8Array): boolean;
  /** `undefined` for the few public keys that agree on one result with every secret key. */
  agree(publicKey: Uint8Array, secretKey: Uint8Array): Uint8Array | undefined;
  publicKeyOf(secretKey: Uint8Array): Buffer;
  /** Memory for short frames; absent in pages. */
  readonly frames?: FrameMemory;
  /** Longest body of a short frame, in bytes; negative: no frame is short. */
  readonly mostShort: number;
}

/** Memory for many frames at once. */
export interface FrameMemory extends CipherMemory {
  /** @param nonce with 16 bytes in common for all frames until the next call */
  use(key: Uint8Array, nonce: Uint8Array): void;
  /**
   * @param from position in the input @param to position of tag and cipher text in the output
   * @param high the nonce's last 8 bytes as two words, big-endian
   */
  seal(from: number, length: number, to: number, high: number, low: number): void;
  /**
   * @param from position in the input @param to position of the text in the output
   * @returns whether the box is genuine
   */
  open(from: number, length: number, to: number, high: number, low: number): boolean;
}
