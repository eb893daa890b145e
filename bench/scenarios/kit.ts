/** Shared parts of scenarios: parameters from `--set`, expectations, roles, and what is computed from reports. */
import { curveKeyPair } from "shoal";
import { BadInput } from "../bad-input.js";
import { expectedChecksum } from "../bodies.js";
import {
  type Case,
  deliveriesOf,
  type Expectation,
  type Parameters,
  type RoleSpec,
  type Scenario,
  type SideReport,
} from "../contract.js";

/** @throws BadInput unless it is a whole number above 0 */
export function positive(parameters: Parameters, name: string): number {
  const value = parameters[name];
  if (typeof value === "number" && value > 0 && Number.isSafeInteger(value)) return value;
  throw new BadInput(`${name} must be a whole number above 0; got ${JSON.stringify(value)}`);
}

/** @throws BadInput unless it is one of `known` */
export function oneOf<T extends string>(parameters: Parameters, name: string, known: readonly T[]): T {
  const value = parameters[name];
  const found = known.find((one) => one === value);
  if (found !== undefined) return found;
  throw new BadInput(`unknown ${name} ${JSON.stringify(value)}; known are ${known.join(", ")}`);
}

// --- Counts and expectations -------------------------------------------------------------------------------------------

/** About a second of the slowest implementation. The runner adapts both numbers. */
export function upTo(most: number, bytes: number, smokeCount = 5_000): Scenario["count"] {
  return ({ size }, smoke) => {
    const count = smoke ? smokeCount : Math.round(Math.min(most, bytes / size));
    return { count, warmup: Math.ceil(count / 5) };
  };
}

/** `streams` streams of `count` messages each, all with counters from 0, the warm-up first. */
export function streamsOf(streams: number, size: number, warmup: number, count: number): Expectation {
  const one = Number.parseInt(expectedChecksum(size, warmup, count), 16);
  // 32 bits times a few thousand streams stays below 2^53.
  const checksum = ((one * streams) % 2 ** 32).toString(16).padStart(8, "0");
  return { messages: streams * count, bytes: streams * count * size, checksum, ordered: true };
}

export function sent(size: number, count: number): Expectation {
  return { messages: count, bytes: count * size };
}

/** Processes for `peers` sockets: two if they can have half each. */
export function processesFor(peers: number): number {
  return peers > 1 && peers % 2 === 0 ? 2 : 1;
}

// --- Roles -------------------------------------------------------------------------------------------------------------

/** A longer queue of connections to accept: a refused one would wait a second to try again. */
export const BACKLOG = { backlog: 4096 } as const;

/** A consumer, which binds and measures, and a producer. */
export function oneWay(
  { size }: Case,
  count: number,
  warmup: number,
  options: { readonly consumer?: Parameters; readonly producer?: Parameters } = {},
): [RoleSpec, RoleSpec] {
  const { consumer = {}, producer = {} } = options;
  const expects = streamsOf(1, size, warmup, count);
  return [
    { role: "consumer", binds: true, measured: true, options: consumer, expects },
    { role: "producer", options: producer, expects: sent(size, count) },
  ];
}

/** A server that works until it is stopped, and a client that measures replies: each once, in any order. */
export function asked(
  { size }: Case,
  count: number,
  warmup: number,
  options: { readonly server?: Parameters; readonly client?: Parameters } = {},
): [RoleSpec, RoleSpec] {
  const { server = {}, client = {} } = options;
  const expects = streamsOf(1, size, warmup, count);
  return [
    { role: "server", binds: true, ends: false, options: server },
    { role: "client", measured: true, options: client, expects },
  ];
}

/** Options of both ends for CURVE, with new keys. */
export function curveOptions(): { readonly server: Parameters; readonly client: Parameters } {
  const [server, client] = [curveKeyPair(), curveKeyPair()];
  const own = ({ publicKey, secretKey }: typeof server) => ({
    security: "curve",
    "public-key": publicKey,
    "secret-key": secretKey,
  });
  return { server: own(server), client: { ...own(client), "server-key": server.publicKey } };
}

// --- Figures -----------------------------------------------------------------------------------------------------------

type Shape = Pick<Scenario, "metric" | "result" | "columns">;

export function ofRole(done: readonly SideReport[], role: string): readonly SideReport[] {
  return done.filter((report) => report.role === role);
}

/** Reports of the measured role, which come first. */
export function measuredOf(done: readonly SideReport[]): readonly SideReport[] {
  return ofRole(done, done[0]?.role ?? "");
}

export function sumOf(reports: readonly SideReport[], figure: (report: SideReport) => number): number {
  return reports.reduce((sum, report) => sum + figure(report), 0);
}

/** Sums an extra figure of a role's reports; NaN if none has it. */
export function extraOf(done: readonly SideReport[], role: string, name: string): number {
  const values = ofRole(done, role).flatMap(({ extra }) => extra?.[name] ?? []);
  return values.length === 0 ? Number.NaN : values.reduce((sum, value) => sum + value, 0);
}

/** The worst of several clients at a percentile, in µs: an average of percentiles means nothing. */
function worst(done: readonly SideReport[], percentile: string): number {
  return Math.max(...measuredOf(done).map(({ latency }) => latency?.[percentile] ?? Number.NaN));
}

function latencyFigures(done: readonly SideReport[]): Record<string, number> {
  const of = (percentile: string) => worst(done, percentile);
  return { median: of("50"), p90: of("90"), p99: of("99"), p999: of("99.9"), max: of("100") };
}

/** Where implementations work in turns, each turn's end makes outliers: only the first columns are printed. */
const LATENCY_COLUMNS = [
  { name: "median", title: "p50 µs" },
  { name: "p90", title: "p90 µs" },
  { name: "p99", title: "p99 µs" },
  { name: "p999", title: "p99.9 µs" },
  { name: "max", title: "max µs" },
] as const;

/** Messages that the measured role received, all its processes together. */
export const MESSAGES: Shape = {
  metric: { name: "messagesPerSecond", unit: "msg/s", better: "higher" },
  result(done, { size }) {
    const receivers = measuredOf(done);
    const seconds = Math.max(...receivers.map((report) => report.seconds));
    const messagesPerSecond = sumOf(receivers, deliveriesOf) / seconds;
    const megabytesPerSecond = (messagesPerSecond * size) / 1e6;
    const median = worst(done, "50");
    return { messagesPerSecond, megabytesPerSecond, ...(Number.isFinite(median) && { median }) };
  },
  columns: [{ name: "megabytesPerSecond", title: "MB/s" }, LATENCY_COLUMNS[0]],
};

/** Rates of the measured processes add up, since they work at the same time. */
export const REQUESTS: Shape = {
  metric: { name: "requestsPerSecond", unit: "req/s", better: "higher" },
  result(done) {
    const requestsPerSecond = sumOf(measuredOf(done), ({ messages, seconds }) => messages / seconds);
    return { requestsPerSecond, ...latencyFigures(done) };
  },
  columns: LATENCY_COLUMNS.slice(0, 1),
};

export const ROUND_TRIP: Shape = {
  metric: { name: "median", unit: "µs", better: "lower" },
  result: latencyFigures,
  columns: LATENCY_COLUMNS.slice(1, 3),
};

/** Median and slowest of a few long times. */
export const MILLISECONDS: Shape = {
  metric: { name: "milliseconds", unit: "ms", better: "lower" },
  result: (done) => ({ milliseconds: worst(done, "50") / 1e3, slowest: worst(done, "100") / 1e3 }),
  columns: [{ name: "slowest", title: "slowest ms" }],
};

/**
 * Open load: a request is sent when it is due, instead of after the last reply, and its latency counts from then. This
 * corrects for coordinated omission.
 */
export const ON_SCHEDULE: Shape = {
  metric: { name: "p99", unit: "µs", better: "lower" },
  result(done, { parameters }) {
    const [client] = done;
    const { messages = 0, seconds = Number.NaN } = client ?? {};
    const rate = client?.extra?.rate ?? Number(parameters.rate);
    // 1 if the schedule was kept; less if replies came slower than requests were due.
    return { ...latencyFigures(done), rate, kept: messages / seconds / rate };
  },
  columns: [...LATENCY_COLUMNS, { name: "rate", title: "a second" }, { name: "kept", title: "rate kept" }],
};

/** Plain sockets of the same topology, on the same engine if available, show the cost of a pattern. */
export const PATTERN_REFERENCES = ["shoal-zmtp-plain", "shoal-libzmq-plain", "libzmq", "zeromq"] as const;
