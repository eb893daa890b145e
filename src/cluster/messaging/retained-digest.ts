/**
 * What two nodes have of retained values, compared without the values: each has a fingerprint, fingerprints fall into buckets, and a bucket has
 * a sum. Sets whose sums are equal are equal; of a bucket whose sums differ the fingerprints say which values the other lacks. Pure.
 *
 *   fingerprint   the first 48 bits of SHA-256 of: node 16 | stamp 8 | the topic as UTF-8
 *   bucket        its first `bits` bits
 *   sum           the exclusive or of a bucket's fingerprints; 0 of one that is empty
 *
 * 48 bits: that of 10,000 values one has another's fingerprint has a probability of 2 in 10 million; such a value would be taken for known.
 */
import { createHash } from "node:crypto";
import { MAX_DIGEST_BITS } from "./bounds.js";
import type { RetainedValue } from "./retained.js";

/** Of a fingerprint, and of a sum. */
export const FINGERPRINT_BYTES = 6;
/** Values of a bucket, about: a sum is as long as one fingerprint, so fewer would save nothing. */
const BUCKET_VALUES = 16;
/** A fingerprint is two halves of 24 bits: the operators of JavaScript have 32. */
const HALF_BITS = 24;
const HALF = 2 ** HALF_BITS;

const fingerprints = new WeakMap<RetainedValue, number>();

/** A whole number of 48 bits, computed once for each value. */
export function fingerprintOf(value: RetainedValue): number {
  const known = fingerprints.get(value);
  if (known !== undefined) return known;
  const { node, stamp, topic } = value;
  const head = Buffer.allocUnsafe(24);
  head.write(node, "hex");
  head.writeBigUInt64BE(BigInt(stamp), 16);
  const fingerprint = createHash("sha256")
    .update(head)
    .update(topic)
    .digest()
    .readUIntBE(0, FINGERPRINT_BYTES);
  fingerprints.set(value, fingerprint);
  return fingerprint;
}

/** @returns the exponent of how many buckets so many values have */
export function digestBits(values: number): number {
  return Math.min(MAX_DIGEST_BITS, Math.ceil(Math.log2(Math.max(1, values / BUCKET_VALUES))));
}

export function bucketOf(fingerprint: number, bits: number): number {
  return Math.floor(fingerprint / 2 ** (8 * FINGERPRINT_BYTES - bits));
}

/** The sums of all buckets. */
export class BucketSums {
  readonly bits: number;
  readonly #high: Uint32Array;
  readonly #low: Uint32Array;

  constructor(bits: number) {
    this.bits = bits;
    this.#high = new Uint32Array(2 ** bits);
    this.#low = new Uint32Array(2 ** bits);
  }

  add(fingerprint: number): void {
    const bucket = bucketOf(fingerprint, this.bits);
    this.#high[bucket] = (this.#high[bucket] as number) ^ Math.floor(fingerprint / HALF);
    this.#low[bucket] = (this.#low[bucket] as number) ^ (fingerprint % HALF);
  }

  /** @param bytes `FINGERPRINT_BYTES` for each bucket, from its front */
  read(bytes: Buffer): void {
    for (let bucket = 0; bucket < this.#high.length; bucket++) {
      const sum = bytes.readUIntBE(bucket * FINGERPRINT_BYTES, FINGERPRINT_BYTES);
      this.#high[bucket] = Math.floor(sum / HALF);
      this.#low[bucket] = sum % HALF;
    }
  }

  write(into: Buffer, offset: number): void {
    for (let bucket = 0; bucket < this.#high.length; bucket++) {
      const sum = (this.#high[bucket] as number) * HALF + (this.#low[bucket] as number);
      into.writeUIntBE(sum, offset + bucket * FINGERPRINT_BYTES, FINGERPRINT_BYTES);
    }
  }

  /** Buckets in which two that have as many bits differ, ascending. */
  differing(other: BucketSums): number[] {
    const buckets: number[] = [];
    for (let i = 0; i < this.#high.length; i++)
      if (this.#high[i] !== other.#high[i] || this.#low[i] !== other.#low[i]) buckets.push(i);
    return buckets;
  }
}
