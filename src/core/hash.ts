/** The hash of short keys, where nobody gains by making keys that collide: tables of a power of two places, shards. */

const OFFSET = 0x811c_9dc5;
const FACTOR = 0x0100_0193;

/**
 * FNV-1a, 32 bits, signed. Its low bits are its weakest: mix them before use.
 *
 * @param start the first byte
 * @param end the byte after the last
 * @param seed changes all hashes, for tables whose keys come from strangers
 */
export function fnv1a(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  let hash = (OFFSET ^ seed) | 0;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ (bytes[i] as number), FACTOR);
  return hash;
}
