import { type Case, deliveriesOf, type Expectation, type RoleSpec, type Scenario } from "../contract.js";
import { ofRole, oneOf, processesFor, streamsOf, sumOf } from "./kit.js";

/** Socket types and numbers on both sides of the proxy, by kind. */
const KINDS = ["streamer", "forwarder", "forwarder-100", "queue", "round-trip"] as const;
type Kind = (typeof KINDS)[number];

/** Requests in flight from a client of the queue. */
const WINDOW = 1_000;

const kindOf = ({ parameters }: Case): Kind => oneOf(parameters, "kind", KINDS) as Kind;
const subscribersOf = (kind: Kind): number => (kind === "forwarder-100" ? 100 : 1);

function proxyRole(kind: Kind): RoleSpec {
  // A ROUTER drops above its mark; the other types wait.
  const marks = kind === "queue" || kind === "round-trip" ? { "high-water-mark": 4 * WINDOW } : {};
  return { role: "proxy", binds: true, ends: false, options: { ...marks, backlog: 4096 } };
}

function rolesOf(kind: Kind, expects: Expectation, count: number, size: number): RoleSpec[] {
  const sent = { messages: count, bytes: count * size };
  const proxy = proxyRole(kind);
  if (kind === "streamer") {
    return [
      proxy,
      { role: "consumer", connects: ["proxy/backend"], measured: true, expects },
      { role: "producer", connects: ["proxy"], expects: sent },
    ];
  }
  if (kind === "forwarder" || kind === "forwarder-100") {
    const peers = subscribersOf(kind);
    const processes = processesFor(peers);
    const sockets = peers / processes;
    return [
      proxy,
      { role: "publisher", connects: ["proxy"], options: { peers }, expects: sent },
      {
        role: "subscriber",
        processes,
        connects: ["proxy/backend"],
        measured: true,
        options: { sockets },
        expects,
      },
    ];
  }
  const marks = { "high-water-mark": 4 * WINDOW };
  const window = kind === "queue" ? WINDOW : 1;
  return [
    proxy,
    { role: "worker", connects: ["proxy/backend"], ends: false, options: marks },
    { role: "client", connects: ["proxy"], measured: true, options: { ...marks, window }, expects },
  ];
}

/**
 * Senders, a proxy and receivers, one process each (two for 100 subscribers). The queue's workers return what they
 * get.
 */
export const proxy: Scenario = {
  name: "proxy",
  question: "How many messages a second pass through a proxy?",
  metric: { name: "messagesPerSecond", unit: "msg/s", better: "higher" },
  transports: ["tcp", "ipc"],
  sizes: [64, 1024, 65_536],
  smokeSizes: [64],
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
    const count = Math.round(Math.min(smoke ? most / 20 : most, 2 ** 29 / chosen.size / subscribersOf(kind)));
    return { count, warmup: Math.ceil(count / 10) };
  },
  warmups: 3, // Three processes and their compilers share two cores.
  roles(chosen, count, warmup) {
    const kind = kindOf(chosen);
    const streams = subscribersOf(kind) / (kind === "forwarder-100" ? processesFor(100) : 1);
    return rolesOf(kind, streamsOf(streams, chosen.size, warmup, count), count, chosen.size);
  },
  result(done, chosen) {
    const receivers = ["consumer", "subscriber", "client"].flatMap((role) => ofRole(done, role));
    const seconds = Math.max(...receivers.map((report) => report.seconds));
    const messagesPerSecond = sumOf(receivers, deliveriesOf) / seconds;
    const [{ latency } = {}] = receivers;
    return {
      messagesPerSecond,
      megabytesPerSecond: (messagesPerSecond * chosen.size) / 1e6,
      ...(latency?.["50"] === undefined ? {} : { p50: latency["50"] }),
    };
  },
  columns: [
    { name: "megabytesPerSecond", title: "MB/s", unit: "MB/s" },
    { name: "p50", title: "p50", unit: "µs" },
  ],
};
