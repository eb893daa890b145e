/**
 * HSalsa20: 32 secret bytes in, 32 bytes out that look random (Bernstein, "Extending the Salsa20 nonce").
 * NaCl's box makes its key with it. Once a handshake, so here in a few lines rather than from a package:
 * neither of those in curve-box.ts is needed by the other's users.
 *
 *   state of 16 words, little-endian; c "expand 32-byte k", k the key, n the 16 bytes of input
 *     c0 k0 k1 k2
 *     k3 c1 n0 n1
 *     n2 n3 c2 k4
 *     k5 k6 k7 c3
 *   10 times: the columns, then the rows; then words 0 5 10 15 6 7 8 9 are the output
 *
 * Additions, rotations and exclusive ors only: its time does not depend on the key.
 */

const CONSTANT = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574] as const;
const DOUBLE_ROUNDS = 10;

/** Four columns, then four rows, each from the diagonal on. */
const QUARTERS = [
  [0, 4, 8, 12],
  [5, 9, 13, 1],
  [10, 14, 2, 6],
  [15, 3, 7, 11],
  [0, 1, 2, 3],
  [5, 6, 7, 4],
  [10, 11, 8, 9],
  [15, 12, 13, 14],
] as const;

const OUTPUT = [0, 5, 10, 15, 6, 7, 8, 9] as const;

/**
 * @param key 32 bytes
 * @param input 16 bytes
 * @returns 32 bytes
 */
export function hsalsa20(key: Uint8Array, input: Uint8Array): Uint8Array {
  const keyWord = wordsOf(key);
  const inputWord = wordsOf(input);
  const state = Int32Array.of(
    CONSTANT[0],
    ...keyWord.subarray(0, 4),
    CONSTANT[1],
    ...inputWord,
    CONSTANT[2],
    ...keyWord.subarray(4, 8),
    CONSTANT[3],
  );
  for (let round = 0; round < DOUBLE_ROUNDS; round++) {
    for (const [a, b, c, d] of QUARTERS) {
      mix(state, b, a, d, 7);
      mix(state, c, b, a, 9);
      mix(state, d, c, b, 13);
      mix(state, a, d, c, 18);
    }
  }
  const result = new DataView(new ArrayBuffer(32));
  for (const [at, word] of OUTPUT.entries()) result.setInt32(at * 4, state[word] as number, true);
  return new Uint8Array(result.buffer);
}

/** `state[to] ^= (state[x] + state[y]) <<< bits` */
function mix(state: Int32Array, to: number, x: number, y: number, bits: number): void {
  const sum = ((state[x] as number) + (state[y] as number)) | 0;
  state[to] = (state[to] as number) ^ ((sum << bits) | (sum >>> (32 - bits)));
}

function wordsOf(bytes: Uint8Array): Int32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Int32Array.from({ length: bytes.length / 4 }, (_, i) => view.getInt32(i * 4, true));
}
