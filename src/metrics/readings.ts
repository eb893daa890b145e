/** Readings of samples, by side, and rates between two. Pure. */
import { defined } from "../core/arguments.js";
import {
  BUILD,
  FAMILIES,
  familyOf,
  INFO,
  KINDS,
  type MetricsFamily,
  type MetricsKind,
  UP,
} from "./metrics-table.js";
import {
  COUNTS,
  type CountName,
  type Counts,
  type ProcessReading,
  type RatedReading,
  REFUSALS,
  type Reading,
  type SideReading,
  type SourceReading,
  type TimedReading,
} from "./reading.js";
import { byName, type Sample } from "./sources.js";

const MAX_SOURCES = 1_000;
/** ms that a refusal counts as current. */
const REFUSING_TIME = 60_000;

const PROCESS = {
  cpu: "process_cpu_seconds_total",
  memory: "process_resident_memory_bytes",
  lag: "nodejs_eventloop_lag_p99_seconds",
  least: "nodejs_eventloop_lag_min_seconds",
  started: "process_start_time_seconds",
} as const;

export function isRead(name: string): boolean {
  return name.startsWith("shoal_") || Object.values<string>(PROCESS).includes(name);
}

export function readingOf(samples: readonly Sample[]): Reading {
  const sources: SourceReading[] = [];
  const named = byName(samples);
  const own = bySource(samples);
  for (const { labels } of named.get(INFO.name) ?? []) {
    const { name, kind } = labels;
    if (name === undefined || kind === undefined || !(KINDS as readonly string[]).includes(kind)) continue;
    if (sources.length === MAX_SOURCES) break;
    const found = own.get(name);
    if (found === undefined) continue; // A name has one source.
    own.delete(name);
    sources.push(sourceOf(name, kind as MetricsKind, byName(found)));
  }
  return { sources, process: processOf(named) };
}

/** Labels whose value is a source's name. */
const NAMES = new Set(["name", ...Object.values(FAMILIES).map(({ label }) => label)]);

/** A remote program may have many sources, and many samples of each metric. */
function bySource(samples: readonly Sample[]): Map<string, Sample[]> {
  const found = new Map<string, Sample[]>();
  for (const sample of samples)
    for (const [label, value] of Object.entries(sample.labels)) {
      if (!NAMES.has(label)) continue;
      const same = found.get(value);
      if (same === undefined) found.set(value, [sample]);
      else same.push(sample);
    }
  return found;
}

type Named = ReturnType<typeof byName>;

/**
 * A side's metrics without the family's prefix: `"a_total b_total"` is the sum of those that exist, `"a_total|b_total"`
 * the first that exists, `"a_total{direction=in}"` those with this label.
 */
interface SideRow extends Readonly<Partial<Record<CountName | "peers" | "queued", string>>> {
  readonly side: string;
  readonly label?: string;
  /** The side is absent without this metric. */
  readonly needs?: string;
}

const CLUSTER: readonly SideRow[] = [
  {
    side: "members",
    peers: "members",
    in: "packets_received_total",
    out: "packets_sent_total",
    inBytes: "bytes_received_total",
    outBytes: "bytes_sent_total",
    dropped: "dropped_total",
  },
  { side: "suspects", peers: "suspects", refused: "suspicions_total" },
  { side: "stopped", peers: "gone" },
  {
    side: "messages",
    needs: "published_total",
    in: "topic_received_total direct_received_total",
    out: "published_total direct_sent_total",
    dropped: "copies_dropped_total deliveries_dropped_total",
    refused: "items_refused_total",
  },
  {
    side: "sent to members",
    needs: "member_messages_sent_total",
    in: "member_messages_received_total",
    out: "member_messages_sent_total",
    queued: "queries_pending",
    dropped: "member_messages_failed_total member_messages_not_joined_total member_messages_unhandled_total",
    refused: "member_messages_refused_total",
  },
];

const SIDES: Readonly<Partial<Record<MetricsFamily, readonly SideRow[]>>> = {
  proxy: [
    ...["frontend", "backend"].map((side) => ({
      side,
      label: `side=${side}`,
      peers: "peers",
      in: "messages_total{direction=in}",
      out: "messages_total{direction=out}",
      inBytes: "bytes_total{direction=in}",
      outBytes: "bytes_total{direction=out}",
      queued: "queued_messages",
      dropped: "dropped_total",
      refused: "refused_total handshake_errors_total",
    })),
    {
      side: "capture",
      needs: "captured_total",
      peers: "capture_peers",
      out: "captured_total",
      queued: "capture_queued_messages",
      dropped: "capture_missed_total",
    },
  ],
  majordomo: [
    {
      side: "clients",
      peers: "clients",
      in: "requests_total",
      out: "answered_total",
      queued: "queued_requests",
      dropped: "failed_total abandoned_total replies_dropped_total",
    },
    { side: "workers", peers: "workers", queued: "in_flight_requests" },
  ],
  pirate: [
    {
      side: "clients",
      in: "requests_total",
      out: "replies_total",
      queued: "queued_requests",
      dropped: "dropped_total",
    },
    { side: "workers", peers: "idle_workers busy_workers", queued: "busy_workers" },
  ],
  lvc: [
    {
      side: "topics",
      in: "messages_total",
      queued: "snapshots_waiting",
      dropped: "evicted_total uncached_total",
      refused: "invalid_total",
    },
  ],
  cluster: CLUSTER,
  "cluster-namespace": CLUSTER,
  connections: [{ side: "addresses", peers: "connected", queued: "connecting broken" }],
  "discovery-server": [
    {
      side: "clients",
      peers: "callers",
      in: "requests_total",
      out: "updates_total",
      dropped: "missed_total",
      refused: "refused_total invalid_total",
    },
  ],
  "discovery-client": [{ side: "server", peers: "connected", in: "updates_total", out: "attempts_total" }],
  clone: [
    {
      side: "clients",
      in: "received_total",
      out: "published_total",
      queued: "in_flight snapshots_waiting",
      dropped: "snapshots_lost_total",
      refused: "refused_total faults_total",
    },
  ],
};

/** Sides of any other family: received and returned messages. */
const ANY_DRIVER: readonly SideRow[] = [
  {
    side: "all",
    peers: "peers",
    in: "received_total|requests_total|requests_local_total|passed_total|stored_total|states_received_total",
    out: "answered_total|replies_total|replied_total|replies_local_total|delivered_total|handled_total|published_total|applied_total|states_sent_total",
    queued: "queued_requests queued_messages pending_requests",
    dropped: "dropped_total lost_total failed_total",
    refused: "invalid_total faults_total",
  },
];

/** `undefined` without samples. */
type Sum = (metric: string) => number | undefined;

/** States that are no metric's label. */
const STATES: Readonly<Partial<Record<MetricsFamily, (sum: Sum) => string>>> = {
  cluster: clusterState,
  "cluster-namespace": clusterState,
  connections: (sum) => ((sum("broken") ?? 0) > 0 ? `${sum("broken")} broken` : "running"),
  "discovery-client": (sum) => (sum("connected") === 0 ? "not connected" : "running"),
  clone: (sum) => (sum("serving") === 0 ? "standby" : "serving"),
};

/** The minority score is 0 while the node trusts its view. */
function clusterState(sum: Sum): string {
  if (sum("minority") === 1) return "minority";
  return (sum("health_score") ?? 0) > 0 ? `health ${sum("health_score")}` : "running";
}

/** Faults of connections and sockets in a node's `dropped`, which lose no packet or message. */
const FAULTS: ReadonlySet<string | undefined> = new Set([
  "link:accept",
  "link:address",
  "link:evicted",
  "link:failed",
  "link:handshake",
  "link:lost",
  "link:outside",
  "link:refused",
  "messages:listen",
  "group",
  "keys",
  "registry",
  "socket",
]);

function sourceOf(name: string, kind: MetricsKind, named: Named): SourceReading {
  const family = familyOf(kind);
  const rows = SIDES[family] ?? ANY_DRIVER;
  const samplesOf = (metric: string, ...labels: readonly string[]): readonly Sample[] => {
    const wanted = [[FAMILIES[family].label, name], ...labels.map((each) => each.split("="))];
    const samples = named.get(`shoal_${family.replaceAll("-", "_")}_${metric}`) ?? [];
    const isFault = ({ reason }: Sample["labels"]): boolean =>
      rows === CLUSTER && metric === "dropped_total" && FAULTS.has(reason);
    return samples.filter(
      ({ labels: given }) =>
        wanted.every(([label, value]) => given[label as string] === value) && !isFault(given),
    );
  };
  const sumOf = (metric: string, ...labels: readonly string[]): number | undefined => {
    const [, bare = "", own] = /^(\w+)(?:\{(.*)\})?$/.exec(metric) ?? [];
    const samples = samplesOf(bare, ...labels, ...(own === undefined ? [] : [own]));
    return samples.length === 0 ? undefined : samples.reduce((total, { value }) => total + value, 0);
  };
  const sides = rows.flatMap(({ side, label, needs, ...columns }): SideReading[] => {
    if (needs !== undefined && sumOf(needs) === undefined) return [];
    const labels = label === undefined ? [] : [label];
    const valueIn = (metrics: string): number | undefined =>
      metrics
        .split("|")
        .map((each) => plus(...each.split(" ").map((metric) => sumOf(metric, ...labels))))
        .find((value) => value !== undefined);
    const values = Object.entries(columns).map(([column, metrics]) => [column, valueIn(metrics)]);
    const refusals = (columns.refused ?? "")
      .split(" ")
      .flatMap((metric) => samplesOf(metric, ...labels))
      .map(({ labels: { reason = "" }, value }) => [reason, value] as const)
      .filter(([reason, value]) => Object.hasOwn(REFUSALS, reason) && value > 0);
    return [
      {
        side,
        ...defined(Object.fromEntries(values)),
        ...(refusals.length === 0 ? {} : { refusals: Object.fromEntries(refusals) }),
      },
    ];
  });
  const state = samplesOf("state").find(({ value }) => value === 1)?.labels.state;
  const up = named.get(UP.name)?.[0];
  return {
    name,
    kind,
    state:
      up?.value === 0
        ? "not read"
        : (STATES[family]?.(sumOf) ?? state ?? (family === "proxy" ? "unknown" : "running")),
    sides,
  };
}

function processOf(named: Named): ProcessReading {
  const value = (name: string): number | undefined => named.get(name)?.[0]?.value;
  const lag = value(PROCESS.lag);
  const least = value(PROCESS.least);
  return defined({
    cpu: value(PROCESS.cpu),
    memory: value(PROCESS.memory),
    version: named.get(BUILD.name)?.[0]?.labels.version,
    started: value(PROCESS.started),
    loopDelay: lag === undefined || least === undefined ? undefined : Math.max(0, lag - least),
  });
}

function plus(...numbers: readonly (number | undefined)[]): number | undefined {
  const given = numbers.filter((number) => number !== undefined);
  return given.length === 0 ? undefined : given.reduce((total, number) => total + number, 0);
}

export function rated(before: TimedReading | undefined, now: TimedReading): RatedReading {
  const seconds = before === undefined ? 0 : (now.at - before.at) / 1_000;
  const cpu = rate(before?.reading.process.cpu, now.reading.process.cpu, seconds);
  return {
    sources: now.reading.sources.map((source) => ({
      ...source,
      sides: source.sides.map((side) => {
        const last = before === undefined ? undefined : sideOf(before.reading, source, side);
        const refusing = refusingOf(last, side, seconds * 1_000);
        return {
          ...side,
          rates: ratesOf(last, side, seconds),
          ...(refusing.length === 0 ? {} : { refusing: Object.fromEntries(refusing) }),
        };
      }),
    })),
    ...defined({ ...now.reading.process, cpu }),
  };
}

/**
 * Per second. A counter that decreased restarted at 0, so all of it is new.
 *
 * @returns `undefined` for an unknown value, or no time
 */
export function rate(
  before: number | undefined,
  now: number | undefined,
  seconds: number,
): number | undefined {
  if (before === undefined || now === undefined || !(seconds > 0)) return undefined;
  return (now < before ? now : now - before) / seconds;
}

function ratesOf(before: SideReading | undefined, now: SideReading, seconds: number): Counts {
  const rates: Partial<Record<CountName, number>> = {};
  for (const count of COUNTS) {
    const each = rate(before?.[count], now[count], seconds);
    if (each !== undefined) rates[count] = each;
  }
  return rates;
}

/** A refused peer tries again after a growing pause, so a refusal is remembered. @param elapsed ms */
function refusingOf(before: SideReading | undefined, now: SideReading, elapsed: number): [string, number][] {
  if (before === undefined) return [];
  return Object.entries(now.refusals ?? {}).flatMap(([reason, count]): [string, number][] => {
    const isNew = count > (before.refusals?.[reason] ?? 0);
    const ago = isNew ? 0 : (before.refusing?.[reason] ?? REFUSING_TIME) + elapsed;
    return ago < REFUSING_TIME ? [[reason, ago]] : [];
  });
}

function sideOf(
  { sources }: Reading,
  { name, kind }: SourceReading,
  { side }: SideReading,
): SideReading | undefined {
  const source = sources.find((each) => each.name === name && each.kind === kind);
  return source?.sides.find((each) => each.side === side);
}
