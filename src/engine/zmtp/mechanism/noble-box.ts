/** CURVE's box by `@noble/ciphers`, for Node.js (curve-box.ts) and for browsers (src/browser/curve). */

/** Its XSalsa20-Poly1305. */
type NobleCipher = (
  key: Uint8Array,
  nonce: Uint8Array,
) => {
  encrypt(plain: Uint8Array, output?: Uint8Array): Uint8Array;
  decrypt(sealed: Uint8Array, output?: Uint8Array): Uint8Array;
};

/** As `CurveBox` (curve-box.ts). */
export interface NobleBox {
  readonly name: "noble";
  seal(sealed: Uint8Array, plain: Uint8Array, nonce: Uint8Array, key: Uint8Array): void;
  open(plain: Uint8Array, sealed: Uint8Array, nonce: Uint8Array, key: Uint8Array): boolean;
}

/** The longest box for which noble's working memory is kept for the next. */
const MAX_KEPT = 131_072;
/** What noble wants in front of the text, for a key of its own. */
const NOBLE_HEAD = 32;

export function nobleBoxOf(cipher: NobleCipher): NobleBox {
  let kept = new Uint8Array(1024);
  /** Working memory for `length` bytes of input; noble wants it exact. */
  const memory = (length: number): Uint8Array => {
    const size = length + NOBLE_HEAD;
    if (size > MAX_KEPT) return new Uint8Array(size);
    if (size > kept.length) kept = new Uint8Array(Math.min(MAX_KEPT, size * 2));
    return kept.subarray(0, size);
  };
  return {
    name: "noble",
    seal(sealed, plain, nonce, key) {
      sealed.set(cipher(key, nonce).encrypt(plain, memory(plain.length)));
    },
    open(plain, sealed, nonce, key) {
      try {
        plain.set(cipher(key, nonce).decrypt(sealed, memory(sealed.length)));
        return true;
      } catch {
        return false; // Noble throws where the tag does not fit.
      }
    },
  };
}
