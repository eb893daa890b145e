import type { Scenario } from "../contract.js";
import { answersOf, onSchedule } from "./kit.js";

/** Updates that a client has under way while it looks for what the server carries. */
const WINDOW = 1_000;

/** From when a `set` is due to when its client's own map has it. */
export const cloneSet: Scenario = {
  name: "clone-set",
  question:
    "How long does a set take until its client sees it, at half of the load that the server can carry, and at 10,000 a second?",
  ...onSchedule("set/s", { count: 300, warmup: 1_000 }),
  roles({ size }, count, warmup) {
    const options = { window: WINDOW, "high-water-mark": 4 * WINDOW };
    return [
      { role: "server", binds: true, ends: false, options },
      { role: "client", measured: true, options, expects: answersOf(size, warmup, count) },
    ];
  },
};
