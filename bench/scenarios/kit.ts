/** Shared parts of scenarios: parameters from `--set`, expectations, latencies, scheduled load. */
import { BadInput } from "../bad-input.js";
import { expectedChecksum } from "../bodies.js";
import {
  deliveriesOf,
  type Expectation,
  type Parameters,
  type Scenario,
  type SideReport,
} from "../contract.js";

/** @throws BadInput unless it is a number above 0 */
export function positive(parameters: Parameters, name: string): number {
  const value = parameters[name];
  if (typeof value === "number" && value > 0 && Number.isFinite(value)) return value;
  throw new BadInput(`${name} must be a number above 0; got ${JSON.stringify(value)}`);
}

/** @throws BadInput unless it is one of `known` */
export function oneOf<T extends string>(parameters: Parameters, name: string, known: readonly T[]): T {
  const value = parameters[name];
  const found = known.find((one) => one === value);
  if (found !== undefined) return found;
  throw new BadInput(`unknown ${name} ${JSON.stringify(value)}; known are ${known.join(", ")}`);
}

/** `streams` streams of `count` messages each, all with counters from 0, the warm-up first. */
export function streamsOf(streams: number, size: number, warmup: number, count: number): Expectation {
  const one = Number.parseInt(expectedChecksum(size, warmup, count), 16);
  // 32 bits times a few thousand streams stays below 2^53.
  const checksum = ((one * streams) % 2 ** 32).toString(16).padStart(8, "0");
  return { messages: streams * count, bytes: streams * count * size, checksum, ordered: true };
}

/**
 * Replies to requests 0 … warmup + count - 1, each once, in any order, since replies of several workers overtake each
 * other.
 */
export function answersOf(size: number, warmup: number, count: number): Expectation {
  return streamsOf(1, size, warmup, count);
}

/** Processes for `peers` sockets: two if they can have half each. */
export function processesFor(peers: number): number {
  return peers > 1 && peers % 2 === 0 ? 2 : 1;
}

export function ofRole(done: readonly SideReport[], role: string): readonly SideReport[] {
  return done.filter((report) => report.role === role);
}

export function sumOf(reports: readonly SideReport[], figure: (report: SideReport) => number): number {
  return reports.reduce((sum, report) => sum + figure(report), 0);
}

/** Columns of scenarios with one publisher and many receivers. */
export const FAN_OUT_COLUMNS = [
  { name: "publishedPerSecond", title: "published", unit: "msg/s" },
  { name: "megabytesPerSecond", title: "MB/s", unit: "MB/s" },
] as const;

/**
 * @param role of the receivers
 * @param size bytes of a message
 */
export function fanOutFigures(
  done: readonly SideReport[],
  role: string,
  size: number,
): Record<string, number> {
  const receivers = ofRole(done, role);
  const seconds = Math.max(...receivers.map((report) => report.seconds));
  const deliveriesPerSecond = sumOf(receivers, deliveriesOf) / seconds;
  const publishedPerSecond = sumOf(ofRole(done, "publisher"), ({ messages }) => messages) / seconds;
  return { deliveriesPerSecond, publishedPerSecond, megabytesPerSecond: (deliveriesPerSecond * size) / 1e6 };
}

/** Plain sockets of the same topology, on the same engine if available, show the cost of a pattern. */
export const PATTERN_REFERENCES = ["shoal-zmtp-plain", "shoal-libzmq-plain", "libzmq", "zeromq"] as const;

/** Percentiles of a client, for scenarios about latency. */
export const LATENCY_COLUMNS = [
  { name: "median", title: "p50", unit: "µs" },
  { name: "p90", title: "p90", unit: "µs" },
  { name: "p99", title: "p99", unit: "µs" },
  { name: "p999", title: "p99.9", unit: "µs" },
  { name: "max", title: "max", unit: "µs" },
] as const satisfies Scenario["columns"];

/** The worst of several clients at each percentile: an average of percentiles means nothing. */
export function latencyFigures(clients: readonly SideReport[]): Record<string, number> {
  const worst = (percentile: string) =>
    Math.max(...clients.map(({ latency }) => latency?.[percentile] ?? Number.NaN));
  return {
    median: worst("50"),
    p90: worst("90"),
    p99: worst("99"),
    p999: worst("99.9"),
    max: worst("100"),
  };
}

/**
 * Common part of scenarios with an open load, as in latency-under-load: a request is sent when it is due, and its
 * latency counts from then. `half` is half of what this implementation carried in the third quarter of its warm-up,
 * with as many requests in flight as allowed. A number of requests per second is the same for all.
 */
/**
 * @param unit of the rate
 * @param smokeCount requests of a smoke run, and before it
 */
export function onSchedule(
  unit: string,
  smokeCount: { readonly count: number; readonly warmup: number },
): Omit<Scenario, "name" | "question" | "roles"> {
  return {
    metric: { name: "p99", unit: "µs", better: "lower" },
    transports: ["tcp", "ipc"],
    sizes: [64],
    smokeSizes: [64],
    parameters: {
      rate: { values: ["half", 10_000], smoke: ["half"], help: `${unit}, or half of the capacity` },
    },
    count({ parameters }, smoke) {
      if (parameters.rate !== "half") positive(parameters, "rate");
      return smoke ? smokeCount : { count: 40_000, warmup: 60_000 };
    },
    warmups: 12, // The capacity, and four seconds on schedule: a working compiler would be the 99th percentile.
    timeout: 120,
    result(done) {
      const [client] = done;
      const { messages = 0, seconds = Number.NaN } = client ?? {};
      const { rate = Number.NaN } = client?.extra ?? {};
      return {
        ...latencyFigures(client === undefined ? [] : [client]),
        rate,
        // 1 if the schedule was kept; less if replies came slower than requests were due.
        kept: messages / seconds / rate,
      };
    },
    columns: [
      ...LATENCY_COLUMNS,
      { name: "rate", title: "rate", unit },
      { name: "kept", title: "rate kept", unit: "×" },
    ],
    references: PATTERN_REFERENCES,
  };
}
