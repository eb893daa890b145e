import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { UnitReader } from "../../src/core/unit-reader.js";

const MOST = 40_000;

/** A unit: its size in 2 bytes, then that many. */
const unitOf = (size: number): Buffer => {
  const unit = Buffer.from(Uint8Array.from({ length: 2 + size }, (_, at) => at * size));
  unit.writeUInt16BE(size);
  return unit;
};
const readerOf = (): UnitReader => new UnitReader(2, MOST, (bytes, at) => 2 + bytes.readUInt16BE(at));
const unitsOf = (reader: UnitReader, chunks: Iterable<Buffer>): Buffer[] => {
  const units: Buffer[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let unit = reader.next(); unit !== undefined; unit = reader.next()) units.push(unit);
  }
  return units;
};

describe("a reader of units", () => {
  const all = [0, 1, 3_000, 0, 20_000, 7, 300].map(unitOf);
  const bytes = Buffer.concat(all);

  it.each([1, 2, 3, 1_000, 2_999, 16_384, bytes.length])("gives the same units in chunks of %d", (size) => {
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
      bytes.subarray(at * size, (at + 1) * size),
    );
    const reader = readerOf();
    expect(unitsOf(reader, chunks)).toEqual(all);
    expect(reader.length).toBe(0);
  });

  it("ends at a unit that is too large, after the units before it and before its bytes come", () => {
    const reader = readerOf();
    expect(unitsOf(reader, [Buffer.concat([unitOf(5), unitOf(MOST).subarray(0, 2)])])).toEqual([unitOf(5)]);
    expect(reader.excess).toBe(MOST + 2);
    expect(unitsOf(reader, [unitOf(5)])).toEqual([]);
  });

  it("takes memory by what came, which a direct read may fill", () => {
    const size = 1_000_000;
    const bytes = randomBytes(size);
    const reader = new UnitReader(1, size, () => size, 100);
    reader.push(bytes.subarray(0, 1));
    let came = 1;
    while (came < size) {
      expect(reader.next()).toBeUndefined();
      const { target } = reader;
      expect(target.length).toBeGreaterThan(0);
      expect(target.length).toBeLessThanOrEqual(Math.max(100, came));
      const length = bytes.copy(target, 0, came, came + Math.ceil(target.length / 2));
      reader.fill(length);
      came += length;
    }
    expect(reader.next()).toEqual(bytes);
    expect([reader.length, reader.target.length]).toEqual([0, 0]);
  });
});
