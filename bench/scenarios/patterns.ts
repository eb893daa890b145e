/** Scenarios of patterns. Implementations without a pattern use plain sockets in the same processes. */
import type { Case, Expectation, Parameters, RoleSpec, Scenario } from "../contract.js";
import * as kit from "./kit.js";
import { BACKLOG, MESSAGES, oneOf, PATTERN_REFERENCES, positive, sent, streamsOf } from "./kit.js";

const BOTH = ["tcp", "ipc"] as const;
const SIZES = [64] as const;

// --- Majordomo ---------------------------------------------------------------------------------------------------------

/**
 * Requests in flight from a pipelined client. A ROUTER drops above its mark, and libzmq's may count twice the requests
 * in flight, since it learns late which messages were read.
 */
const PIPELINED = 1_000;
const MARKS = { "high-water-mark": 4 * PIPELINED } as const;

/** Number of workers, concurrent requests of each, requests in flight; `prefetch` -1 is the worker's default. */
interface Load {
  readonly workers: number;
  readonly concurrency: number;
  readonly window: number;
  readonly prefetch: number;
}

const LOADS = {
  "concurrency-16": { workers: 2, concurrency: 16, window: PIPELINED, prefetch: -1 },
  "concurrency-256": { workers: 2, concurrency: 256, window: PIPELINED, prefetch: -1 },
  "prefetch-8": { workers: 1, concurrency: 1, window: PIPELINED, prefetch: 8 },
  "concurrency-1": { workers: 1, concurrency: 1, window: PIPELINED, prefetch: -1 },
  synchronous: { workers: 1, concurrency: 1, window: 1, prefetch: -1 },
} as const satisfies Readonly<Record<string, Load>>;
const LOAD_NAMES = Object.keys(LOADS) as (keyof typeof LOADS)[];

const loadOf = ({ parameters }: Case): Load => LOADS[oneOf(parameters, "load", LOAD_NAMES)];

/** Client, broker and workers, one process each. */
function majordomoRoles(
  { workers, concurrency, prefetch, window }: Load,
  expects: Expectation,
  more: Parameters = {},
): RoleSpec[] {
  const options = { ...MARKS, concurrency, prefetch, ...more };
  return [
    { role: "broker", binds: true, ends: false, options: { ...MARKS, ...BACKLOG } },
    { role: "worker", processes: workers, connects: ["broker/backend"], ends: false, options },
    { role: "client", connects: ["broker"], measured: true, options: { ...MARKS, window }, expects },
  ];
}

/** Maximum workers of one process: each is a connection with heartbeats. */
const WORKERS_OF_A_PROCESS = 2_500;

/** `half` is half of what an implementation carried in the third quarter of its warm-up. */
function scheduled(unit: string, smokeCount: number): Pick<Scenario, "parameters" | "count" | "scales"> {
  return {
    scales: false,
    parameters: {
      rate: { values: ["half", 10_000], smoke: ["half"], help: `${unit}, or half of the capacity` },
    },
    count({ parameters }, smoke) {
      if (parameters.rate !== "half") positive(parameters, "rate");
      return smoke ? { count: smokeCount, warmup: 2 * smokeCount } : { count: 20_000, warmup: 100_000 };
    },
  };
}

// --- Titanic, Clone, last value cache ----------------------------------------------------------------------------------

const UNTIL = ["acknowledged", "answered"] as const;
/** Requests waiting for their acknowledgement; a commit to disk acknowledges many. */
const STORED_WINDOW = 4_000;
/** Messages between two reports of a reader; nothing is dropped below the mark, which is more than two of them. */
const CACHE = { "high-water-mark": 20_000, window: 5_000 } as const;

export const PATTERNS: readonly Scenario[] = [
  {
    name: "majordomo",
    question: "How many requests a second go through a broker to its workers and back?",
    ...kit.REQUESTS,
    promoted: true,
    warms: true,
    transports: BOTH,
    sizes: SIZES,
    parameters: {
      load: {
        values: LOAD_NAMES,
        smoke: ["concurrency-16"],
        help: "two workers of concurrency 16, or 256; one that takes a request at a time, with 8 or none waiting there; that, and a client that waits for each reply",
      },
    },
    count(chosen, smoke) {
      const count = loadOf(chosen).window === 1 ? 3_000 : 20_000;
      return { count: smoke ? count / 10 : count, warmup: smoke ? count / 20 : count / 2 };
    },
    roles(chosen, count, warmup) {
      return majordomoRoles(loadOf(chosen), streamsOf(1, chosen.size, warmup, count));
    },
    references: PATTERN_REFERENCES,
  },
  {
    name: "majordomo-under-load",
    question:
      "How long does a request through a broker take at half of its capacity, and at 10,000 a second?",
    ...kit.ON_SCHEDULE,
    ...scheduled("requests a second", 1_000),
    transports: BOTH,
    sizes: SIZES,
    timeout: 120,
    roles({ size }, count, warmup) {
      return majordomoRoles(LOADS["concurrency-16"], streamsOf(1, size, warmup, count));
    },
    references: PATTERN_REFERENCES,
  },
  {
    // Requests go to some of the services in turn; the others only exist. If all were used, each connection would have
    // one message at a time, and the figure would be that of system calls. All workers have the default heartbeats.
    name: "majordomo-growth",
    question: "Does a request cost more when the broker has many services and idle workers?",
    metric: kit.REQUESTS.metric,
    warms: true,
    transports: BOTH,
    sizes: SIZES,
    parameters: {
      services: { values: [1, 10, 100, 1_000], smoke: [10], help: "services of the broker" },
      asked: { values: [10], smoke: [10], help: "services that get requests, in turn" },
      workers: { values: [1, 10], smoke: [2], help: "workers of each service" },
    },
    timeout: 120, // Thousands of connections are opened before the clock starts.
    count({ parameters }, smoke) {
      for (const name of ["services", "asked", "workers"]) positive(parameters, name);
      return smoke ? { count: 1_000, warmup: 500 } : { count: 20_000, warmup: 10_000 };
    },
    roles({ size, parameters }, count, warmup) {
      const all = Number(parameters.services) * Number(parameters.workers);
      const processes = Math.ceil(all / WORKERS_OF_A_PROCESS);
      const load = { ...LOADS["concurrency-16"], workers: processes };
      return majordomoRoles(load, streamsOf(1, size, warmup, count), { processes });
    },
    result(done, chosen) {
      const broker = kit.sumOf(kit.ofRole(done, "broker"), ({ cpuSeconds }) => cpuSeconds);
      const answered = kit.sumOf(kit.measuredOf(done), ({ messages }) => messages);
      return { ...kit.REQUESTS.result(done, chosen), brokerMicroseconds: (broker / answered) * 1e6 };
    },
    columns: [{ name: "brokerMicroseconds", title: "broker's CPU µs" }],
    growth: "services",
  },
  {
    // The service always has requests, and another worker that answers them.
    name: "majordomo-new-worker",
    question: "How long after its creation does a new worker of a busy broker have its first request?",
    ...kit.MILLISECONDS,
    transports: BOTH,
    sizes: SIZES,
    parameters: {},
    scales: false,
    count: (_chosen, smoke) => (smoke ? { count: 3, warmup: 1 } : { count: 100, warmup: 20 }),
    roles(_chosen, messages) {
      const [broker, worker, client] = majordomoRoles(LOADS["concurrency-16"], { messages });
      return [broker, worker, { ...client, role: "joiner" }] as RoleSpec[];
    },
  },
  {
    // Durable requests: acknowledged when they are on disk; or also answered, fetched and closed.
    name: "titanic",
    question: "How many requests a second does Titanic store on disk?",
    metric: kit.REQUESTS.metric,
    transports: BOTH,
    sizes: SIZES,
    parameters: {
      until: {
        values: UNTIL,
        smoke: UNTIL,
        help: "when a request counts: on disk; or answered by a worker, fetched and closed",
      },
    },
    scales: false, // The question is about a full store.
    timeout: 120,
    count({ parameters }, smoke) {
      const until = oneOf(parameters, "until", UNTIL);
      if (smoke) return { count: 1_000, warmup: 200 };
      return until === "answered" ? { count: 10_000, warmup: 5_000 } : { count: 40_000, warmup: 20_000 };
    },
    roles({ size, parameters }, count, warmup) {
      const connects = ["broker"];
      const isAnswered = parameters.until === "answered";
      const expects = isAnswered
        ? streamsOf(1, size, warmup, count)
        : { ...sent(size, count), ordered: true };
      const window = isAnswered ? PIPELINED : STORED_WINDOW;
      // Titanic kept exactly the requests that were acknowledged to the client.
      const kept = { expects: { messages: warmup + count }, folder: true };
      return [
        { role: "broker", binds: true, ends: false },
        ...(isAnswered ? [{ role: "worker", connects, ends: false }] : []),
        { role: "titanic", connects, ends: false, ...kept },
        { role: "client", connects, measured: true, options: { window }, expects },
      ];
    },
    result: (done, chosen) => ({
      ...kit.REQUESTS.result(done, chosen),
      perCommit: kit.extraOf(done, "titanic", "perCommit"),
      // Less than 1: the store is slower when it is fuller.
      held: kit.extraOf(done, "client", "held"),
    }),
    columns: [
      { name: "perCommit", title: "requests per commit" },
      { name: "held", title: "last fifth's rate to the first's" },
    ],
  },
  {
    // A server sets keys as fast as its slowest client reads, at most two windows ahead, and every client keeps the map.
    // At the end each client must hold the last value of every key, without a gap before.
    name: "clone",
    question: "How many ordered updates a second reach the maps of N clients?",
    metric: { name: "updatesPerSecond", unit: "upd/s", better: "higher" },
    transports: BOTH,
    sizes: SIZES,
    parameters: {
      peers: { values: [1, 100], smoke: [1, 4], help: "clients; their updates are counted together" },
      keys: { values: [1_000], smoke: [100], help: "keys that are updated in turn" },
    },
    timeout: 120,
    count({ size, parameters }, smoke) {
      positive(parameters, "keys");
      const deliveries = smoke ? 10_000 : Math.min(300_000, 2 ** 29 / size);
      const count = Math.max(200, Math.round(deliveries / positive(parameters, "peers")));
      return { count, warmup: smoke ? Math.ceil(count / 10) : count };
    },
    roles({ size, parameters }, count, warmup) {
      const peers = Number(parameters.peers);
      const processes = kit.processesFor(peers);
      const sockets = peers / processes;
      const held = Math.min(Number(parameters.keys), warmup + count);
      // The checksum is that of the final maps.
      const { checksum = "" } = streamsOf(sockets, size, warmup + count - held, held);
      const expects = { ...sent(size, sockets * count), checksum, ordered: true };
      const connects = ["server", "server/backend"];
      const options = { ...BACKLOG, processes };
      return [
        { role: "server", binds: true, options, expects: sent(size, count) },
        { role: "client", processes, connects, measured: true, options: { sockets }, expects },
      ];
    },
    result(done) {
      const seconds = Math.max(...kit.measuredOf(done).map((report) => report.seconds));
      const updates = kit.extraOf(done, "client", "updates");
      const peers = kit.extraOf(done, "client", "sockets");
      return { updatesPerSecond: updates / seconds, publishedPerSecond: updates / seconds / peers };
    },
    columns: [{ name: "publishedPerSecond", title: "published a second" }],
    growth: "peers",
    references: PATTERN_REFERENCES,
  },
  {
    // From the due time of a `set` until its client's map has the value.
    name: "clone-set",
    question:
      "How long does a set take until its client sees it, at half of the server's capacity, and at 10,000 a second?",
    ...kit.ON_SCHEDULE,
    ...scheduled("sets a second", 500),
    promoted: true,
    transports: BOTH,
    sizes: SIZES,
    timeout: 120,
    roles(chosen, count, warmup) {
      const options = { window: PIPELINED, ...MARKS };
      return kit.asked(chosen, count, warmup, { server: options, client: options });
    },
    references: PATTERN_REFERENCES,
  },
  {
    // A publisher, the cache, and a subscriber, one process each. The references only forward messages.
    name: "last-value-cache",
    question: "How many messages a second pass through a last value cache?",
    ...MESSAGES,
    transports: BOTH,
    sizes: SIZES,
    parameters: {
      topics: { values: [1_000], smoke: [100], help: "topics used in turn; at most 100000" },
    },
    count(chosen, smoke) {
      positive(chosen.parameters, "topics");
      return kit.upTo(200_000, 2 ** 29)(chosen, smoke);
    },
    roles({ size }, count, warmup) {
      const options = CACHE;
      const feed = { binds: true, connects: ["forwarder"], expects: sent(size, count) };
      const expects = streamsOf(1, size, warmup, count);
      return [
        { role: "forwarder", binds: true, ends: false, options },
        { role: "feed", ...feed, options },
        { role: "reader", connects: ["forwarder/backend", "feed"], measured: true, options, expects },
      ];
    },
    growth: "topics",
    references: PATTERN_REFERENCES,
  },
];
