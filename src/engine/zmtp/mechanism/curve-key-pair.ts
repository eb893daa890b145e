/** Key pairs of CURVE. */
import { randomBytes } from "../../../core/bytes.js";
import { publicKeyOf } from "../../../core/x25519.js";
import { type CurveBox, KEY_LENGTH } from "./curve-box.js";

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
