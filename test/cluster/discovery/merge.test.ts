/** Lists of several sources as one. */
import { describe, expect, it } from "vitest";
import { MAX_SEEDS } from "../../../src/cluster/bounds.js";
import { merged } from "../../../src/cluster/discovery/merge.js";

const asIs = (entry: string): string[] => [entry];
const addresses = (host: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `10.${host}.${i >> 8}.${i & 255}:7946`);

describe("the lists of all sources", () => {
  it("have room for the few addresses of one source when another has thousands", () => {
    const few = addresses("2", 20);
    const flooded = merged([addresses("1", MAX_SEEDS), few], asIs);
    expect(flooded.addresses.size).toBe(MAX_SEEDS);
    expect(flooded.overflows).toBe(true);
    for (const address of few) expect(flooded.addresses.has(address)).toBe(true);
    expect(merged([[], few], asIs)).toEqual({ addresses: new Set(few), overflows: false });
  });
});
