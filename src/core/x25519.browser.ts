/** Replaces core/x25519.ts: `@noble/curves` is synchronous, unlike Web Crypto's X25519. */
import { x25519 } from "@noble/curves/ed25519.js";

export function publicKeyOf(secretKey: Uint8Array): Buffer {
  return Buffer.from(x25519.getPublicKey(secretKey));
}
