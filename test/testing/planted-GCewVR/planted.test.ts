import { it } from "vitest";
      import { runSchedules } from "../../support/schedules.js";
      it("a 'planted' fault", () => {
        runSchedules(({ random, note }) => { if (random.next() > 0.9) throw new Error("planted"); }, { count: 100 });
      });