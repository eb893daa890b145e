import type { Scenario } from "../contract.js";
import { answersOf, onSchedule } from "./kit.js";

/** Updates in flight from a client while it determines the server's capacity. */
const WINDOW = 1_000;

/** Measures from the due time of a `set` until its client's map has the value. */
export const cloneSet: Scenario = {
  name: "clone-set",
  question:
    "How long does a set take until its client sees it, at half of the server's capacity, and at 10,000 a second?",
  ...onSchedule("set/s", { count: 300, warmup: 1_000 }),
  roles({ size }, count, warmup) {
    const options = { window: WINDOW, "high-water-mark": 4 * WINDOW };
    return [
      { role: "server", binds: true, ends: false, options },
      { role: "client", measured: true, options, expects: answersOf(size, warmup, count) },
    ];
  },
};
