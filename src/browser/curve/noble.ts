/** CURVE primitives from `@noble`, smaller than libsodium and synchronous, unlike Web Crypto's X25519. */
import { hsalsa, xsalsa20poly1305 } from "@noble/ciphers/salsa.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { publicKeyOf } from "../../core/x25519.browser.js";
import type { CurveBox } from "../../engine/zmtp/mechanism/curve-box.js";

/** Longest box with reused working memory. */
const MAX_KEPT = 131_072;
const NOBLE_HEAD = 32;
/** HSalsa20's constant "expand 32-byte k", as words. */
const SIGMA = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574];

let kept = new Uint8Array(1024);

/** Noble requires memory of exactly this length. */
function memory(length: number): Uint8Array {
  const size = length + NOBLE_HEAD;
  if (size > MAX_KEPT) return new Uint8Array(size);
  if (size > kept.length) kept = new Uint8Array(Math.min(MAX_KEPT, size * 2));
  return kept.subarray(0, size);
}

export const NOBLE: CurveBox = {
  name: "noble",
  mostShort: -1,
  seal(sealed, plain, nonce, key) {
    sealed.set(xsalsa20poly1305(key, nonce).encrypt(plain, memory(plain.length)));
  },
  open(plain, sealed, nonce, key) {
    try {
      plain.set(xsalsa20poly1305(key, nonce).decrypt(sealed, memory(sealed.length)));
      return true;
    } catch {
      return false; // Noble throws for a wrong tag.
    }
  },
  agree(publicKey, secretKey) {
    let point: Uint8Array;
    try {
      point = x25519.getSharedSecret(secretKey, publicKey);
    } catch {
      return undefined; // The result is all zeros (RFC 7748, 6.1).
    }
    const key = new Uint32Array(8);
    hsalsa(Uint32Array.from(SIGMA), new Uint32Array(point.slice().buffer), new Uint32Array(4), key);
    return new Uint8Array(key.buffer);
  },
  publicKeyOf,
};
