/** Connections of the zmtp engine come and go by the thousand, and leave nothing behind. That of a few: test/leak/classes.test.ts. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { sampled } from "./samples.js";

const PROGRAM = fileURLToPath(new URL("./zmtp-connections.js", import.meta.url));
/** Batches until caches, pools and the compiler have settled, for the most part. */
const WARM_UP = 33;
const CONNECTIONS_A_BATCH = 500;
/** For what hangs. */
const LIMIT = 1_200_000;
// One leaked connection is more than 4 KiB.
const BOUNDS = { heap: 100 };

describe.skipIf(process.platform !== "linux" && "counts descriptors in /proc")("connections", () => {
  it(
    "20,000 of them, good and bad, take no descriptor, handle or memory for good",
    async () => {
      const { all, window, growth } = await sampled({
        program: PROGRAM,
        warmUp: WARM_UP,
        most: 60,
        perBatch: CONNECTIONS_A_BATCH,
        bounds: BOUNDS,
        limit: LIMIT,
      });
      const shown = JSON.stringify(all);
      expect(all.at(-1)?.connections).toBeGreaterThanOrEqual(all.length * CONNECTIONS_A_BATCH);
      expect(new Set(window.map((sample) => sample.descriptors)).size, shown).toBe(1);
      expect(new Set(window.map((sample) => sample.handles)).size, shown).toBe(1);
      expect(growth.heap, shown).toBeLessThan(BOUNDS.heap);
    },
    LIMIT + 10_000,
  );
});
