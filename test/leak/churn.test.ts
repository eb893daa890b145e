/** Sockets and connections come and go by the thousand, and leave nothing behind; SHOAL_LONG=1: 10,000. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { LONG } from "../support/long.js";
import { sampled } from "./samples.js";

const PROGRAM = fileURLToPath(new URL("./churn.js", import.meta.url));
const PER_BATCH = LONG ? 1_000 : 500;
// One leaked JavaScript socket is more than 1 KiB, one leaked native socket more than 2 KiB.
const BOUNDS = { heap: 100, rss: 1_000 };

describe.skipIf(process.platform !== "linux" && "counts descriptors in /proc")("opening and closing", () => {
  it(`${10 * PER_BATCH} sockets of all types takes no descriptor, thread or memory for good`, async () => {
    const sampling = {
      program: PROGRAM,
      warmUp: 3,
      most: 40,
      perBatch: PER_BATCH,
      bounds: BOUNDS,
      limit: 200_000,
    };
    const { all, window, growth } = await sampled(sampling);
    const shown = JSON.stringify(all);
    const of = (field: string): number[] => window.map((sample) => sample[field] as number);
    // A few sockets may still be on their way out when a sample is taken; none may stay.
    expect(Math.max(...of("descriptors")) - Math.min(...of("descriptors")), shown).toBeLessThan(20);
    expect(new Set(of("threads")).size, shown).toBe(1);
    expect(growth.heap, shown).toBeLessThan(BOUNDS.heap);
    expect(growth.rss, shown).toBeLessThan(BOUNDS.rss);
  }, 210_000);
});
