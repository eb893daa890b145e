/** Connections of the zmtp engine come and go by the ten thousand, and leave nothing behind; SHOAL_LONG=1: 100,000. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { Child } from "../process/child.js";

const PROGRAM = fileURLToPath(new URL("./zmtp-connections.js", import.meta.url));
const LONG = process.env.SHOAL_LONG === "1";
const BATCHES = LONG ? 40 : 10;
const CONNECTIONS_A_BATCH = LONG ? 2_500 : 1_000;
/** Batches until caches, pools and the compiler have settled. */
const WARM_UP = LONG ? 8 : 3;

interface Sample {
  readonly connections: number;
  readonly descriptors: number;
  readonly handles: number;
  readonly heap: number;
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

describe.skipIf(process.platform !== "linux" && "counts descriptors in /proc")("connections", () => {
  it(`${BATCHES * CONNECTIONS_A_BATCH} of them, good and bad, take no descriptor, handle or memory for good`, async () => {
    const child = new Child(
      process.execPath,
      ["--expose-gc", "--unhandled-rejections=strict", PROGRAM, String(BATCHES), String(CONNECTIONS_A_BATCH)],
      { limit: LONG ? 280_000 : 110_000 },
    );
    const outcome = await child.outcome;
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    const samples: Sample[] = outcome.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(samples).toHaveLength(BATCHES);
    expect(samples.at(-1)?.connections).toBeGreaterThanOrEqual(BATCHES * CONNECTIONS_A_BATCH);

    const settled = samples.slice(WARM_UP);
    const of = (name: keyof Sample): number[] => settled.map((sample) => sample[name]);
    const shown = outcome.stdout;
    expect(new Set(of("descriptors")).size, shown).toBe(1);
    expect(new Set(of("handles")).size, shown).toBe(1);
    // One leaked connection is more than 4 KiB.
    expect(trend(of("heap")) / CONNECTIONS_A_BATCH, shown).toBeLessThan(100);
  }, 290_000);
});
