/** One node among ten thousand members, which are played. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { Crowd } from "./simulation/crowd.js";

const COUNT = 10_000;

describe("a node among ten thousand", () => {
  it("sends at most 2 kB a second while nothing happens, and keeps at most 2 KiB a member", () => {
    setFlagsFromString("--expose_gc");
    const collect = runInNewContext("gc") as () => void;
    const crowd = new Crowd(COUNT);
    collect();
    const before = process.memoryUsage().heapUsed;
    crowd.join();
    expect(crowd.rules.size).toBe(COUNT + 1);
    crowd.run(180_000);
    crowd.bytes = 0;
    crowd.run(60_000);
    expect(crowd.rules.size).toBe(COUNT + 1);
    expect(crowd.bytes / 60).toBeGreaterThan(200);
    expect(crowd.bytes / 60).toBeLessThanOrEqual(2_000);
    collect();
    expect((process.memoryUsage().heapUsed - before) / COUNT).toBeLessThanOrEqual(2_048);
  });
});
