/** Readings of a source: samples by side, and rates between two readings. Pure. */
import { FAMILIES, familyOf, INFO, KINDS, type MetricsFamily, type MetricsKind } from "./metrics-table.js";
import type { Sample } from "./samples.js";

export const COUNTS = ["in", "out", "inBytes", "outBytes", "dropped", "refused"] as const;
export type CountName = (typeof COUNTS)[number];

/** One side of a source; unknown values are absent. */
export interface SideReading extends Readonly<Partial<Record<CountName, number>>> {
  readonly side: string;
  readonly peers?: number;
  readonly queued?: number;
}

export interface SourceReading {
  readonly name: string;
  readonly kind: string;
  readonly state: string;
  readonly sides: readonly SideReading[];
}

export interface ProcessReading {
  /** Processor time since start, s. */
  readonly cpu?: number;
  /** Bytes. */
  readonly memory?: number;
  /** Event loop delay, s: 99th percentile above the minimum, since the last reading by any reader. */
  readonly loopDelay?: number;
}

export interface Reading {
  readonly sources: readonly SourceReading[];
  readonly process: ProcessReading;
}

const MAX_SOURCES = 1_000;

const PROCESS = {
  cpu: "process_cpu_seconds_total",
  memory: "process_resident_memory_bytes",
  lag: "nodejs_eventloop_lag_p99_seconds",
  least: "nodejs_eventloop_lag_min_seconds",
} as const;

export function isRead(name: string): boolean {
  return name.startsWith("shoal_") || Object.values<string>(PROCESS).includes(name);
}

export function readingOf(samples: readonly Sample[]): Reading {
  const sources: SourceReading[] = [];
  const byName = new Map<string, Sample[]>();
  for (const sample of samples) {
    const same = byName.get(sample.name);
    if (same === undefined) byName.set(sample.name, [sample]);
    else same.push(sample);
  }
  for (const { labels } of byName.get(INFO.name) ?? []) {
    const { name, kind } = labels;
    if (name === undefined || kind === undefined || !(KINDS as readonly string[]).includes(kind)) continue;
    if (sources.length === MAX_SOURCES) break;
    sources.push(sourceOf(name, kind as MetricsKind, byName));
  }
  return { sources, process: processOf(byName) };
}

type ByName = ReadonlyMap<string, readonly Sample[]>;
/** Sum of a metric's samples, `undefined` without any. The name has no family prefix. */
type Sum = (
  name: string,
  labels?: Readonly<Record<string, string>>,
  without?: Excluded,
) => number | undefined;

/** Excludes samples with these values of a label. */
interface Excluded {
  readonly label: string;
  readonly values: ReadonlySet<string>;
}

/** Reasons in a node's `dropped` that lose no packet or message: faults of connections, files and sockets. */
const FAULTS: Excluded = {
  label: "reason",
  values: new Set([
    "link:accept",
    "link:address",
    "link:evicted",
    "link:failed",
    "link:handshake",
    "link:lost",
    "link:outside",
    "link:refused",
    "messages:listen",
    "allow",
    "files",
    "group",
    "keys",
    "registry",
    "socket",
  ]),
};

function sourceOf(name: string, kind: MetricsKind, byName: ByName): SourceReading {
  const family = familyOf(kind);
  const own = { [FAMILIES[family].label]: name };
  const of = (metric: string, labels: Readonly<Record<string, string>> = {}): readonly Sample[] => {
    const wanted = Object.entries({ ...own, ...labels });
    const samples = byName.get(`shoal_${family.replaceAll("-", "_")}_${metric}`) ?? [];
    return samples.filter((sample) => wanted.every(([label, value]) => sample.labels[label] === value));
  };
  const sum: Sum = (metric, labels, without) => {
    const samples = of(metric, labels).filter(
      ({ labels }) => without?.values.has(labels[without.label] ?? "") !== true,
    );
    return samples.length === 0 ? undefined : samples.reduce((total, { value }) => total + value, 0);
  };
  const state = of("state").find(({ value }) => value === 1)?.labels.state;
  return { name, kind, ...(READERS[family] ?? anyDriver)(sum, state) };
}

type Reader = (sum: Sum, state: string | undefined) => Pick<SourceReading, "state" | "sides">;

const CLUSTER: Reader = (sum) => ({
  // The minority score is 0 while the node trusts its own view.
  state:
    sum("minority") === 1
      ? "minority"
      : (sum("health_score") ?? 0) > 0
        ? `health ${sum("health_score")}`
        : "running",
  sides: [
    known({
      side: "members",
      peers: sum("members"),
      in: sum("packets_received_total"),
      out: sum("packets_sent_total"),
      inBytes: sum("bytes_received_total"),
      outBytes: sum("bytes_sent_total"),
      dropped: sum("dropped_total", {}, FAULTS),
    }),
    known({
      side: "suspects",
      peers: sum("suspects"),
      refused: sum("suspicions_total"),
    }),
    known({
      side: "stopped",
      peers: sum("gone"),
    }),
    // A node without messages has neither.
    ...(sum("published_total") === undefined
      ? []
      : [
          known({
            side: "messages",
            in: plus(sum("topic_received_total"), sum("direct_received_total")),
            out: plus(sum("published_total"), sum("direct_sent_total")),
            queued: sum("copies_waiting"),
            dropped: plus(sum("copies_dropped_total"), sum("deliveries_dropped_total")),
            refused: sum("items_refused_total"),
          }),
        ]),
    ...(sum("services_sent_total") === undefined
      ? []
      : [
          known({
            side: "services",
            in: sum("services_received_total"),
            out: sum("services_sent_total"),
            queued: sum("queries_pending"),
            dropped: plus(
              sum("services_failed_total"),
              sum("services_not_joined_total"),
              sum("services_unhandled_total"),
            ),
            refused: sum("services_refused_total"),
          }),
        ]),
  ],
});

const READERS: Readonly<Partial<Record<MetricsFamily, Reader>>> = {
  proxy: (sum, state = "unknown") => ({
    state,
    sides: [
      ...["frontend", "backend"].map((side) =>
        known({
          side,
          peers: sum("peers", { side }),
          in: sum("messages_total", { side, direction: "in" }),
          out: sum("messages_total", { side, direction: "out" }),
          inBytes: sum("bytes_total", { side, direction: "in" }),
          outBytes: sum("bytes_total", { side, direction: "out" }),
          queued: sum("queued_messages", { side }),
          dropped: sum("dropped_total", { side }),
          refused: sum("refused_total", { side }),
        }),
      ),
      ...(sum("captured_total") === undefined
        ? []
        : [
            known({
              side: "capture",
              peers: sum("capture_peers"),
              out: sum("captured_total"),
              queued: sum("capture_queued_messages"),
              dropped: sum("capture_missed_total"),
            }),
          ]),
    ],
  }),
  majordomo: (sum) => ({
    state: "running",
    sides: [
      known({
        side: "clients",
        peers: sum("clients"),
        in: sum("requests_total"),
        out: sum("answered_total"),
        queued: sum("queued_requests"),
        dropped: plus(sum("failed_total"), sum("abandoned_total"), sum("replies_dropped_total")),
      }),
      known({ side: "workers", peers: sum("workers"), queued: sum("in_flight_requests") }),
    ],
  }),
  pirate: (sum) => ({
    state: "running",
    sides: [
      known({
        side: "clients",
        in: sum("requests_total"),
        out: sum("replies_total"),
        queued: sum("queued_requests"),
        dropped: sum("dropped_total"),
      }),
      known({
        side: "workers",
        peers: plus(sum("idle_workers"), sum("busy_workers")),
        queued: sum("busy_workers"),
      }),
    ],
  }),
  lvc: (sum) => ({
    state: "running",
    sides: [
      known({
        side: "topics",
        in: sum("messages_total"),
        queued: sum("snapshots_waiting"),
        dropped: plus(sum("evicted_total"), sum("uncached_total")),
        refused: sum("invalid_total"),
      }),
    ],
  }),
  cluster: CLUSTER,
  "cluster-bus": CLUSTER,
  connections: (sum) => ({
    state: (sum("broken") ?? 0) > 0 ? `${sum("broken")} broken` : "running",
    sides: [
      known({
        side: "addresses",
        peers: sum("connected"),
        queued: plus(sum("connecting"), sum("broken")),
      }),
    ],
  }),
  "discovery-server": (sum) => ({
    state: "running",
    sides: [
      known({
        side: "clients",
        peers: sum("callers"),
        in: sum("requests_total"),
        out: sum("updates_total"),
        dropped: sum("missed_total"),
        refused: plus(sum("refused_total"), sum("invalid_total")),
      }),
    ],
  }),
  "discovery-client": (sum) => ({
    state: sum("connected") === 0 ? "not connected" : "running",
    sides: [
      known({
        side: "server",
        peers: sum("connected"),
        in: sum("updates_total"),
        out: sum("attempts_total"),
      }),
    ],
  }),
  clone: (sum) => ({
    state: sum("serving") === 0 ? "standby" : "serving",
    sides: [
      known({
        side: "clients",
        in: sum("received_total"),
        out: sum("published_total"),
        queued: plus(sum("in_flight"), sum("pending"), sum("snapshots_waiting")),
        dropped: sum("snapshots_lost_total"),
        refused: plus(sum("refused_total"), sum("faults_total")),
      }),
    ],
  }),
};

function first(sum: Sum, ...names: readonly string[]): number | undefined {
  return names.map((name) => sum(name)).find((value) => value !== undefined);
}

/** A driver of any other family: what it receives and what it returns. */
const anyDriver: Reader = (sum, state = "running") => ({
  state,
  sides: [
    known({
      side: "all",
      peers: sum("peers"),
      in: first(
        sum,
        "received_total",
        "requests_total",
        "requests_local_total",
        "passed_total",
        "stored_total",
        "states_received_total",
      ),
      out: first(
        sum,
        "answered_total",
        "replies_total",
        "replied_total",
        "replies_local_total",
        "delivered_total",
        "handled_total",
        "published_total",
        "applied_total",
        "states_sent_total",
      ),
      queued: plus(sum("queued_requests"), sum("queued_messages"), sum("pending_requests")),
      dropped: plus(sum("dropped_total"), sum("lost_total"), sum("failed_total")),
      refused: plus(sum("invalid_total"), sum("faults_total")),
    }),
  ],
});

function processOf(byName: ByName): ProcessReading {
  const value = (name: string): number | undefined => byName.get(name)?.[0]?.value;
  const lag = value(PROCESS.lag);
  const least = value(PROCESS.least);
  return known({
    cpu: value(PROCESS.cpu),
    memory: value(PROCESS.memory),
    loopDelay: lag === undefined || least === undefined ? undefined : Math.max(0, lag - least),
  });
}

function plus(...numbers: readonly (number | undefined)[]): number | undefined {
  const given = numbers.filter((number) => number !== undefined);
  return given.length === 0 ? undefined : given.reduce((total, number) => total + number, 0);
}

function known<T extends object>(members: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as never;
}

/** Rates per second, by counter; absent without an earlier reading. */
export type Rates = Readonly<Partial<Record<CountName, number>>>;

export interface RatedSide extends SideReading {
  readonly rates: Rates;
}

export interface RatedSource extends Omit<SourceReading, "sides"> {
  readonly sides: readonly RatedSide[];
}

export interface RatedReading {
  readonly sources: readonly RatedSource[];
  /** Share of one processor: 0 to 1, more with several threads. */
  readonly cpu?: number;
  readonly memory?: number;
  readonly loopDelay?: number;
}

/** A reading with its time, ms of a monotonic clock. */
export interface TimedReading {
  readonly at: number;
  readonly reading: Reading;
}

export function rated(before: TimedReading | undefined, now: TimedReading): RatedReading {
  const seconds = before === undefined ? 0 : (now.at - before.at) / 1_000;
  const { cpu, memory, loopDelay } = now.reading.process;
  const busy = rate(before?.reading.process.cpu, cpu, seconds);
  return {
    sources: now.reading.sources.map((source) => ({
      ...source,
      sides: source.sides.map((side) => ({
        ...side,
        rates: ratesOf(
          before === undefined ? undefined : sideOf(before.reading, source, side),
          side,
          seconds,
        ),
      })),
    })),
    ...(busy === undefined ? {} : { cpu: busy }),
    ...(memory === undefined ? {} : { memory }),
    ...(loopDelay === undefined ? {} : { loopDelay }),
  };
}

/**
 * Rate of a counter per second. A counter that decreased has restarted at 0, so all of it is new.
 *
 * @returns `undefined` for an unknown value, or if no time has passed
 */
export function rate(
  before: number | undefined,
  now: number | undefined,
  seconds: number,
): number | undefined {
  if (before === undefined || now === undefined || !(seconds > 0)) return undefined;
  return (now < before ? now : now - before) / seconds;
}

function ratesOf(before: SideReading | undefined, now: SideReading, seconds: number): Rates {
  const rates: Partial<Record<CountName, number>> = {};
  for (const count of COUNTS) {
    const each = rate(before?.[count], now[count], seconds);
    if (each !== undefined) rates[count] = each;
  }
  return rates;
}

function sideOf(
  { sources }: Reading,
  { name, kind }: SourceReading,
  { side }: SideReading,
): SideReading | undefined {
  const source = sources.find((each) => each.name === name && each.kind === kind);
  return source?.sides.find((each) => each.side === side);
}
