import { describe, expect, it, vi } from "vitest";
import type { Contender, Scenario } from "../../bench/contract.js";
import { scenarioText } from "../../bench/report/table.js";
import { runCase } from "../../bench/runner/case.js";
import { groupCores, parseCores } from "../../bench/runner/pinning.js";
import { casesOf, runSuite } from "../../bench/runner/suite.js";
import { SCENARIOS } from "../../bench/scenarios/index.js";
import { chosen, contender, listener, plan, scenario, selection, settings } from "./support.js";

describe("a contender that fails", () => {
  const MODES: readonly (readonly [mode: string, reason: RegExp])[] = [
    ["crashes early", /^consumer ended with exit code 1 before it was done/],
    ["crashes", /^consumer ended with exit code 3 before it was done/],
    ["loses", /^consumer gave wrong output: messages 99 instead of 100/],
    ["changes", /^consumer gave wrong output: checksum ffffffff instead of 00000000/],
    ["swaps", /^consumer gave wrong output: messages out of order/],
    ["prints rubbish", /^consumer sent a line that is not JSON/],
  ];

  for (const [mode, reason] of MODES) {
    it(`(${mode}) is reported with its last output`, async () => {
      const heard = listener();
      await runSuite({ ...plan, contenders: [contender("bad", mode)] }, settings(), heard);
      expect(heard.order).toEqual([]);
      expect(heard.failures).toMatchObject([{ contender: "bad", reason: expect.stringMatching(reason) }]);
      const text = scenarioText(heard.records, scenario);
      expect(text).toContain("Failed: bad: consumer");
      expect(text).toContain("| this is consumer");
      if (mode === "crashes early") expect(text).toContain("no such socket");
    });
  }

  it("hangs: it is ended after its time, and the others go on", async () => {
    const heard = listener();
    const hasty: Scenario = { ...scenario, timeout: 3 };
    const others = [contender("bad", "hangs"), contender("after")];
    await runSuite({ cases: [{ scenario: hasty, chosen }], contenders: others }, settings(), heard);
    expect(heard.order).toEqual(["after"]);
    expect(heard.failures).toMatchObject([{ contender: "bad", reason: "hung: no result within 3 s" }]);
    expect(heard.failures[0]?.output).toContain("consumer: this is consumer");
  });

  it("hangs before it is ready: one that waits for it meanwhile does not fail", async () => {
    const heard = listener();
    const hasty: Scenario = { ...scenario, timeout: 2 };
    const others = [contender("before"), contender("bad", "hangs early")];
    await runSuite({ cases: [{ scenario: hasty, chosen }], contenders: others }, settings(), heard);
    expect(heard.order).toEqual(["before"]);
    expect(heard.failures).toMatchObject([{ contender: "bad", reason: "hung: no result within 2 s" }]);
  });

  it("cannot be started: its reason says so", async () => {
    const heard = listener();
    const missing = { ...contender("bad"), command: () => ({ file: "/nonexistent/program", args: [] }) };
    await runCase(scenario, chosen, [missing, contender("after")], settings(), heard);
    expect(heard.order).toEqual(["after"]);
    expect(heard.failures[0]?.reason).toMatch(/^consumer could not be started: .*ENOENT/);
  });

  it("cannot be prepared: it fails in each case, is undone, and the others go on", async () => {
    const heard = listener();
    const prepare = () => Promise.reject(new Error("no compiler"));
    const dispose = vi.fn(async () => undefined);
    const broken = { ...contender("bad"), prepare, dispose };
    await runSuite({ ...plan, contenders: [broken, contender("after")] }, settings(), heard);
    expect(heard.order).toEqual(["after"]);
    expect(heard.failures[0]?.reason).toBe("could not be prepared: no compiler");
    expect(dispose).toHaveBeenCalled();
  });
});

it("runs in turns stopped between a side's line and its clock have the time of that clock", async () => {
  const heard = listener();
  const others = ["a", "b"].map((name) => contender(name, "begins late"));
  await runSuite({ cases: [{ scenario, chosen }], contenders: others }, settings(), heard);
  const times = heard.records.flatMap((record) =>
    record.type === "run" ? [record.sides[0]?.seconds ?? Number.NaN] : [],
  );
  expect(times).toHaveLength(2);
  expect(Math.min(...times)).toBeGreaterThan(0);
});

describe("a suite", () => {
  it("reports which contenders are absent, and which have no such thing", async () => {
    const heard = listener();
    const gone = { ...contender("gone"), absent: async () => "not installed: install it" };
    const other = { ...contender("other"), supports: () => false };
    await runSuite({ ...plan, contenders: [gone, other, contender("here")] }, settings(), heard);
    const absent = { type: "absent", contender: "gone", reason: "not installed: install it" };
    expect(heard.records).toContainEqual(absent);
    const unsupported = { type: "unsupported", contender: "other" };
    expect(heard.records).toContainEqual(expect.objectContaining(unsupported));
    expect(heard.order).toEqual(["here"]);
  });

  it("ends with its time: what is left then fails with that reason", async () => {
    const heard = listener();
    const cases = [1, 2].map((size) => ({ scenario, chosen: { ...chosen, size } }));
    const rule = { leastRounds: 500, mostRounds: 1_000, seconds: 20, narrow: 0 };
    const limited = { cases, contenders: [contender("a")], seconds: 1 };
    await runSuite(limited, settings({ rule }), heard);
    const stopped = heard.records.flatMap((record) => (record.type === "case" ? [record.stopped] : []));
    // On a busy machine the first case may take all of it.
    expect(stopped[0]).toBe("time");
    expect(["time", "failed"]).toContain(stopped[1]);
    const late = listener();
    await runSuite({ ...limited, seconds: 0 }, settings({ rule }), late);
    const reason = "not measured: the 0 s for all cases were over";
    expect(late.failures).toMatchObject([{ reason }, { reason }]);
  });

  it("goes through transports, parameters and sizes", () => {
    const parameters = { peers: { values: [1, 10], smoke: [1], help: "" } };
    const varied: Scenario = { ...scenario, parameters };
    const all = { ...selection, transports: ["tcp", "ipc"] as const };
    expect(casesOf(varied, all, false)).toHaveLength(8);
    expect(casesOf(varied, all, true)).toHaveLength(2);
    expect(casesOf(varied, { ...all, sizes: [1], parameters: { peers: [3] } }, false)).toEqual([
      { transport: "tcp", size: 1, parameters: { peers: 3 } },
      { transport: "ipc", size: 1, parameters: { peers: 3 } },
    ]);
    const own = casesOf({ ...varied, transports: ["tcp"] }, { ...all, transports: undefined }, false);
    expect(own).toHaveLength(4);
  });
});

it.each(
  SCENARIOS.map((each) => [each.name, each] as const),
)("a scenario's own values can all be measured: %s", (_, each) => {
  for (const smoke of [false, true])
    for (const one of casesOf(each, selection, smoke)) {
      const { count, warmup } = each.count(one, smoke);
      expect([count, warmup].every(Number.isInteger)).toBe(true);
      expect(each.roles(one, count, warmup).length).toBeGreaterThan(0);
    }
});

describe("a case", () => {
  it("runs its contenders in turn, and begins each round with another", async () => {
    const heard = listener();
    const rule = { leastRounds: 3, mostRounds: 3, seconds: 20, narrow: 0 };
    await runCase(scenario, chosen, [contender("a"), contender("b")], settings({ rule }), heard);
    expect(heard.order).toEqual(["a", "b", "b", "a", "a", "b"]);
    expect(heard.records.at(-1)).toMatchObject({ type: "case", stopped: "rounds" });
  });

  it("gives each contender as many messages as make a run of the wanted length, after a run that does not count", async () => {
    const heard = listener();
    const all = [
      contender("fast", "works", 0.01),
      contender("slow", "works", 0.2),
      contender("cold", "warms up", 0.01),
    ];
    await runCase(scenario, chosen, all, settings({ smoke: false, runSeconds: 0.1 }), heard);
    const counts = heard.records.flatMap((record) => (record.type === "run" ? [record.count] : []));
    expect(counts).toEqual([1_000, 50, 5_000]);
  });

  /** The scenario, and the messages of each of its runs. */
  function noting(): { noted: Scenario; runs: (readonly [count: number, warmup: number])[] } {
    const runs: (readonly [count: number, warmup: number])[] = [];
    const noted: Scenario = {
      ...scenario,
      roles: (one, count, warmup) => {
        runs.push([count, warmup]);
        return scenario.roles(one, count, warmup);
      },
    };
    return { noted, runs };
  }

  it("warms up twice as long as it counts, and has shorter runs in a short time", async () => {
    const heard = listener();
    const { noted, runs } = noting();
    const rule = { leastRounds: 5, mostRounds: 5, seconds: 1, narrow: 0 };
    const own = settings({ smoke: false, rule, runSeconds: 1 });
    await runCase(noted, chosen, [contender("a", "works", 0.01)], own, heard);
    // The first two do not count. The others take 0.2 s, the least.
    const short = [2_000, 4_000];
    expect(runs.slice(0, 3)).toEqual([[100, 10], short, short]);
  });

  it("doubles the warm-up of a contender that gets faster by it, and gives two builds the same", async () => {
    // So long that the start of a process on a busy machine takes none of it.
    const rule = { leastRounds: 1, mostRounds: 1, seconds: 600, narrow: 0 };
    const pair = [contender("a", "works", 0.01), contender("b", "compiles", 0.01)];
    const other = contender("c", "works", 0.01);
    const warmups = async (sameWork: readonly Contender[]) => {
      const { noted, runs } = noting();
      const own = settings({ smoke: false, rule, runSeconds: 1, sameWork });
      await runCase(noted, chosen, [...pair, other], own, listener());
      // Each has one run that counts, the last.
      return runs.slice(-3);
    };
    const usual = [5_000, 10_000];
    const doubled = [5_000, 20_000];
    expect(await warmups([])).toEqual([usual, doubled, usual]);
    expect(await warmups(pair)).toEqual([doubled, doubled, usual]);
  });

  it("that is interrupted keeps what it has, and leaves no process behind", async () => {
    const controller = new AbortController();
    const heard = listener();
    const record: typeof heard.record = (line) => {
      heard.record(line);
      if (line.type === "run") controller.abort(new Error("interrupted"));
    };
    const rule = { leastRounds: 9, mostRounds: 9, seconds: 20, narrow: 0 };
    const both = [contender("a"), contender("b", "hangs")];
    const own = settings({ rule, signal: controller.signal });
    const running = runCase(scenario, chosen, both, own, { ...heard, record });
    await expect(running).rejects.toThrow("interrupted");
    expect(heard.order).toEqual(["a"]);
    expect(heard.records.at(-1)).toMatchObject({ type: "case", stopped: "interrupted" });
    expect(scenarioText(heard.records, scenario)).toContain("Interrupted: these results are incomplete.");
  });

  it("tells sides that work until they are stopped when the warm-up is over", async () => {
    const heard = listener();
    const middle = { role: "middle", ends: false };
    const roles: Scenario["roles"] = (...given) => [...scenario.roles(...given), middle];
    await runCase({ ...scenario, roles }, chosen, [contender("a", "begins")], settings(), heard);
    expect(heard.failures).toEqual([]);
    expect(heard.order).toEqual(["a"]);
  });
});

it("pinning reads the kernel's list of cores, and splits it", () => {
  expect(parseCores("0-2,5\n")).toEqual([0, 1, 2, 5]);
  expect(parseCores("")).toEqual([]);
  expect(groupCores([0, 1, 2, 5], 2)).toEqual([
    [0, 1],
    [2, 5],
  ]);
  expect(groupCores([0, 1], 3)).toEqual([[0], [1]]);
});
