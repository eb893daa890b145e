import type { Scenario } from "../contract.js";
import { answersOf } from "./expectations.js";
import { loadOf, majordomoRoles } from "./majordomo-roles.js";
import { onSchedule } from "./on-schedule.js";

/** Client, broker and workers of concurrency 16, a process each. */
export const majordomoUnderLoad: Scenario = {
  name: "majordomo-under-load",
  question: "How long does a request through a broker take at half of the load that it can carry?",
  ...onSchedule("req/s", { count: 1_000, warmup: 2_000 }),
  roles({ size }, count, warmup) {
    return majordomoRoles(loadOf({ load: "concurrency-16" }), answersOf(size, warmup, count));
  },
};
