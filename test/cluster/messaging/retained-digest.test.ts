/** Fingerprints, buckets and sums of retained values, and the questions that carry them, read back. */
import { describe, expect, test } from "vitest";
import { MAX_ASK_FILTERS, MAX_DIGEST_BITS } from "../../../src/cluster/messaging/bounds.js";
import { ItemReader } from "../../../src/cluster/messaging/items.js";
import type { RetainedValue } from "../../../src/cluster/messaging/retained.js";
import {
  BucketSums,
  bucketOf,
  digestBits,
  fingerprintOf,
} from "../../../src/cluster/messaging/retained-digest.js";
import {
  type Ask,
  encodeAsk,
  encodeEnd,
  encodeStale,
  readAsk,
  readEnd,
  readStale,
} from "../../../src/cluster/messaging/retained-items.js";
import fc from "../../support/properties.js";

const fingerprint = fc.nat(2 ** 48 - 1);
const filter = fc.constantFrom("#", "t/+", "sensors/3/temperature", "ü/#");

function value(topic: string, node = "ab".repeat(16), stamp = 1_700_000_000_000_000): RetainedValue {
  return { topic, node, client: 1, subtopic: undefined, stamp, data: Buffer.from("x") };
}

/** A reader behind the first byte. */
function behindHead(item: Uint8Array): ItemReader {
  const reader = new ItemReader();
  reader.start(Buffer.from(item), 1);
  return reader;
}

function sumsOf(bits: number, fingerprints: Iterable<number>): BucketSums {
  const sums = new BucketSums(bits);
  for (const each of fingerprints) sums.add(each);
  return sums;
}

describe("fingerprints of retained values", () => {
  test("are of the topic, the node and the stamp, and have 48 bits", () => {
    const all = [value("t/1"), value("t/2"), value("t/1", "cd".repeat(16)), value("t/1", undefined, 7)];
    expect(new Set(all.map(fingerprintOf)).size).toBe(4);
    expect(fingerprintOf(value("t/1"))).toBe(fingerprintOf({ ...value("t/1"), data: Buffer.alloc(0) }));
    for (const each of all) expect(fingerprintOf(each)).toBeLessThan(2 ** 48);
  });

  test("of two sets that differ in some values differ in the sums of their buckets, and in no other bucket", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fingerprint), fc.uniqueArray(fingerprint), fc.nat(6), (both, more, bits) => {
        const others = more.filter((each) => !both.includes(each));
        const [one, other] = [sumsOf(bits, both), sumsOf(bits, [...others, ...both])];
        const single = new Set(others.map((each) => bucketOf(each, bits)));
        const differing = one.differing(other);
        for (const bucket of differing) expect(single).toContain(bucket);
        // Of several the exclusive or may be 0; of one it is that.
        for (const bucket of single) {
          const there = others.filter((each) => bucketOf(each, bits) === bucket);
          if (there.length === 1 && there[0] !== 0) expect(differing).toContain(bucket);
        }
      }),
    );
  });

  test("have about 16 in a bucket, and a bounded number of buckets", () => {
    expect([0, 1, 16, 17, 32, 33, 10_000, 1e9].map(digestBits)).toEqual([
      0,
      0,
      0,
      1,
      1,
      2,
      10,
      MAX_DIGEST_BITS,
    ]);
  });
});

describe("questions for retained values", () => {
  const buckets = fc.dictionary(fc.nat(7).map(String), fc.array(fingerprint));
  const known = fc.oneof(
    fc.constant({ is: "nothing" as const }),
    fc.tuple(fc.nat(5), fc.array(fingerprint)).map(([bits, fingerprints]) => ({
      is: "sums" as const,
      sums: sumsOf(bits, fingerprints),
    })),
    buckets.map((each) => ({
      is: "fingerprints" as const,
      bits: 3,
      buckets: new Map(Object.entries(each).map(([bucket, all]) => [Number(bucket), new Set(all)])),
    })),
  );
  const ask = fc.record({
    request: fc.nat(0xffff_ffff),
    isInterest: fc.boolean(),
    filters: fc.array(filter),
    known,
  });

  test("are read as they were written, and cut short or longer are malformed", () => {
    fc.assert(
      fc.property(ask, fc.nat(1_000), ({ request, isInterest, filters, known: has }, cut) => {
        const item = encodeAsk(request, isInterest, filters, has);
        expect(readAsk(behindHead(item))).toEqual({ request, isInterest, filters, known: has } satisfies Ask);
        expect(readAsk(behindHead(item.subarray(0, 1 + (cut % (item.length - 1)))))).toBeUndefined();
        expect(readAsk(behindHead(Buffer.concat([item, Buffer.from([0])])))).toBeUndefined();
      }),
    );
  });

  test("with more filters, buckets or fingerprints than there may be are malformed", () => {
    const read = (...known_: number[]) => readAsk(behindHead(Buffer.from([0x11, 1, 0, 0, ...known_])));
    expect(read(0)).toBeDefined();
    expect(read(3)).toBeUndefined();
    expect(read(1, MAX_DIGEST_BITS + 1)).toBeUndefined();
    expect(read(2, 1, 3, 0, 0, 1, 0, 0, 0)).toBeUndefined(); // Three of two buckets.
    expect(read(2, 1, 1, 2, 0)).toBeUndefined(); // Bucket 2 of 0 and 1.
    expect(read(2, 1, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f)).toBeUndefined(); // Fingerprints that do not come.
    const filters = Array.from({ length: MAX_ASK_FILTERS + 1 }, () => "t");
    expect(readAsk(behindHead(encodeAsk(1, true, filters)))).toBeUndefined();
    expect(readAsk(behindHead(encodeAsk(1, true, filters.slice(1))))?.filters).toHaveLength(MAX_ASK_FILTERS);
    expect(readAsk(behindHead(encodeAsk(1, true, ["a/#/b"])))).toBeUndefined();
  });

  test("are answered by buckets in ascending order, each once", () => {
    const read = (...bytes: number[]) => readEnd(behindHead(Buffer.from([0x13, ...bytes])));
    const item = behindHead(encodeEnd(300, [0, 2, 200]));
    expect(item.varint()).toBe(300);
    expect(readEnd(item)).toEqual([0, 2, 200]);
    expect(read(0)).toEqual([]);
    for (const bytes of [[], [1], [2, 1, 1], [2, 2, 1], [0, 0], [0xff, 0xff, 0xff, 0xff, 0x0f]])
      expect(read(...bytes)).toBeUndefined();
  });

  test("are asked again for a reason that is known", () => {
    const node = "ab".repeat(16);
    expect(readStale(behindHead(encodeStale(3, node)))).toEqual({ reason: 3, node });
    expect(readStale(behindHead(encodeStale(1)))).toEqual({ reason: 1, node: "" });
    for (const bytes of [[], [0], [4], [3], [1, 0]])
      expect(readStale(behindHead(Buffer.from([0x14, ...bytes])))).toBeUndefined();
  });
});
