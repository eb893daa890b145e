/**
 * Hashes for table places and shards. Collisions are easy to construct, so callers must compare the keys as
 * well.
 */

const OFFSET = 0x811c_9dc5;
const FACTOR = 0x0100_0193;

/**
 * FNV-1a, 32 bits, signed. The low bits are weak: mix them before use.
 *
 * @param end exclusive
 * @param seed separates kinds of keys; it does not protect against chosen keys (see `seededHash`)
 */
export function fnv1a(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  let hash = (OFFSET ^ seed) | 0;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ (bytes[i] as number), FACTOR);
  return hash;
}

/**
 * For short untrusted keys, with a secret seed. With FNV-1a only the low byte of the seed affects collisions;
 * here the high bits are mixed in after each byte.
 *
 * @param end exclusive
 */
export function seededHash(bytes: Uint8Array, seed: number, start = 0, end: number = bytes.length): number {
  let hash = (OFFSET ^ seed) | 0;
  for (let i = start; i < end; i++) {
    hash = Math.imul(hash ^ (bytes[i] as number), FACTOR);
    hash ^= hash >>> 15;
  }
  return hash;
}
