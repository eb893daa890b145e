import { describe, expect, it } from "vitest";
import { next, type ProxyCall, type ProxyState } from "../../src/proxy/states.js";
import { thrown } from "../contract/support/wait.js";
import fc from "../support/properties.js";

const calls: readonly ProxyCall[] = [
  "start",
  "started",
  "change",
  "pause",
  "resume",
  "drain",
  "drained",
  "stop",
  "stopped",
];

describe("a proxy's states", () => {
  it("refuse what does not fit, with the state and what would", () => {
    expect(thrown(() => next("idle", "pause"))).toMatchObject({
      code: "EFSM",
      message: "A proxy that is idle cannot pause; it has to be running or paused",
    });
  });

  it("let it be stopped at any time, start once, and pass messages only between the two", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...calls), { maxLength: 40 }), (schedule) => {
        let state: ProxyState = "idle";
        let starts = 0;
        let stopped = false;
        for (const call of schedule) {
          let after: ProxyState;
          try {
            after = next(state, call);
          } catch (error) {
            expect(call).not.toBe("stop");
            expect(error).toMatchObject({ code: "EFSM" });
            continue;
          }
          if (call === "start") starts += 1;
          if (call === "stop") stopped = true;
          state = after;
          if (["running", "paused", "draining"].includes(state))
            expect([starts, stopped]).toEqual([1, false]);
          if (stopped) expect(["stopping", "stopped"]).toContain(state);
        }
        expect(starts).toBeLessThanOrEqual(1);
      }),
    );
  });
});
