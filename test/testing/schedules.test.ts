/** The tool itself: it finds a planted fault, makes its story small, and says how to see it again. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { Network } from "../../src/testing/network.js";
import { Random } from "../../src/testing/random.js";
import { shrink } from "../../src/testing/shrink.js";
import type { Simulation } from "../../src/testing/simulation.js";
import { LONG } from "../support/long.js";
import { runSchedules } from "../support/schedules.js";

/** Messages go to and fro, some are lost, a node crashes now and then. The fault: a crash while it is cut off. */
function faulty(simulation: Simulation): void {
  const { random } = simulation;
  const network = new Network(simulation, { delay: [0.1, 20], loss: 0.05, duplication: 0.05 });
  let isCut = false;
  const join = (name: string): void => network.join(name, () => undefined);
  for (const name of ["a", "b"]) join(name);
  for (let i = random.integer(10, 40); i > 0; i--)
    simulation.at(random.integer(0, 1_000), () => void network.send("a", "b", [`message ${i}`]));
  for (let i = random.integer(0, 12); i > 0; i--) {
    const act = random.pick(["heal", "cut", "crash"] as const);
    simulation.at(random.integer(0, 1_000), () => {
      if (act === "crash") {
        network.crash("b");
        if (isCut) throw new Error(`lost at ${simulation.now}`);
        join("b");
      } else {
        isCut = act === "cut";
        if (isCut) network.cut("a", "b");
        else network.heal("a", "b");
      }
    });
  }
  simulation.run(1_000);
}

function failureOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("nothing was found");
}

it("finds a planted fault, and leaves of its story little more than the fault", () => {
  const text = failureOf(() => runSchedules(faulty, { count: 200 }));
  expect(text).toMatch(
    /^Seed \d+: lost at \d+\nRepeat it with: (?:SHOAL_LONG=1 )?SHOAL_SEED=\d+ npx vitest run test\/testing\//,
  );
  const [, from, to] = /Shrunk from (\d+) choices to (\d+): lost at \d+/.exec(text) ?? [];
  expect(Number(from)).toBeGreaterThan(40);
  expect(Number(to)).toBeLessThan(35);
  const trace = text.split("\n").slice(3);
  expect(trace.filter((line) => /cut$/.test(line)).length).toBe(1);
  expect(trace.filter((line) => /b is down$/.test(line)).length).toBe(1);
  expect(trace.filter((line) => /LOST|healed/.test(line)).length).toBeLessThanOrEqual(10);
  expect(trace.length).toBeLessThan(16);
});

it("the same seeds are the same stories, and give the same small one", () => {
  expect(failureOf(() => runSchedules(faulty, { count: 200 }))).toBe(
    failureOf(() => runSchedules(faulty, { count: 200 })),
  );
  const draw = (source: number | readonly number[]): number[] => {
    const random = new Random(source);
    return Array.from({ length: 20 }, () => random.integer(0, 99));
  };
  const recorded = new Random(5, true);
  const drawn = Array.from({ length: 20 }, () => recorded.integer(0, 99));
  expect(draw(5)).toEqual(drawn);
  expect(draw(recorded.choices ?? [])).toEqual(drawn);
  const none = new Random([]);
  expect([none.next(), none.integer(3, 9), none.chance(1), none.pick(["first", "other"])]).toEqual([
    0,
    3,
    true,
    "first",
  ]);
  expect(none.chance(0.999)).toBe(false);
});

it("makes choices fewer and smaller, within its attempts", () => {
  let attempts = 0;
  const choices = Array.from({ length: 100 }, (_, i) => (i % 7) / 7);
  const smallest = shrink(choices, (candidate) => {
    attempts += 1;
    return candidate.filter((choice) => choice > 0.5).length >= 2;
  });
  expect(smallest.length).toBe(2);
  expect(attempts).toBeLessThanOrEqual(1_000);
  expect(shrink(choices, () => false, { attempts: 50 })).toEqual(choices);
});

it.runIf(LONG)(
  "the command that a failure prints repeats it",
  async () => {
    const folder = mkdtempSync(join(fileURLToPath(new URL(".", import.meta.url)), "planted-"));
    try {
      writeFileSync(
        join(folder, "planted.test.ts"),
        `import { it } from "vitest";
      import { runSchedules } from "../../support/schedules.js";
      it("a 'planted' fault", () => {
        let begun = 0;
        runSchedules(({ random }) => {
          begun += 1;
          if (random.next() <= 0.9) return;
          // Before it is made smaller, which begins it again.
          console.log("Seeds begun: " + begun + ".");
          throw new Error("planted");
        }, { count: 100 });
      });`,
      );
      const first = await output("npx", ["vitest", "run", join(folder, "planted.test.ts")]);
      const [, command = "", seed] =
        /Repeat it with: ((?:SHOAL_LONG=1 )?SHOAL_SEED=(\d+) npx vitest run .*)/.exec(first) ?? [];
      expect(first).not.toContain("Seeds begun: 1.");
      const again = await output("/bin/sh", ["-c", command]);
      expect(again).toContain(`Seed ${seed}: planted`);
      expect(again).toMatch(/1 failed/);
      // That one alone was tried.
      expect(again).toContain("Seeds begun: 1.");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  150_000,
);

/** What a program writes, to either output. */
async function output(command: string, args: readonly string[]): Promise<string> {
  const cwd = fileURLToPath(new URL("../..", import.meta.url));
  const env = { ...process.env, SHOAL_SEED: "", NO_COLOR: "1", TMPDIR: tmpdir() };
  const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"], timeout: 70_000 });
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (piece: string) => {
      text += piece;
    });
  await new Promise((resolve) => child.once("close", resolve));
  return text;
}
