/** Ways of messages put together of what processes recorded, whatever they answered. */
import { describe, expect, it } from "vitest";
import { MAX_TRACES, readRecorded, readSteps, tracesOf } from "../../src/dashboard/traces.js";
import type { TraceStep } from "../../src/metrics/trace-recorder.js";

const TRACE = "0af7651916cd43dd8448eb211c80319c";

function step(
  span: number,
  parent: number | undefined,
  at: number,
  more: Partial<TraceStep> = {},
): TraceStep {
  return {
    trace: TRACE,
    span: span.toString(16).padStart(16, "0"),
    parent: parent?.toString(16).padStart(16, "0"),
    kind: "send",
    name: `step ${span}`,
    at,
    duration: 1,
    bytes: 0,
    error: undefined,
    ...more,
  };
}

function names(...processes: TraceStep[][]): string[] | undefined {
  const all = processes.map((steps, at) => ({
    process: `p${at}`,
    address: `tcp://h:${at}`,
    steps,
    missed: 0,
  }));
  return tracesOf(all).traces[0]?.steps.map(({ name }) => name);
}

describe("ways of messages", () => {
  it("have each step after the one that caused it, also where a clock is behind", () => {
    // The second machine's clock is 50 ms behind.
    const [first, second] = [
      [step(1, undefined, 1_000), step(4, 2, 1_003)],
      [step(2, 1, 951), step(3, 2, 952)],
    ];
    expect(names(first, second)).toEqual(["step 1", "step 2", "step 3", "step 4"]);
    const { traces } = tracesOf([
      { process: "p0", address: "a", steps: first, missed: 0 },
      { process: "p1", address: "b", steps: second, missed: 0 },
    ]);
    expect(traces).toMatchObject([
      { id: TRACE, name: "step 1", start: 951, duration: 53, processes: 2, failed: false, omitted: 0 },
    ]);
  });

  it("have what two addresses of one process answer once, and steps that cause each other", () => {
    const steps = [step(1, 2, 5), step(2, 1, 6), step(3, 3, 7)];
    expect(names(steps, steps)?.sort()).toEqual(["step 1", "step 2", "step 3"]);
  });

  it("are the newest, and so many", () => {
    const steps = Array.from({ length: 200 }, (_, at) =>
      step(1, undefined, at, { trace: at.toString(16).padStart(32, "0") }),
    );
    const { traces, omitted } = tracesOf([{ process: "p0", address: "a", steps, missed: 0 }]);
    expect([traces.length, omitted, traces[0]?.start]).toEqual([MAX_TRACES, 150, 199]);
    const long = tracesOf([
      {
        process: "p0",
        address: "a",
        steps: Array.from({ length: 2_000 }, (_, at) => step(at + 1, at, at)),
        missed: 0,
      },
    ]);
    expect([long.traces[0]?.steps.length, long.traces[0]?.omitted]).toEqual([64, 1_936]);
  });

  it("have as many steps as processes answer, and are put together soon", () => {
    // 140,000 steps of one way, all caused by one of them.
    const all = Array.from({ length: 70 }, (_, at) => ({
      process: `p${at}`,
      address: "a",
      steps: Array.from({ length: 2_000 }, (_, i) => step(at * 2_000 + i + 1, i === 0 ? undefined : 1, i)),
      missed: at,
    }));
    const { traces, missed } = tracesOf(all);
    const [way] = traces;
    expect([way?.processes, way?.duration, way?.steps.length]).toEqual([70, 2_000, 64]);
    // What the processes have not recorded, together.
    expect(missed).toBe((69 * 70) / 2);
  });

  it("are read of whatever a remote program answers", () => {
    const good = JSON.parse(JSON.stringify(step(1, undefined, 5))) as object;
    expect(readSteps([good])).toEqual([step(1, undefined, 5)]);
    for (const junk of [undefined, null, 5, {}, "x", [null, 5, [], {}]]) expect(readSteps(junk)).toEqual([]);
    for (const wrong of [
      { trace: "x" },
      { span: 5 },
      { kind: "toString" },
      { at: -1 },
      { at: "5" },
      { name: {} },
    ])
      expect(readSteps([{ ...good, ...wrong }])).toEqual([]);
    const [found] = readSteps([
      {
        ...good,
        parent: "<img>",
        duration: Number.NaN,
        bytes: "5",
        error: {},
        name: "n".repeat(1_000),
        __proto__: {},
      },
    ]);
    expect(found).toMatchObject({ parent: undefined, duration: undefined, bytes: 0, error: undefined });
    expect(found?.name.length).toBe(256);
    expect(readSteps(Array.from({ length: 5_000 }, () => good))).toHaveLength(2_000);
    expect(readRecorded({ next: 7, steps: [good], missed: 3 })).toMatchObject({ next: 7, missed: 3 });
    for (const junk of [undefined, null, { next: "7", missed: -1 }, { missed: Number.NaN }])
      expect(readRecorded(junk)).toEqual({ next: 0, steps: [], missed: 0 });
  });
});
