import type { RoleSpec, Scenario } from "../contract.js";
import { answersOf, oneOf } from "./kit.js";

const UNTIL = ["acknowledged", "answered"] as const;

/** Requests waiting for their acknowledgement; a commit to disk acknowledges many. */
const WINDOW = 4_000;

/** A broker, Titanic with its store in a folder of the run, and a client, one process each. */
function titanicRoles(warmup: number, count: number, client: Partial<RoleSpec>): RoleSpec[] {
  return [
    { role: "broker", binds: true, ends: false },
    // It kept exactly the requests that were acknowledged to the client.
    {
      role: "titanic",
      connects: ["broker"],
      ends: false,
      folder: true,
      expects: { messages: warmup + count },
    },
    { role: "client", connects: ["broker"], measured: true, ...client },
  ];
}

/** Durable requests: acknowledged when they are on disk; or also answered, fetched and closed. */
export const titanic: Scenario = {
  name: "titanic",
  question: "How many requests a second does Titanic store on disk?",
  metric: { name: "requestsPerSecond", unit: "req/s", better: "higher" },
  transports: ["tcp", "ipc"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {
    until: {
      values: UNTIL,
      smoke: UNTIL,
      help: "when a request counts: on disk; or answered by a worker, fetched and closed",
    },
  },
  count({ parameters }, smoke) {
    const until = oneOf(parameters, "until", UNTIL);
    if (smoke) return { count: 1_000, warmup: 200 };
    return until === "answered" ? { count: 10_000, warmup: 5_000 } : { count: 40_000, warmup: 20_000 };
  },
  scales: false, // The question is about a full store.
  timeout: 120,
  roles({ size, parameters }, count, warmup) {
    if (parameters.until !== "answered") {
      const expects = { messages: count, bytes: count * size, ordered: true };
      return titanicRoles(warmup, count, { options: { window: WINDOW }, expects });
    }
    const [broker, keeper, client] = titanicRoles(warmup, count, {
      options: { window: 1_000 },
      expects: answersOf(size, warmup, count),
    }) as [RoleSpec, RoleSpec, RoleSpec];
    return [broker, { role: "worker", connects: ["broker"], ends: false }, keeper, client];
  },
  result(done) {
    const [client] = done;
    const { messages = 0, seconds = Number.NaN } = client ?? {};
    const keeper = done.find(({ role }) => role === "titanic");
    return {
      requestsPerSecond: messages / seconds,
      perCommit: keeper?.extra?.perCommit ?? Number.NaN,
      // Less than 1: the store is slower when it is fuller.
      held: client?.extra?.held ?? Number.NaN,
    };
  },
  columns: [
    { name: "perCommit", title: "per commit", unit: "req" },
    { name: "held", title: "last fifth's rate to the first's", unit: "×" },
  ],
};
