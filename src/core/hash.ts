/**
 * Hashes that choose a place: tables of a power of two places, shards. Anyone can make two texts with one hash, so a caller compares the keys
 * as well; what stands for a text without it needs SHA-256.
 */

const OFFSET = 0x811c_9dc5;
const FACTOR = 0x0100_0193;

/**
 * FNV-1a, 32 bits, signed. Its low bits are its weakest: mix them before use.
 *
 * @param start the first byte
 * @param end the byte after the last
 * @param seed another hash for another kind of key; no help against chosen keys: see `seededHash`
 */
export function fnv1a(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  let hash = (OFFSET ^ seed) | 0;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ (bytes[i] as number), FACTOR);
  return hash;
}

/**
 * A hash of short keys that strangers choose, by a seed that they do not know. In FNV-1a only the low byte of the seed decides which
 * keys collide, since a product's low bits come of low bits alone; here high bits come down with each byte.
 *
 * @param start the first byte
 * @param end the byte after the last
 */
export function seededHash(bytes: Uint8Array, seed: number, start = 0, end: number = bytes.length): number {
  let hash = (OFFSET ^ seed) | 0;
  for (let i = start; i < end; i++) {
    hash = Math.imul(hash ^ (bytes[i] as number), FACTOR);
    hash ^= hash >>> 15;
  }
  return hash;
}
