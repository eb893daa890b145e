/**
 * Connections of the zmtp engine come and go by the thousand, and leave nothing behind. That of a few: test/leak/classes.test.ts.
 *
 * A leak grows forever; caches, pools, the compiler and malloc's arenas grow for a while, for how long differs from run to run. So a
 * fixed number of batches would have to fail on the slow ones or pass small leaks: the program goes on until its last samples are
 * level, and a leak is a program that never gets there.
 */
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { Child } from "../process/child.js";

const PROGRAM = fileURLToPath(new URL("./zmtp-connections.js", import.meta.url));
/** Batches until caches, pools and the compiler have settled, for the most part. */
const WARM_UP = 33;
/** Batches after which what still grows is a leak. */
const MOST = 60;
const CONNECTIONS_A_BATCH = 500;
/** How many of the last samples have to be level. */
const WINDOW = 7;
/** For what hangs. */
const LIMIT = 1_200_000;
/** The most that a connection may leave behind, in bytes of the heap. One that is leaked is more than 4 KiB. */
const BOUND = 100;

interface Sample {
  readonly connections: number;
  readonly descriptors: number;
  readonly handles: number;
  readonly heap: number;
}

/** Runs the program, which prints a sample a batch and ends after a line on its standard input. */
async function sampled(): Promise<{ all: readonly Sample[]; window: readonly Sample[]; growth: number }> {
  // A call that waits for a peer warns after a while, which on a busy machine is no fault.
  const node = ["--expose-gc", "--no-warnings", "--unhandled-rejections=strict"];
  const args = [...node, PROGRAM, String(MOST), String(CONNECTIONS_A_BATCH)];
  const child = new Child(process.execPath, args, { limit: LIMIT });
  const all: Sample[] = [];
  for (;;) {
    all.push(JSON.parse(await child.line()));
    const window = all.slice(-WINDOW);
    const growth = trend(window.map(({ heap }) => heap)) / CONNECTIONS_A_BATCH;
    if (all.length < MOST && (all.length < WARM_UP + WINDOW || growth >= BOUND)) continue;
    child.tell("enough");
    expect(await child.outcome).toMatchObject({ code: 0, stderr: "" });
    return { all, window, growth };
  }
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

it.skipIf(process.platform !== "linux" && "counts descriptors in /proc")(
  "20,000 connections, good and bad, take no descriptor, handle or memory for good",
  async () => {
    const { all, window, growth } = await sampled();
    const shown = JSON.stringify(all);
    expect(all.at(-1)?.connections).toBeGreaterThanOrEqual(all.length * CONNECTIONS_A_BATCH);
    expect(new Set(window.map((sample) => sample.descriptors)).size, shown).toBe(1);
    expect(new Set(window.map((sample) => sample.handles)).size, shown).toBe(1);
    expect(growth, shown).toBeLessThan(BOUND);
  },
  LIMIT + 10_000,
);
