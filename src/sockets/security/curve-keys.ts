/** CURVE key pairs (26/CURVEZMQ, Security Handshake): X25519 keys as Z85 text. */
import { InvalidArgumentError } from "../../core/errors.js";
import { decodeZ85, encodeZ85 } from "../../core/z85.js";

/** A permanent CURVE key pair; each key is 32 bytes as 40 characters of Z85. */
export interface CurveKeyPair {
  readonly publicKey: string;
  readonly secretKey: string;
}

/** The DER frame of a bare X25519 private key (RFC 8410, 7). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b656e04220420", "hex");

/** Loaded when a key is made, not with the package: it is a fifth of what importing all of shoal would cost. */
function crypto(): typeof import("node:crypto") {
  return process.getBuiltinModule("node:crypto");
}

/**
 * A new random key pair, from the operating system's random source. Loads no native addon.
 *
 * Any 32 bytes are a secret key. (`generateKeyPairSync` can hang on Node.js 20 when the key is exported: see
 * engine/zmtp/mechanism/curve-exchange.ts.)
 */
export function curveKeyPair(): CurveKeyPair {
  const secretKey = encodeZ85(crypto().randomBytes(32));
  return { publicKey: curvePublicKey(secretKey), secretKey };
}

/**
 * The public key that belongs to a secret key.
 *
 * @param secretKey 40 characters of Z85
 * @throws InvalidArgumentError `EINVAL` for an invalid key
 */
export function curvePublicKey(secretKey: string): string {
  const bytes = decodeZ85(secretKey);
  if (bytes.length !== 32) throw new InvalidArgumentError("A CURVE secret key has 40 characters of Z85");
  const key = crypto().createPrivateKey({
    key: Buffer.concat([PKCS8_PREFIX, bytes]),
    format: "der",
    type: "pkcs8",
  });
  return encodeZ85(
    Buffer.from(crypto().createPublicKey(key).export({ format: "jwk" }).x as string, "base64url"),
  );
}
