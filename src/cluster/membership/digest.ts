/**
 * Hash of a membership view: XOR over all live members and removals, so the cost of a change does not depend on the
 * size. The 64 buckets locate differences (docs/spec/cluster.md).
 */
import { BUCKETS } from "../bounds.js";

export function mix(hash: number, value: number): number {
  let mixed = Math.imul(hash ^ value, 0x85eb_ca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2_ae35);
  return mixed ^ (mixed >>> 16);
}

/** From the id's first two words. */
export function idHash(id: string): number {
  return mix(mix(0x7368_6f61, Number.parseInt(id.slice(0, 8), 16)), Number.parseInt(id.slice(8, 16), 16));
}

export function memberHash(hash: number, start: number, count: number, version: number): number {
  return mix(mix(mix(mix(hash, start | 0), Math.floor(start / 2 ** 32)), count), version) | 1;
}

/** Never equal to a member's. */
export function removalHash(hash: number, time: number, counter: number, removed: boolean): number {
  return mix(mix(mix(mix(hash, removed ? 3 : 5), time | 0), Math.floor(time / 2 ** 32)), counter) & ~1;
}

export class Digest {
  total = 0;
  readonly #buckets = new Uint32Array(BUCKETS);

  /** Adds a hash, or removes it if it was added before. */
  toggle(short: number, hash: number): void {
    this.total = (this.total ^ hash) >>> 0;
    const bucket = short & (BUCKETS - 1);
    this.#buckets[bucket] = (this.#buckets[bucket] as number) ^ hash;
  }

  buckets(): Uint32Array {
    return this.#buckets.slice();
  }

  /** Bits of the differing buckets: high word, low word. */
  difference(other: Uint32Array): readonly [number, number] {
    let [high, low] = [0, 0];
    for (let i = 0; i < BUCKETS; i++) {
      if (this.#buckets[i] === other[i]) continue;
      if (i < 32) low |= 1 << i;
      else high |= 1 << (i - 32);
    }
    return [high >>> 0, low >>> 0];
  }
}

export function isWanted([high, low]: readonly [number, number], short: number): boolean {
  const bucket = short & (BUCKETS - 1);
  return (((bucket < 32 ? low : high) >>> (bucket & 31)) & 1) === 1;
}
