/** The DER frame of a bare private key (RFC 8410, 7). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b656e04220420", "hex");

/**
 * The first call loads `node:crypto`, a fifth of the time of importing shoal. For a new pair use 32 random
 * bytes: on Node.js 20 `generateKeyPairSync` can deadlock with the garbage collector.
 */
export function publicKeyOf(secretKey: Uint8Array): Buffer {
  const key = Buffer.concat([PKCS8_PREFIX, secretKey]);
  const handle = process
    .getBuiltinModule("node:crypto")
    .createPrivateKey({ key, format: "der", type: "pkcs8" });
  // An export as DER takes ten times as long.
  return Buffer.from(handle.export({ format: "jwk" }).x as string, "base64url");
}
