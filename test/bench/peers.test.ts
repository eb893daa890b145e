/**
 * The contenders of `shoal bench`: each does the same work. By default two of them do the first of it; the long form has all contenders, sizes
 * and scenarios, of which `.ci/run` plays each once, too.
 */
import { afterAll, describe, expect, it } from "vitest";
import { expectedChecksum } from "../../bench/bodies.js";
import type { Contender, Scenario, SideCommand, SideReport } from "../../bench/contract.js";
import { Child } from "../process/child.js";
import { LONG } from "../support/long.js";

// As built: sides are programs, and those in Node are found next to the contender's compiled file.
const built = (path: string) => import(new URL(`../../dist/bench/${path}`, import.meta.url).href);
const { CONTENDERS } = (await built("peers/index.js")) as { CONTENDERS: readonly Contender[] };
const { SCENARIOS } = (await built("scenarios/index.js")) as { SCENARIOS: readonly Scenario[] };
const { run } = (await built("runner/run.js")) as {
  run(request: object, settings: object): Promise<SideReport[]>;
};

const reasons = new Map<string, string>();
for (const contender of CONTENDERS) {
  const reason = await contender.absent();
  if (reason !== undefined) reasons.set(contender.name, reason);
}
const present = CONTENDERS.filter(({ name }) => !reasons.has(name));
const ready = new Map<Contender, Promise<void>>();

/** Compiles, or starts a server, once. */
async function prepared(contender: Contender): Promise<Contender> {
  if (!ready.has(contender)) ready.set(contender, contender.prepare?.() ?? Promise.resolve());
  await ready.get(contender);
  return contender;
}

afterAll(async () => {
  for (const contender of ready.keys()) await contender.dispose?.();
});

const WARMUP = 50;

/** The report of the measured role; `run` refuses wrong counts, order and checksums. */
async function play(
  contender: Contender,
  name: string,
  size: number,
  count: number,
  parameters: Readonly<Record<string, number | string>> = {},
): Promise<SideReport> {
  const scenario = SCENARIOS.find((one) => one.name === name);
  const chosen = { transport: scenario?.transports[0], size, parameters };
  const request = { scenario, contender: await prepared(contender), chosen, count, warmup: WARMUP };
  const signal = new AbortController().signal;
  const [measured] = await run(request, { pinning: undefined, timeout: 35_000, signal });
  return measured as SideReport;
}

describe("the contenders of the benchmark", () => {
  for (const { name } of CONTENDERS) {
    const reason = reasons.get(name);
    it.skipIf(reason === undefined)(`${name}, absent, says why and how to get it`, () => {
      expect(reason).toMatch(/install/);
    });
  }

  // One byte; a counter without room; both of ZMTP's frame sizes; more than a chunk of a socket.
  const SIZES = [1, 3, 255, 256, 70_000];
  /** Each has one of the sizes, and each size several contenders; SHOAL_LONG=1: each has all. */
  const sizesOf = (turn: number): number[] => SIZES.filter((_, at) => LONG || at === turn % SIZES.length);

  const able = present.filter((one) => one.supports("throughput", "tcp"));
  const played = able.filter(({ name }) => LONG || name === "shoal-zmtp" || name === "node-net");

  for (const [turn, contender] of played.entries()) {
    // Processes that wait most of the time: several at once.
    describe.concurrent(contender.name, () => {
      it.each(sizesOf(turn))("sends the same bytes as every other, in messages of %i", async (size) => {
        const checksum = expectedChecksum(size, WARMUP, 60);
        const wanted = { messages: 60, bytes: 60 * size, checksum, ordered: true };
        expect(await play(contender, "throughput", size, 60)).toMatchObject(wanted);
      });

      it("gives percentiles of a round trip", async () => {
        const { latency = {} } = await play(contender, "latency", 16, 100);
        const table = ["50", "90", "99", "99.9", "100"].map((name) => latency[name] as number);
        expect(table.every((value) => value > 0)).toBe(true);
        expect(table).toEqual(table.toSorted((a, b) => a - b));
        expect(latency.mean).toBeGreaterThan(0);
      });

      it("ends when its standard input closes", async () => {
        const { command } = await prepared(contender);
        const what = { scenario: "throughput", transport: "tcp", size: 16, count: 10 } as const;
        const side = { role: "consumer", index: 0, endpoint: "tcp://127.0.0.1:*", options: { warmup: 0 } };
        expect(await endsWithInput(command({ ...what, ...side }))).toBe(0);
      });
    });
  }
});

it("a case that asks for it reports the bytes that V8 promoted", async () => {
  const contender = present.find(({ name }) => name === "shoal-zmtp") as Contender;
  const parameters = { pattern: "dealer-router", peers: 1 };
  const { extra } = await play(contender, "request-reply", 64, 500, parameters);
  expect(extra?.promotedBytes).toBeGreaterThanOrEqual(0);
  expect((await play(contender, "throughput", 64, 500)).extra?.promotedBytes).toBeUndefined();
});

/** Starts a side, waits until it is ready, lets it go. @returns its exit code */
async function endsWithInput({ file, args, env }: SideCommand): Promise<number | null> {
  const child = new Child(file, args, { env, limit: 15_000 });
  expect(JSON.parse(await child.line())).toMatchObject({ type: "ready", endpoint: expect.any(String) });
  return (await child.end().outcome).code;
}
