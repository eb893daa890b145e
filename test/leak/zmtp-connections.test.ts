/** Connections of the zmtp engine come and go by the thousand, and leave nothing behind; SHOAL_LONG=1: 100,000. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { LONG } from "../support/long.js";
import { sampled } from "./samples.js";

const PROGRAM = fileURLToPath(new URL("./zmtp-connections.js", import.meta.url));
/** Batches until caches, pools and the compiler have settled, for the most part. */
const WARM_UP = LONG ? 33 : 3;
const CONNECTIONS_A_BATCH = LONG ? 2_500 : 250;
// One leaked connection is more than 4 KiB.
const BOUNDS = { heap: LONG ? 100 : 200 };

describe.skipIf(process.platform !== "linux" && "counts descriptors in /proc")("connections", () => {
  it(`${LONG ? 100_000 : 2_500} of them, good and bad, take no descriptor, handle or memory for good`, async () => {
    const { all, window, growth } = await sampled({
      program: PROGRAM,
      warmUp: WARM_UP,
      most: LONG ? 60 : 25,
      perBatch: CONNECTIONS_A_BATCH,
      bounds: BOUNDS,
      limit: 280_000,
    });
    const shown = JSON.stringify(all);
    expect(all.at(-1)?.connections).toBeGreaterThanOrEqual(all.length * CONNECTIONS_A_BATCH);
    expect(new Set(window.map((sample) => sample.descriptors)).size, shown).toBe(1);
    expect(new Set(window.map((sample) => sample.handles)).size, shown).toBe(1);
    expect(growth.heap, shown).toBeLessThan(BOUNDS.heap);
  }, 290_000);
});
