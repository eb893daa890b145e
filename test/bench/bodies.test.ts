import { describe, expect, it } from "vitest";
import { Bodies, Checker, expectedChecksum } from "../../bench/bodies.js";
import fc from "../support/properties.js";

describe("the messages of the benchmarks", () => {
  it("are as the contract says, byte for byte", () => {
    expect(new Bodies(8).make(0x01020304).toString("hex")).toBe("0102030480818283");
    expect(new Bodies(3).make(0x01020304).toString("hex")).toBe("020304");
    expect(new Bodies(1).make(257).toString("hex")).toBe("01");
    expect(new Bodies(6).make(17).toString("hex")).toBe("000000112324");
    expect(() => new Bodies(0)).toThrow(RangeError);
  });

  it("have memory of their own", () => {
    const bodies = new Bodies(16);
    const first = bodies.make(0);
    first.fill(0xff);
    expect(bodies.make(16).subarray(4).includes(0xff)).toBe(false);
  });

  it("pass the check, and give the checksum that is expected", () => {
    const [sizes, counts] = [fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 600 })];
    fc.assert(
      fc.property(sizes, fc.nat(40), counts, (size, warmup, count) => {
        const bodies = new Bodies(size);
        const checker = new Checker(size, warmup);
        for (let k = 0; k < warmup + count; k++) checker.take(bodies.make(k));
        expect(checker.ordered).toBe(true);
        expect(checker.checksum).toBe(expectedChecksum(size, warmup, count));
      }),
      { numRuns: 50 },
    );
  });

  it("are not in order when one is lost, twice there, or swapped", () => {
    const bodies = new Bodies(64);
    for (const order of ["013", "011", "021"]) {
      const checker = new Checker(64, 0);
      for (const k of order) checker.take(bodies.make(Number(k)));
      expect(checker.ordered).toBe(false);
    }
  });

  it("have another checksum when a last byte is wrong, and another length is an error", () => {
    const checker = new Checker(64, 0);
    const message = new Bodies(64).make(0);
    message[63] = (message[63] as number) ^ 1;
    checker.take(message);
    expect(checker.ordered).toBe(true);
    expect(checker.checksum).not.toBe(expectedChecksum(64, 0, 1));
    expect(() => checker.take(Buffer.alloc(63))).toThrow("message 1 has 63 bytes instead of 64");
  });
});
