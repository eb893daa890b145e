/** The scenarios of patterns: what their clients measure; values, and options of the whole, that are refused and not ignored. */
import { describe, expect, it } from "vitest";
import { bench } from "../../bench/main.js";
import { planOf } from "../../bench/options.js";
import { type Asker, askOnSchedule, askPipelined, untilSteady } from "../../bench/peers/node/roles/asking.js";
import type { Outcome, Side } from "../../bench/peers/node/side.js";

const SIZE = 16;
const WARMUP = 40;
const COUNT = 100;

/** What a client sees of the side that it plays, without a process around it. */
function side(options: Readonly<Record<string, number | string>>) {
  const told: Outcome[] = [];
  const fake = {
    size: SIZE,
    warmup: WARMUP,
    count: COUNT,
    option: (name: string, otherwise: string) => String(options[name] ?? otherwise),
    number: (name: string, otherwise: number) => Number(options[name] ?? otherwise),
    ready: async () => undefined,
    begin: () => undefined,
    end: () => undefined,
    done: async (outcome: Outcome) => void told.push(outcome),
  };
  return { told, side: fake as unknown as Side };
}

it("the client of a broker on schedule counts from when a request was due: a pause delays all that were due in it", async () => {
  const rate = 1_000;
  const echo: Asker = {
    onReply: () => undefined,
    ask(k, body) {
      if (k === WARMUP + 20) for (const end = performance.now() + 50; performance.now() < end; );
      setTimeout(() => echo.onReply(body), 0);
    },
    close: async () => undefined,
  };
  const { told, side: player } = side({ window: 4, rate });
  await askOnSchedule(player, echo);
  const [outcome] = told;
  expect(outcome).toMatchObject({ messages: COUNT, ordered: true, extra: { rate } });
  // Of 100 requests about 50 were due in the pause: a client that waited for replies would have seen one.
  expect(outcome?.latency?.["75"]).toBeGreaterThan(10_000);
  expect(outcome?.latency?.["100"]).toBeGreaterThan(45_000);
});

it("a client with requests in flight is ready when twice as many are no faster, and asks the counted ones then", async () => {
  const done: number[] = [];
  const perRequest = [9, 5, 3, 2.9, 2];
  await untilSteady(
    100,
    async (requests) => ((perRequest[done.push(requests) - 1] as number) * requests) / 1e3,
  );
  expect(done).toEqual([100, 200, 400, 800]);

  let asked = 0;
  let before = 0;
  const echo: Asker = {
    onReply: () => undefined,
    ask(_, body) {
      asked += 1;
      setImmediate(echo.onReply, body);
    },
    close: async () => undefined,
  };
  const { told, side: player } = side({ window: 4 });
  const ready = async () => {
    before = asked;
  };
  await askPipelined(Object.assign(player, { ready }), echo);
  expect(before).toBeGreaterThanOrEqual(3 * (WARMUP >> 2));
  expect(asked - before).toBe(WARMUP + COUNT);
  expect(told).toEqual([expect.objectContaining({ messages: COUNT, ordered: true })]);
});

it("a warm-up that gets faster for ever ends after seconds", async () => {
  let last = 0;
  await untilSteady(100, async (requests) => (last = Math.sqrt(requests) * 10));
  expect(last).toBeGreaterThanOrEqual(2_000);
});

describe("a plan", () => {
  it.each([
    ["majordomo", "load=heavy", /unknown load "heavy"; known are concurrency-16, /],
    ["majordomo-under-load", "rate=some", /rate must be a whole number above 0; got "some"/],
    ["majordomo-growth", "services=0", /services must be a whole number above 0; got 0/],
    ["titanic", "until=never", /unknown until "never"; known are acknowledged, answered/],
    ["clone", "keys=0", /keys must be a whole number above 0; got 0/],
    ["clone", "peers=all", /peers must be a whole number above 0; got "all"/],
    ["clone-set", "rate=none", /rate must be a whole number above 0; got "none"/],
    ["cluster-publish", "nodes=2.5", /nodes must be a whole number above 0; got 2.5/],
    ["connection-storm", "connections=many", /connections must be a whole number above 0; got "many"/],
    ["pipeline", "workers=0", /workers must be a whole number above 0; got 0/],
    ["curve", "security=plain", /unknown security "plain"; known are null, curve/],
    ["last-value-cache", "topics=-1", /topics must be a whole number above 0; got -1/],
  ])("of %s refuses %s", (name, set, reason) => {
    const planned = () => planOf({ what: [name], set: [set] });
    expect(planned).toThrow(reason);
    expect(planned).toThrow(expect.objectContaining({ name: "BadInput" }));
  });

  it("of one rate for all contenders is fine, too", () => {
    const plan = planOf({ what: ["majordomo-under-load"], set: ["rate=2000"] });
    expect(plan.cases.map(({ chosen }) => chosen.parameters)).toEqual([{ rate: 2000 }]);
  });
});

it.each([
  [["throughput"], { threshold: "3" }, "--threshold goes with compare of builds and compare"],
  [["all"], { relativeTo: "zeromq" }, "--relative-to goes with compare"],
  [["throughput"], { markdown: "a.md" }, "--markdown goes with page and report"],
  [["compare", "a", "b"], { html: "a.html" }, "--html goes with measuring and page and report"],
  [["report", "a"], { size: "64" }, "--size goes with measuring and compare of builds"],
  [["page"], { size: "64" }, "--size goes with measuring and compare of builds"],
  [["list"], { json: "-" }, "--json goes with measuring and page and compare of builds and compare"],
])("%j with %j", async (what, options, message) => {
  await expect(bench({ what, ...options })).rejects.toMatchObject({ name: "BadInput", message });
});

it("an option that was not given, as the command line has it, is not refused", async () => {
  await expect(bench({ what: ["compare", "a"], set: [] })).rejects.toThrow("compare needs two files");
});
