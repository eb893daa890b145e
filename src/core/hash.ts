/** Hashes for table places and shards. Collisions are easy to construct: callers must compare the keys. */

const OFFSET = 0x811c_9dc5;
const FACTOR = 0x0100_0193;

/**
 * FNV-1a, 32 bits, signed. The low bits are weak. @param seed separates kinds of keys, without protection
 * (see `seededHash`)
 */
export function fnv1a(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  let hash = (OFFSET ^ seed) | 0;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ (bytes[i] as number), FACTOR);
  return hash;
}

/**
 * For short untrusted keys, with a secret seed. In FNV-1a only the seed's low byte affects collisions; here
 * the high bits are mixed in after each byte.
 */
export function seededHash(bytes: Uint8Array, seed: number, start = 0, end: number = bytes.length): number {
  let hash = (OFFSET ^ seed) | 0;
  for (let i = start; i < end; i++) {
    hash = Math.imul(hash ^ (bytes[i] as number), FACTOR);
    hash ^= hash >>> 15;
  }
  return hash;
}
