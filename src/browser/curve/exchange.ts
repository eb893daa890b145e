/**
 * X25519 by `@noble/curves`: that of the Web platform answers with promises. The build puts it in the place of
 * engine/zmtp/mechanism/curve-exchange.ts (rolldown.config.js).
 */
import { x25519 } from "@noble/curves/ed25519.js";
import { hsalsa20 } from "../../engine/zmtp/mechanism/hsalsa20.js";

export const KEY_LENGTH = 32;

/** An X25519 key pair; both keys are 32 bytes. */
export interface KeyPair {
  readonly publicKey: Buffer;
  readonly secretKey: Buffer;
}

const NO_INPUT = new Uint8Array(16);

/** The part of node:crypto that the handshake uses. */
const CRYPTO = {
  randomBytes: (length: number): Buffer =>
    Buffer.from(globalThis.crypto.getRandomValues(new Uint8Array(length))),

  /** @param one of the same length as `other` */
  timingSafeEqual(one: Uint8Array, other: Uint8Array): boolean {
    let differing = 0;
    for (let i = 0; i < one.length; i++) differing |= (one[i] as number) ^ (other[i] as number);
    return differing === 0;
  },
};

export function crypto(): typeof CRYPTO {
  return CRYPTO;
}

/** A new pair, from the platform's random source: any 32 bytes are a secret key. */
export function newKeyPair(): KeyPair {
  return pairOf(CRYPTO.randomBytes(KEY_LENGTH));
}

function pairOf(secretKey: Buffer): KeyPair {
  return { publicKey: publicKeyOf(secretKey), secretKey };
}

export function publicKeyOf(secretKey: Uint8Array): Buffer {
  return Buffer.from(x25519.getPublicKey(secretKey));
}

/** The pairs of the keys in use, by the array that a socket's options hold. */
const known = new WeakMap<Uint8Array, KeyPair>();

/** The pair of a known secret key, kept for as long as `secretKey` itself: making one takes about a millisecond. */
export function keyPairOf(secretKey: Uint8Array): KeyPair {
  const kept = known.get(secretKey);
  if (kept?.secretKey.equals(secretKey) === true) return kept;
  const pair = pairOf(Buffer.from(secretKey));
  known.set(secretKey, pair);
  return pair;
}

/**
 * The key of the boxes between `own` and the owner of `publicKey`.
 *
 * @param publicKey 32 bytes
 * @returns 32 bytes; `undefined` for one of the few points that give every secret key the same result
 */
export function agreeOnKey(publicKey: Uint8Array, own: KeyPair): Uint8Array | undefined {
  let point: Uint8Array;
  try {
    point = x25519.getSharedSecret(own.secretKey, publicKey);
  } catch {
    return undefined; // A result of zeros (RFC 7748, 6.1).
  }
  return hsalsa20(point, NO_INPUT);
}
