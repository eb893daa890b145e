/** What scenarios share: parameters that can come from `--set`, what sides have to have seen, latencies, load on a schedule. */
import { BadInput } from "../bad-input.js";
import { expectedChecksum } from "../bodies.js";
import {
  deliveriesOf,
  type Expectation,
  type Parameters,
  type Scenario,
  type SideReport,
} from "../contract.js";

/** @throws BadInput for what is not a number above 0 */
export function positive(parameters: Parameters, name: string): number {
  const value = parameters[name];
  if (typeof value === "number" && value > 0 && Number.isFinite(value)) return value;
  throw new BadInput(`${name} is a number above 0; got ${JSON.stringify(value)}`);
}

/** @throws BadInput for what is not one of `known` */
export function oneOf<T extends string>(parameters: Parameters, name: string, known: readonly T[]): T {
  const value = parameters[name];
  const found = known.find((one) => one === value);
  if (found !== undefined) return found;
  throw new BadInput(`there is no ${name} ${JSON.stringify(value)}; known are ${known.join(", ")}`);
}

/** `streams` streams of `count` messages each, every one with counters from 0, the warm-up first. */
export function streamsOf(streams: number, size: number, warmup: number, count: number): Expectation {
  const one = Number.parseInt(expectedChecksum(size, warmup, count), 16);
  // 32 bits times a few thousand streams stays below 2^53.
  const checksum = ((one * streams) % 2 ** 32).toString(16).padStart(8, "0");
  return { messages: streams * count, bytes: streams * count * size, checksum, ordered: true };
}

/** Replies to requests 0 … warmup + count - 1, each once, in any order: the replies of several workers overtake. */
export function answersOf(size: number, warmup: number, count: number): Expectation {
  return streamsOf(1, size, warmup, count);
}

/** How many processes `peers` sockets are put into: two where they divide, so that they hold half each. */
export function processesFor(peers: number): number {
  return peers > 1 && peers % 2 === 0 ? 2 : 1;
}

/** The reports of one role. */
export function ofRole(done: readonly SideReport[], role: string): readonly SideReport[] {
  return done.filter((report) => report.role === role);
}

export function sumOf(reports: readonly SideReport[], figure: (report: SideReport) => number): number {
  return reports.reduce((sum, report) => sum + figure(report), 0);
}

/** What the scenarios show in which one publishes and many receive. */
export const FAN_OUT_COLUMNS = [
  { name: "publishedPerSecond", title: "published", unit: "msg/s" },
  { name: "megabytesPerSecond", title: "MB/s", unit: "MB/s" },
] as const;

/** Their figures. @param role of those that receive; size: bytes of a message */
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

/** What a pattern costs is shown by plain sockets of the same topology, on the same engine where it is there. */
export const PATTERN_REFERENCES = ["shoal-zmtp-plain", "shoal-libzmq-plain", "libzmq", "zeromq"] as const;

/** The percentiles of a client as figures, for the scenarios that are about time. */
export const LATENCY_COLUMNS = [
  { name: "median", title: "p50", unit: "µs" },
  { name: "p90", title: "p90", unit: "µs" },
  { name: "p99", title: "p99", unit: "µs" },
  { name: "p999", title: "p99.9", unit: "µs" },
  { name: "max", title: "max", unit: "µs" },
] as const satisfies Scenario["columns"];

/** Of several clients the worst at each percentile: an average of percentiles means nothing. */
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
 * What is the same in all scenarios with an open load, as in latency-under-load: a request leaves when it is due, and
 * its latency counts from then. `half` is half of what this contender carried just before, in the third quarter of its
 * warm-up, with as many requests under way as it may have; a number of requests a second is the same for all.
 */

/** @param unit of the rate. @param smokeCount requests of a smoke run, and before them */
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
      rate: { values: ["half", 10_000], smoke: ["half"], help: `${unit}, or half of what can be carried` },
    },
    count({ parameters }, smoke) {
      if (parameters.rate !== "half") positive(parameters, "rate");
      return smoke ? smokeCount : { count: 40_000, warmup: 60_000 };
    },
    warmups: 12, // Those that are as fast as they can be, and four seconds on schedule: a compiler at work is the 99th percentile.
    timeout: 120,
    result(done) {
      const [client] = done;
      const { messages = 0, seconds = Number.NaN } = client ?? {};
      const { rate = Number.NaN } = client?.extra ?? {};
      return {
        ...latencyFigures(client === undefined ? [] : [client]),
        rate,
        // 1 when the schedule was kept; less when replies came slower than requests were due.
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
