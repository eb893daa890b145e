import type { RoleSpec, Scenario } from "../contract.js";
import { answersOf, oneOf, positive } from "./kit.js";

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

const METRIC = { name: "requestsPerSecond", unit: "req/s", better: "higher" } as const;
const COLUMNS = [{ name: "perCommit", title: "per commit", unit: "req" }] as const;

/** Durable requests: acknowledged when they are on disk; or also answered, fetched and closed. */
export const titanic: Scenario = {
  name: "titanic",
  question: "How many requests a second does Titanic store on disk?",
  metric: METRIC,
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
    return { requestsPerSecond: messages / seconds, perCommit: keeper?.extra?.perCommit ?? Number.NaN };
  },
  columns: COLUMNS,
};

/** The first and the last fifth of a long run side by side show whether a store slows down as it fills. */
export const titanicSustained: Scenario = {
  name: "titanic-sustained",
  question: "Does Titanic keep its rate as its store fills?",
  metric: METRIC,
  transports: ["tcp", "ipc"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {
    stored: {
      values: [40_000, 120_000, 400_000],
      smoke: [2_000],
      help: "requests in the store at the end; 1000000 with --runs 1 takes a minute or two",
    },
  },
  count({ parameters }) {
    const count = Math.ceil(positive(parameters, "stored"));
    return { count, warmup: Math.min(5_000, Math.ceil(count / 2)) };
  },
  scales: false,
  timeout: 600,
  roles({ size }, count, warmup) {
    const expects = { messages: count, bytes: count * size, ordered: true };
    return titanicRoles(warmup, count, { options: { window: WINDOW }, expects });
  },
  result(done) {
    const [client] = done;
    const { messages = 0, seconds = Number.NaN } = client ?? {};
    const { firstFifth = Number.NaN, lastFifth = Number.NaN } = client?.extra ?? {};
    const keeper = done.find(({ role }) => role === "titanic");
    return {
      requestsPerSecond: messages / seconds,
      firstFifth,
      lastFifth,
      held: lastFifth / firstFifth,
      perCommit: keeper?.extra?.perCommit ?? Number.NaN,
    };
  },
  columns: [
    { name: "firstFifth", title: "first fifth", unit: "req/s" },
    { name: "lastFifth", title: "last fifth", unit: "req/s" },
    { name: "held", title: "rate held", unit: "×" },
    ...COLUMNS,
  ],
  growth: "stored",
};
