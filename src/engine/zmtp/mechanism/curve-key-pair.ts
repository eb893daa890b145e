/** X25519 key pairs of CURVE. */
import { type CurveBox, KEY_LENGTH } from "./curve-box.js";
import { publicKeyOf, randomBytes } from "./curve-primitives.js";

/** Both keys are 32 bytes. */
export interface KeyPair {
  readonly publicKey: Buffer;
  readonly secretKey: Buffer;
}

/** A new pair, of one connection: any 32 bytes are a secret key. */
export function newKeyPair(box: CurveBox): KeyPair {
  const secretKey = randomBytes(KEY_LENGTH);
  return { publicKey: box.publicKeyOf(secretKey), secretKey };
}

/** The pairs of the keys in use, by the array that a socket's options hold. */
const known = new WeakMap<Uint8Array, KeyPair>();

/** The pair of a permanent key, kept for as long as `secretKey` itself: a socket pays for it with its first connection only. */
export function keyPairOf(secretKey: Uint8Array): KeyPair {
  const kept = known.get(secretKey);
  if (kept?.secretKey.equals(secretKey) === true) return kept;
  const pair = { publicKey: publicKeyOf(secretKey), secretKey: Buffer.from(secretKey) };
  known.set(secretKey, pair);
  return pair;
}
