/** Sockets of all types come and go by the thousand, and leave nothing behind. That of a few: test/leak/classes.test.ts. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { sampled } from "./samples.js";

const PROGRAM = fileURLToPath(new URL("./churn.js", import.meta.url));
const PER_BATCH = 1_000;
/** For what hangs. */
const LIMIT = 3_600_000;
// One leaked socket is more than 1 KiB.
const BOUNDS = { heap: 100 };

describe.skipIf(process.platform !== "linux" && "counts descriptors in /proc")("opening and closing", () => {
  it(
    `${10 * PER_BATCH} sockets of all types takes no descriptor, thread or memory for good`,
    async () => {
      const sampling = {
        program: PROGRAM,
        warmUp: 3,
        most: 40,
        perBatch: PER_BATCH,
        bounds: BOUNDS,
        limit: LIMIT,
      };
      const { all, window, growth } = await sampled(sampling);
      const shown = JSON.stringify(all);
      const of = (field: string): number[] => window.map((sample) => sample[field] as number);
      // A few sockets may still be on their way out when a sample is taken; none may stay.
      expect(Math.max(...of("descriptors")) - Math.min(...of("descriptors")), shown).toBeLessThan(20);
      expect(new Set(of("threads")).size, shown).toBe(1);
      expect(growth.heap, shown).toBeLessThan(BOUNDS.heap);
    },
    LIMIT + 10_000,
  );
});
