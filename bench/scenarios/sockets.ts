/** Scenarios of sockets and proxies. */
import { makeCertificate } from "../certificate.js";
import type { Case, Scenario } from "../contract.js";
import * as kit from "./kit.js";
import { BACKLOG, MESSAGES, oneOf, oneWay, processesFor, sent, streamsOf, upTo } from "./kit.js";

const BOTH = ["tcp", "ipc"] as const;
const CLIENTS = ["consumer", "producer"] as const;
const SECURITY = ["null", "curve"] as const;
/** Socket types and numbers on both sides of the proxy, by kind. */
const KINDS = ["streamer", "forwarder", "forwarder-100", "queue", "round-trip"] as const;
/** Requests in flight from a client of the queue. A ROUTER drops above its mark; the other types wait. */
const WINDOW = 1_000;
const MARKS = { "high-water-mark": 4 * WINDOW } as const;

const kindOf = ({ parameters }: Case) => oneOf(parameters, "kind", KINDS);
const peersOf = ({ parameters }: Case): number => kit.positive(parameters, "peers");

export const SOCKETS: readonly Scenario[] = [
  {
    name: "throughput",
    question: "How many messages a second go one way?",
    ...MESSAGES,
    transports: ["tcp", "ipc", "inproc"],
    sizes: [1, 16, 64, 1_024, 16_384, 65_536, 1_048_576],
    parameters: {},
    count: upTo(200_000, 2 ** 30),
    roles: oneWay,
    growth: "size",
  },
  {
    name: "latency",
    question: "How long does a round trip take, one message in flight at a time?",
    ...kit.ROUND_TRIP,
    transports: ["tcp", "ipc", "inproc"],
    sizes: [1, 64, 1_024, 65_536, 1_048_576],
    parameters: {},
    count: upTo(5_000, 2 ** 27, 500),
    roles(chosen, count, warmup) {
      const pattern = { pattern: "req-rep" };
      return kit.asked(chosen, count, warmup, { server: pattern, client: pattern });
    },
    growth: "size",
  },
  {
    name: "latency-under-load",
    question:
      "How long does a request take when requests are sent on schedule, even while earlier ones wait?",
    ...kit.ON_SCHEDULE,
    transports: BOTH,
    sizes: [64],
    parameters: {
      rate: { values: [1_000, 5_000, 10_000], smoke: [2_000], help: "requests a second" },
    },
    count({ parameters }, smoke) {
      const rate = kit.positive(parameters, "rate");
      const seconds = smoke ? { counted: 0.3, before: 0.3 } : { counted: 1, before: 3 };
      return { count: Math.round(rate * seconds.counted), warmup: Math.round(rate * seconds.before) };
    },
    scales: false,
    roles: kit.asked,
    growth: "rate",
  },
  {
    // Full queues make the publisher wait (XPUB_NODROP), since a run with drops is invalid.
    name: "fan-out",
    question: "How many messages a second reach N subscribers of one publisher?",
    ...MESSAGES,
    transports: BOTH,
    sizes: [64],
    parameters: { peers: { values: [1, 10, 100, 1_000], smoke: [1, 10], help: "subscribers" } },
    count(chosen, smoke) {
      const deliveries = smoke ? 10_000 : Math.min(300_000, 2 ** 29 / chosen.size);
      const count = Math.max(20, Math.round(deliveries / peersOf(chosen)));
      return { count, warmup: Math.ceil(count / 5) };
    },
    roles(chosen, count, warmup) {
      const processes = processesFor(peersOf(chosen));
      const sockets = peersOf(chosen) / processes;
      const expects = streamsOf(sockets, chosen.size, warmup, count);
      return [
        { role: "publisher", binds: true, options: BACKLOG, expects: sent(chosen.size, count) },
        { role: "subscriber", processes, measured: true, options: { sockets }, expects },
      ];
    },
    growth: "peers",
  },
  {
    // Message k comes from producer k mod N, so the consumer can check the order of each.
    name: "fan-in",
    question: "How many messages a second does one consumer take from N producers?",
    ...MESSAGES,
    transports: BOTH,
    sizes: [64],
    parameters: { peers: { values: [1, 10, 100, 1_000], smoke: [10], help: "producers" } },
    count(chosen, smoke) {
      const peers = peersOf(chosen);
      const { count } = upTo(200_000, 2 ** 29)(chosen, smoke);
      // Every producer connects in the warm-up.
      return { count: Math.max(10 * peers, count), warmup: Math.max(5 * peers, Math.ceil(count / 5)) };
    },
    roles(chosen, count, warmup) {
      const peers = peersOf(chosen);
      const processes = processesFor(peers);
      const [consumer] = oneWay(chosen, count, warmup, { consumer: { peers, ...BACKLOG } });
      return [consumer, { role: "producer", processes, options: { peers, sockets: peers / processes } }];
    },
    growth: "peers",
  },
  {
    name: "pipeline",
    question: "How many messages a second go from a ventilator through N workers to a sink?",
    ...MESSAGES,
    transports: BOTH,
    sizes: [64],
    parameters: { workers: { values: [1, 2, 4], smoke: [2], help: "worker processes" } },
    count: upTo(100_000, 2 ** 28),
    roles({ size, parameters }, count, warmup) {
      const processes = kit.positive(parameters, "workers");
      return [
        { role: "ventilator", binds: true, expects: sent(size, count) },
        // `ordered` means each exactly once here.
        { role: "sink", binds: true, measured: true, expects: streamsOf(1, size, warmup, count) },
        { role: "worker", processes, connects: ["ventilator", "sink"], ends: false },
      ];
    },
    growth: "workers",
  },
  {
    // Senders, a proxy and receivers, one process each (two for 100 subscribers). The queue's workers return messages.
    name: "proxy",
    question: "How many messages a second pass through a proxy?",
    ...MESSAGES,
    transports: BOTH,
    sizes: [64, 1_024, 65_536],
    parameters: {
      kind: {
        values: KINDS,
        smoke: ["streamer", "forwarder", "queue"],
        help: "PULL to PUSH; XSUB to XPUB with 1 or 100 subscribers; ROUTER to DEALER and back, with 1,000 requests in flight or one",
      },
    },
    count(chosen, smoke) {
      const kind = kindOf(chosen);
      const most = kind === "round-trip" ? 3_000 : kind === "forwarder-100" ? 2_000 : 100_000;
      return upTo(most, 2 ** 29 / (kind === "forwarder-100" ? 100 : 1), most / 20)(chosen, smoke);
    },
    roles(chosen, count, warmup) {
      const kind = kindOf(chosen);
      const { size } = chosen;
      const isQueue = kind === "queue" || kind === "round-trip";
      const peers = kind === "forwarder-100" ? 100 : 1;
      const processes = processesFor(peers);
      const sockets = peers / processes;
      const options = { ...(isQueue ? MARKS : {}), ...BACKLOG };
      const measured = { measured: true, expects: streamsOf(sockets, size, warmup, count) };
      const proxy = { role: "proxy", binds: true, ends: false, options };
      const connects = ["proxy"];
      const behind = { connects: ["proxy/backend"] };
      if (kind === "streamer")
        return [
          proxy,
          { role: "consumer", ...behind, ...measured },
          { role: "producer", connects, expects: sent(size, count) },
        ];
      if (!isQueue)
        return [
          proxy,
          { role: "publisher", connects, options: { peers }, expects: sent(size, count) },
          { role: "subscriber", processes, ...behind, ...measured, options: { sockets } },
        ];
      const window = kind === "queue" ? WINDOW : 1;
      return [
        proxy,
        { role: "worker", ...behind, ends: false, options: MARKS },
        { role: "client", connects, ...measured, options: { ...MARKS, window } },
      ];
    },
  },
  {
    // One request in flight for each client. Count and warm-up are those of one client.
    name: "request-reply",
    question: "How many requests a second does one server answer for N clients?",
    ...kit.REQUESTS,
    promoted: true,
    transports: BOTH,
    sizes: [64],
    parameters: {
      pattern: {
        values: ["dealer-router", "req-rep"],
        smoke: ["dealer-router", "req-rep"],
        help: "socket types of clients and server",
      },
      peers: { values: [1, 10, 100], smoke: [10], help: "clients" },
    },
    count(chosen, smoke) {
      const count = Math.max(20, Math.round((smoke ? 2_000 : 30_000) / peersOf(chosen)));
      return { count, warmup: Math.ceil(count / 5) };
    },
    roles(chosen, count, warmup) {
      const processes = processesFor(peersOf(chosen));
      const sockets = peersOf(chosen) / processes;
      const [server, client] = kit.asked(chosen, count, warmup, { server: BACKLOG, client: { sockets } });
      return [server, { ...client, processes, expects: streamsOf(sockets, chosen.size, warmup, count) }];
    },
    growth: "peers",
  },
  {
    // All clients connect at once. A connection counts when its first message has returned.
    name: "connection-storm",
    question: "How many new connections a second does one server take, each with a message and its reply?",
    metric: { name: "connectionsPerSecond", unit: "conn/s", better: "higher" },
    transports: BOTH,
    sizes: [16],
    parameters: {
      connections: { values: [100, 1_000], smoke: [50], help: "connections opened at once" },
      before: {
        values: [10, 10_000],
        smoke: [10],
        help: "connections opened before: 10 leave a runtime's code cold, as in a new process; 10000 warm it up",
      },
    },
    scales: false,
    count: ({ parameters }) => ({
      count: kit.positive(parameters, "connections"),
      warmup: kit.positive(parameters, "before"),
    }),
    roles: (chosen, count, warmup) => kit.asked(chosen, count, warmup, { server: BACKLOG }),
    result: ([client]) => ({
      connectionsPerSecond: (client?.messages ?? 0) / (client?.seconds ?? 0),
    }),
    growth: "connections",
  },
  {
    // Every connection has carried one message each way before it counts. Collectors run first.
    name: "idle-memory",
    question: "How much memory does an idle connection cost the server?",
    metric: { name: "kilobytesPerConnection", unit: "kB", better: "lower" },
    transports: BOTH,
    sizes: [16],
    parameters: {
      connections: { values: [100, 1_000], smoke: [50], help: "connections that stay open" },
    },
    scales: false,
    count: ({ parameters }) => ({ count: kit.positive(parameters, "connections"), warmup: 0 }),
    roles: (_chosen, messages) => [
      { role: "server", binds: true, measured: true, options: BACKLOG, expects: { messages } },
      { role: "client", expects: { messages } },
    ],
    result(done) {
      // A process that already had the memory does not grow.
      const kilobytes = (role: string) => Math.max(0, kit.extraOf(done, role, "bytesPerConnection") / 1e3);
      return { kilobytesPerConnection: kilobytes("server"), kilobytesPerClient: kilobytes("client") };
    },
    columns: [{ name: "kilobytesPerClient", title: "client's side kB" }],
    growth: "connections",
  },
  {
    name: "curve",
    question: "What does CURVE cost a stream of messages?",
    ...MESSAGES,
    transports: ["tcp"],
    sizes: [64, 1_024, 65_536],
    parameters: {
      security: { values: SECURITY, smoke: SECURITY, help: "the mechanism" },
    },
    count: upTo(100_000, 2 ** 29, 3_000),
    roles(chosen, count, warmup) {
      if (oneOf(chosen.parameters, "security", SECURITY) === "null") return oneWay(chosen, count, warmup);
      const { server, client } = kit.curveOptions();
      return oneWay(chosen, count, warmup, { consumer: server, producer: client });
    },
  },
  {
    // A client masks sent frames (RFC 6455), so it matters which side connects.
    name: "ws",
    question: "How many messages a second go one way over WebSocket, and how many over tcp?",
    ...MESSAGES,
    transports: ["ws"],
    sizes: [64, 1_024],
    parameters: {
      client: {
        values: CLIENTS,
        smoke: CLIENTS,
        help: "the side that connects; a client masks sent frames",
      },
    },
    count: upTo(200_000, 2 ** 28, 3_000),
    roles(chosen, count, warmup) {
      const [consumer, producer] = oneWay(chosen, count, warmup);
      const binding = { binds: true, options: { attach: "bind" } };
      const connecting = { binds: false, options: { attach: "connect" } };
      return oneOf(chosen.parameters, "client", CLIENTS) === "producer"
        ? [
            { ...consumer, ...binding },
            { ...producer, ...connecting },
          ]
        : [
            { ...producer, ...binding },
            { ...consumer, ...connecting },
          ];
    },
    references: ["shoal-zmtp-tcp"],
  },
  {
    name: "tls",
    question: "How many messages a second go one way over TLS, and how many over tcp?",
    ...MESSAGES,
    transports: ["tls"],
    sizes: [64, 1_024, 65_536],
    parameters: {},
    count: upTo(200_000, 2 ** 28, 3_000),
    roles(chosen, count, warmup) {
      const { cert, key } = makeCertificate();
      const options = { consumer: { tlsCert: cert, tlsKey: key }, producer: { tlsCa: cert } };
      return oneWay(chosen, count, warmup, options);
    },
    references: ["shoal-zmtp-tcp"],
  },
  {
    // PUSH in a worker thread to PULL in the main thread, which binds and measures: one process.
    name: "threads",
    question: "How many messages a second go one way, from one thread of a process to another?",
    ...MESSAGES,
    transports: ["inproc", "ipc", "tcp"],
    sizes: [64, 1_024, 65_536, 1_048_576],
    parameters: {},
    count: upTo(200_000, 2 ** 30),
    roles: ({ size }, count, warmup) => [
      { role: "both", binds: true, measured: true, expects: streamsOf(1, size, warmup, count) },
    ],
    growth: "size",
  },
  {
    // With back-pressure the producer waits, and its memory stays flat. Without it, all 64 MiB pile up somewhere.
    name: "slow-consumer",
    question: "Does a producer's memory stay flat, and its rate follow, when its consumer is slow?",
    metric: { name: "producerGrowthMegabytes", unit: "MB", better: "lower" },
    transports: BOTH,
    sizes: [16_384],
    parameters: {
      rate: { values: [2_000], smoke: [5_000], help: "messages a second that the consumer reads" },
      "high-water-mark": { values: [100], smoke: [100], help: "messages that each end may queue" },
    },
    scales: false,
    count: (_chosen, smoke) => ({ count: smoke ? 1_500 : 4_000, warmup: 100 }),
    roles: ({ size }, count, warmup) => [
      { role: "consumer", binds: true, expects: streamsOf(1, size, warmup, count) },
      { role: "producer", measured: true, options: { rate: 0 } },
    ],
    result(done, { parameters }) {
      const rate = (role: string) =>
        kit.sumOf(kit.ofRole(done, role), ({ messages, seconds }) => messages / seconds) /
        Number(parameters.rate);
      return {
        producerGrowthMegabytes: kit.extraOf(done, "producer", "rssGrowth") / 1e6,
        // Near 1: the consumer got its rate, and the producer was slowed to it.
        consumerRate: rate("consumer"),
        producerRate: rate("producer"),
      };
    },
    columns: [
      { name: "consumerRate", title: "consumer's rate, × asked" },
      { name: "producerRate", title: "producer's rate, × asked" },
    ],
  },
  {
    // Topic prefixes of eight digits; each message matches one, so only the matching grows.
    name: "subscriptions",
    question: "What does a published message cost when its subscriber has S subscriptions?",
    metric: { name: "microsecondsPerMessage", unit: "µs", better: "lower" },
    transports: BOTH,
    sizes: [64],
    parameters: {
      subscriptions: {
        values: [10, 100, 1_000, 10_000, 100_000],
        smoke: [10, 1_000],
        help: "topic prefixes",
      },
    },
    count: upTo(100_000, 2 ** 29, 3_000),
    roles: ({ size }, count, warmup) => [
      { role: "publisher", binds: true, expects: sent(size, count) },
      { role: "subscriber", measured: true, expects: streamsOf(1, size, warmup, count) },
    ],
    result: ([subscriber]) => ({
      microsecondsPerMessage: ((subscriber?.seconds ?? 0) / (subscriber?.messages ?? 0)) * 1e6,
    }),
    growth: "subscriptions",
  },
  {
    // From the start of a process to the first message that it sends itself over tcp.
    name: "start-up",
    question:
      "How long does a program take from its start to its first message, and how much of it is the import?",
    ...kit.MILLISECONDS,
    transports: ["tcp"],
    sizes: [],
    parameters: {},
    scales: false,
    count: (_chosen, smoke) => (smoke ? { count: 2, warmup: 0 } : { count: 10, warmup: 2 }),
    roles: (_chosen, messages) => [{ role: "program", measured: true, expects: { messages } }],
    result: (done, chosen) => ({
      ...kit.MILLISECONDS.result(done, chosen),
      importMilliseconds: kit.extraOf(done, "program", "importSeconds") * 1e3,
    }),
    columns: [{ name: "importMilliseconds", title: "import ms" }, ...(kit.MILLISECONDS.columns ?? [])],
  },
];
