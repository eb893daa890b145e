/** Ten thousand sockets and connections come and go, and leave nothing behind. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { Child } from "../process/child.js";

const PROGRAM = fileURLToPath(new URL("./churn.js", import.meta.url));
const BATCHES = 10;
const SOCKETS_A_BATCH = 1_000;
/** Batches until caches, pools and the compiler have settled. */
const WARM_UP = 3;

interface Sample {
  readonly descriptors: number;
  readonly threads: number;
  readonly heap: number;
  readonly rss: number;
}

/** The slope of a line through the samples, per batch. */
function trend(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  let products = 0;
  let squares = 0;
  for (const [index, value] of values.entries()) {
    products += (index - middle) * value;
    squares += (index - middle) ** 2;
  }
  return products / squares;
}

describe.skipIf(process.platform !== "linux" && "counts descriptors in /proc")("opening and closing", () => {
  it("10,000 sockets of all types takes no descriptor, thread or memory for good", async () => {
    const child = new Child(
      process.execPath,
      ["--expose-gc", "--unhandled-rejections=strict", PROGRAM, String(BATCHES), String(SOCKETS_A_BATCH)],
      { limit: 60_000 },
    );
    const outcome = await child.outcome;
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    const samples: Sample[] = outcome.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(samples).toHaveLength(BATCHES);

    const settled = samples.slice(WARM_UP);
    const of = (name: keyof Sample): number[] => settled.map((sample) => sample[name]);
    const shown = outcome.stdout;
    // A few sockets may still be on their way out when a sample is taken; none may stay.
    expect(Math.max(...of("descriptors")) - Math.min(...of("descriptors")), shown).toBeLessThan(20);
    expect(new Set(of("threads")).size, shown).toBe(1);
    // One leaked JavaScript socket is more than 1 KiB, one leaked native socket more than 2 KiB.
    expect(trend(of("heap")) / SOCKETS_A_BATCH, shown).toBeLessThan(100);
    expect(trend(of("rss")) / SOCKETS_A_BATCH, shown).toBeLessThan(1_000);
  }, 70_000);
});
