/** Which shard a message belongs to: one hash of one part of its topic. Pure. */

import { InvalidArgumentError } from "../../core/errors.js";
import { fnv1a } from "../../core/hash.js";
import { checkCount, checkKeys } from "../kit/options.js";

/**
 * The part of the first frame that decides: messages with the same key have an order.
 *
 *   { length: 4 }                     its first 4 bytes
 *   { delimiter: "." }                up to the first "."
 *   { delimiter: ".", parts: 2 }      up to the second "."
 *
 * A frame that is shorter, or has fewer delimiters, is its own key. Default: the whole frame.
 */
export type ShardKey = { readonly length: number } | { readonly delimiter: string; readonly parts?: number };

/** @returns the end of the key in a first frame */
export type KeyEnd = (topic: Buffer) => number;

/** @throws InvalidArgumentError `EINVAL` for what is no {@link ShardKey} */
export function keyEndOf(key: ShardKey | undefined): KeyEnd {
  if (key === undefined) return (topic) => topic.length;
  checkKeys("key", key, ["length", "delimiter", "parts"]);
  if ("length" in key) {
    if ("delimiter" in key || "parts" in key)
      throw new InvalidArgumentError("key has a length or a delimiter, not both");
    const length = checkCount("key.length", key.length, 1);
    return (topic) => Math.min(length, topic.length);
  }
  if (typeof key.delimiter !== "string" || key.delimiter === "")
    throw new InvalidArgumentError("key.delimiter is a text of one character or more");
  const delimiter = Buffer.from(key.delimiter);
  const parts = checkCount("key.parts", key.parts ?? 1, 1);
  return (topic) => {
    let end = -delimiter.length;
    for (let part = 0; part < parts; part++) {
      end = topic.indexOf(delimiter, end + delimiter.length);
      if (end < 0) return topic.length;
    }
    return end;
  };
}

/** FNV-1a with an avalanche at its end: keys that differ in their last character alone are spread evenly, too. */
export function hash(bytes: Buffer, end: number): number {
  let value = fnv1a(bytes, 0, end);
  value ^= value >>> 16;
  value = Math.imul(value, 0x85ebca6b);
  value ^= value >>> 13;
  value = Math.imul(value, 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
