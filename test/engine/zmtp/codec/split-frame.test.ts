/** How the memory of a long frame grows: what is copied of it, and what a peer has that sends only a part. */
import { describe, expect, it } from "vitest";
import { grownSize, MAX_EAGER, MAX_UNFILLED } from "../../../../src/engine/zmtp/codec/split-frame.js";

const MIB = 1_048_576;
const GIB = 1_024 * MIB;

/** A frame that comes whole. @returns bytes that were copied on the way, and the most memory that was not filled */
function grow(need: number, others: number): { copied: number; unfilled: number; ahead: number } {
  let copied = 0;
  let unfilled = 0;
  let ahead = 0;
  for (let size = MAX_EAGER; size < need; ) {
    const have = size;
    size = grownSize(need, have, Math.min(need, have + 16_384), others);
    expect(size).toBeGreaterThan(have);
    expect(size).toBeLessThanOrEqual(need);
    copied += have;
    unfilled = Math.max(unfilled, size - have);
    ahead = Math.max(ahead, size / have);
  }
  return { copied, unfilled, ahead };
}

const sizes = [
  2, 64, 127, 129, 130, 512, 1_023, 1_025, 1_100, 1_500, 2_047, 2_049, 3_000, 4_608, 20_000, 65_536,
];

describe("the memory of a frame of", () => {
  it.each(sizes)("%d MiB: no more of it is copied than a sixth, and 1 MiB", (size) => {
    const need = size * MIB;
    const { copied, unfilled, ahead } = grow(need, 0);
    expect(copied).toBeLessThanOrEqual(need / 6 + 2 * MIB);
    expect(ahead).toBeLessThanOrEqual(128);
    if (need <= GIB) expect(unfilled).toBeLessThanOrEqual(MAX_UNFILLED);
    else expect(unfilled).toBeLessThanOrEqual(Math.max(MAX_UNFILLED, (need / 16) * 15));
  });

  it.each(
    sizes,
  )("%d MiB is little ahead of what came where other frames have 1 GiB that is not filled", (size) => {
    const need = size * MIB;
    const { ahead } = grow(need, MAX_UNFILLED);
    expect(ahead).toBeLessThanOrEqual(need <= GIB ? 2 : 16);
  });

  it("1,030 MiB is whole when a 128th is here: what has come of it is not unfilled", () => {
    const need = 1_030 * MIB;
    const have = need / 128;
    expect(grownSize(need, have, have + 1, 0)).toBe(need);
  });
});
