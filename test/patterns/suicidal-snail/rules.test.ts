/** How late is late: baselines, drift, patience and queues, by a clock held in the hand. */
import { describe, expect, it } from "vitest";
import { type LatenessLimits, LatenessRules } from "../../../src/patterns/suicidal-snail/lateness-rules.js";
import type { Simulation } from "../../../src/testing/simulation.js";
import { runSchedules, SCHEDULES_TIMEOUT } from "../../support/schedules.js";

const LIMITS: LatenessLimits = { maxLateness: 1_000, maxQueue: 0, patience: 0, maxSources: 10 };

function create(limits: Partial<LatenessLimits> = {}) {
  const rules = new LatenessRules({ ...LIMITS, ...limits });
  /** A message that took `delay` ms, by a clock that is `skew` ms ahead. */
  const arrive = (now: number, delay: number, skew = 0, source = "s"): number => {
    const stamp = { source, time: now - delay + skew };
    rules.arrived(stamp, now);
    return rules.latenessOf(stamp, now);
  };
  return { rules, arrive };
}

describe("lateness", () => {
  it("is kept for each source apart", () => {
    const { arrive } = create();
    arrive(0, 10, 0, "a");
    arrive(0, 10, 86_400_000, "b");
    expect(arrive(10, 15, 86_400_000, "b")).toBeCloseTo(5, 0);
    expect(arrive(10, 15, 0, "a")).toBeCloseTo(5, 0);
  });

  it("does not come from a clock that is a little slow, and is not forgotten while it lasts", () => {
    const { arrive } = create();
    let worst = 0;
    // A day at 100 millionths apart: the clocks are 8.6 s apart in the end.
    for (let now = 0; now < 86_400_000; now += 60_000)
      worst = Math.max(worst, arrive(now, 10 + now * 0.0001));
    expect(worst).toBeLessThan(1);
    const late = create();
    late.arrive(0, 10);
    for (let now = 1_000; now < 600_000; now += 1_000) expect(late.arrive(now, 2_010)).toBeGreaterThan(1_800);
  });

  it("of a clock that was set forward is none; set back, it looks like lateness", () => {
    const { arrive } = create();
    arrive(0, 10);
    expect(arrive(100, 10, 5_000)).toBe(0);
    expect(arrive(200, 10, 0)).toBeCloseTo(5_000, 0);
  });

  it("forgets the source heard of the longest ago past its bound", () => {
    const { arrive, rules } = create({ maxSources: 2 });
    for (const source of ["a", "b", "a", "c"]) arrive(0, 10, 0, source);
    expect(rules.forgotten).toBe(1);
    expect(arrive(1, 510, 0, "a")).toBeCloseTo(500, 0);
    expect(arrive(1, 510, 0, "b")).toBe(0);
  });
});

describe("the verdict", () => {
  it("is late at once without patience, and after it with", () => {
    const { rules } = create();
    expect([rules.assess(1_000, 0, 0), rules.assess(1_001, 0, 1)]).toEqual(["on-time", "late"]);
    const patient = create({ patience: 100 }).rules;
    expect(patient.assess(2_000, 0, 0)).toBe("suspect");
    expect(patient.assess(2_000, 0, 99)).toBe("suspect");
    expect(patient.assess(2_000, 0, 100)).toBe("late");
    expect(patient.assess(0, 0, 101)).toBe("on-time");
    expect(patient.assess(2_000, 0, 102)).toBe("suspect");
  });

  it("counts what waits, where that has a bound", () => {
    const { rules } = create({ maxQueue: 10 });
    expect([rules.assess(0, 10, 0), rules.assess(0, 11, 0)]).toEqual(["on-time", "late"]);
    expect(create().rules.assess(0, 1_000_000, 0)).toBe("on-time");
  });
});

/**
 * A queue with a reader that is fast, then slow, then fast again, whose publisher's clock is off and drifts.
 * It must never be called late while it keeps up, and must be called late soon after it truly is.
 */
function story(simulation: Simulation): void {
  const { random } = simulation;
  const rules = new LatenessRules({ ...LIMITS, maxLateness: 300 });
  const skew = random.integer(-1e9, 1e9);
  const drift = (random.next() - 0.5) * 0.0002;
  const jitter = random.pick([1, 20, 100]);
  const queue: { stamp: { source: string; time: number }; born: number }[] = [];
  let arrival = 0;
  for (let time = 0; time < 20_000; time += random.integer(5, 40)) {
    arrival = Math.max(arrival, time + 1 + random.next() * jitter);
    const born = time;
    simulation.at(arrival, () => {
      const stamp = { source: "s", time: born + skew + born * drift };
      rules.arrived(stamp, simulation.now);
      queue.push({ stamp, born });
    });
  }
  const slowFrom = random.integer(2_000, 8_000);
  const slowTo = slowFrom + random.integer(0, 6_000);
  const read = (): void => {
    const message = queue.shift();
    if (message !== undefined) {
      const { now } = simulation;
      const lateness = rules.latenessOf(message.stamp, now);
      const verdict = rules.assess(lateness, queue.length, now);
      const age = now - message.born;
      simulation.note(() => `age ${age.toFixed(0)}, lateness ${lateness.toFixed(0)}, ${verdict}`);
      if (age < 290) expect(verdict, "it keeps up").toBe("on-time");
      // Its fastest message took up to the jitter; drift takes 0.3 ms a second at most.
      if (age > 300 + jitter + 10) expect(verdict, "it is late").toBe("late");
    }
    const slow = simulation.now > slowFrom && simulation.now < slowTo;
    simulation.after(slow ? random.integer(50, 200) : 2, read);
  };
  read();
  simulation.run(25_000);
}

it(
  "a reader is late when it is slow, and never by its clocks",
  () => {
    runSchedules(story, { count: 40 });
  },
  SCHEDULES_TIMEOUT,
);
