/**
 * The keys of CURVE's boxes (26/CURVEZMQ, Cryptography). Two key pairs agree on
 * one secret: X25519, then HSalsa20 of it and zeros, as NaCl's box does it.
 *
 *   key(A, b) = HSalsa20(X25519(b, A), 16 x 00) = key(B, a)
 *
 * X25519 is OpenSSL's. Public keys go in as JWK: from DER the same takes ten
 * times as long (75 us against 7 on Node.js 20).
 */
import type { KeyObject } from "node:crypto";
import { hsalsa20 } from "./hsalsa20.js";

export const KEY_LENGTH = 32;

/** An X25519 key pair; both keys are 32 bytes. */
export interface KeyPair {
  readonly publicKey: Buffer;
  readonly secretKey: Buffer;
  /** The secret key as OpenSSL wants it. */
  readonly handle: KeyObject;
}

/** The DER frame of a bare X25519 private key (RFC 8410, 7). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b656e04220420", "hex");

const NO_INPUT = new Uint8Array(16);

/** Loaded with the first handshake, not with the package. */
export function crypto(): typeof import("node:crypto") {
  return process.getBuiltinModule("node:crypto");
}

/**
 * A new pair, from the operating system's random source: any 32 bytes are a secret key.
 *
 * Not by `generateKeyPairSync`: on Node.js 20 its job locks the key once more when it is collected, and if that comes
 * while the key is exported, which allocates under the same lock, the process stands still forever.
 */
export function newKeyPair(): KeyPair {
  return pairOf(crypto().randomBytes(KEY_LENGTH));
}

function pairOf(secretKey: Buffer): KeyPair {
  const key = Buffer.concat([PKCS8_PREFIX, secretKey]);
  const handle = crypto().createPrivateKey({ key, format: "der", type: "pkcs8" });
  const publicKey = Buffer.from(handle.export({ format: "jwk" }).x as string, "base64url");
  return { publicKey, secretKey, handle };
}

/** The pairs of the keys in use, by the array that a socket's options hold. */
const known = new WeakMap<Uint8Array, KeyPair>();

/**
 * The pair of a known secret key. It is kept for as long as `secretKey` itself,
 * so that a socket pays for it with its first connection only.
 */
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
  const { createPublicKey, diffieHellman } = crypto();
  const x = Buffer.from(publicKey.buffer, publicKey.byteOffset, publicKey.byteLength).toString("base64url");
  let point: Buffer;
  try {
    const peer = createPublicKey({ key: { kty: "OKP", crv: "X25519", x }, format: "jwk" });
    point = diffieHellman({ privateKey: own.handle, publicKey: peer });
  } catch {
    return undefined; // OpenSSL refuses a result of zeros, as RFC 7748, 6.1 wants it.
  }
  return hsalsa20(point, NO_INPUT);
}
