import { describe, expect, it } from "vitest";
import type { CompareSettings } from "../../bench/compare.js";
import { compareRecords, comparisonCode, comparisonText, recordsOfBuild } from "../../bench/compare.js";
import type { BenchRecord, RunRecord } from "../../bench/report/records.js";

/** Runs of one contender, a figure each. */
function runs(
  values: readonly number[],
  { contender = "a", scenario = "throughput", figure = "messagesPerSecond" } = {},
): RunRecord[] {
  return values.map((value, round) => ({
    type: "run",
    scenario,
    transport: "tcp",
    size: 64,
    parameters: {},
    contender,
    round,
    count: 1,
    at: "2026-01-01T00:00:00.000Z",
    figures: { [figure]: value },
    sides: [
      { role: "a", index: 0, messages: 1, seconds: 1, cpuSeconds: 1 / value, peakRss: 1, gcSeconds: null },
    ],
  }));
}

const steady = [100, 101, 99, 100, 102];
const verdicts = (
  before: readonly BenchRecord[],
  after: readonly BenchRecord[],
  settings: CompareSettings = { threshold: 0.05 },
) => compareRecords(before, after, settings).map(({ verdict }) => verdict);

describe("compare", () => {
  it("calls worse what is beyond the threshold, and better the same the other way", () => {
    const slower = steady.map((value) => value * 0.8);
    expect(verdicts(runs(steady), runs(slower))).toEqual(["worse"]);
    expect(verdicts(runs(slower), runs(steady))).toEqual(["better"]);
    expect(verdicts(runs(steady), runs(steady))).toEqual(["same"]);
  });

  it("turns round what is better when it is lower", () => {
    const latency = { scenario: "latency", figure: "median" };
    const slower = steady.map((value) => value * 1.3);
    expect(verdicts(runs(steady, latency), runs(slower, latency))).toEqual(["worse"]);
    expect(verdicts(runs(slower, latency), runs(steady, latency))).toEqual(["better"]);
  });

  it("does not call a small change worse, nor a large one of few scattered runs", () => {
    expect(verdicts(runs(steady), runs(steady.map((value) => value * 0.97)))).toEqual(["same"]);
    expect(verdicts(runs([100, 60, 140]), runs([50, 110, 90]))).toEqual(["same"]);
    const small = runs(steady.map((value) => value * 0.97));
    expect(verdicts(runs(steady), small, { threshold: 0.01 })).toEqual(["worse"]);
  });

  it("says so when there are too few runs, and when something fails now or was not measured", () => {
    expect(verdicts(runs([100, 100]), runs([10, 10]))).toEqual(["few"]);
    const [key] = runs([1]);
    const { scenario = "", size = 0, parameters = {} } = key ?? {};
    const where = { scenario, transport: "tcp", size, parameters, contender: "a" } as const;
    const failed: BenchRecord = { type: "failed", ...where, reason: "crashed", output: [] };
    const before = [...runs(steady), ...runs(steady, { contender: "b" })];
    const rows = compareRecords(before, [failed], { threshold: 0.05 });
    expect(rows.map(({ contender, verdict }) => `${contender} ${verdict}`)).toEqual(["a fails", "b gone"]);
    expect(comparisonText(rows, 0.05)).toMatch(/FAILS now[\s\S]*1 of 2 worse by more than 5 %/);
  });

  it("of one run is inconclusive, and exits with 2; with 1 if something is worse, with 0 if nothing is", () => {
    const rows = compareRecords(runs([100]), runs([10]), { threshold: 0.05 });
    expect(comparisonText(rows, 0.05)).toContain("1 of 1 inconclusive: needs 3 runs per side.");
    expect(comparisonText(rows, 0.05)).toContain("10 k → 100 k");
    expect(comparisonCode(rows)).toBe(2);
    const codeOf = (after: readonly number[]) =>
      comparisonCode(compareRecords(runs(steady), runs(after), { threshold: 0.05 }));
    expect([codeOf(steady), codeOf(steady.map((value) => value / 2))]).toEqual([0, 1]);
  });

  it("of two builds pairs their rounds, in which the machine was equally fast", () => {
    const load = [2, 3, 2.5, 4, 2];
    const of = (factor: number) => load.map((slow) => (factor * 100) / slow);
    const records = [...runs(of(1), { contender: "before" }), ...runs(of(0.9), { contender: "after" })];
    const [before, after] = ["before", "after"].map((name) => recordsOfBuild(records, name));
    const settings = { threshold: 0.05, paired: true };
    expect(verdicts(before ?? [], after ?? [], settings)).toEqual(["worse"]);
    expect(verdicts(before ?? [], after ?? [])).toEqual(["same"]);
  });

  it("has nothing to say about files with no case in common", () => {
    expect(compareRecords(runs(steady), runs(steady, { contender: "b" }), { threshold: 0.05 })).toEqual([]);
  });

  it("relative to a contender does not see that the machine was slower", () => {
    const base = { contender: "zeromq" };
    const before = [...runs(steady), ...runs(steady, base)];
    const load = [2, 3, 2.5, 4, 2];
    const slow = (factor: number) => steady.map((value, i) => (factor * value) / (load[i] as number));
    const after = [...runs(slow(1)), ...runs(slow(1), base)];
    expect(verdicts(before, after)).toEqual(["worse", "worse"]);
    expect(verdicts(before, after, { threshold: 0.05, relativeTo: "zeromq" })).toEqual(["same"]);
    const worse = [...runs(slow(0.5)), ...runs(slow(1), base)];
    expect(verdicts(before, worse, { threshold: 0.05, relativeTo: "zeromq" })).toEqual(["worse"]);
  });
});
