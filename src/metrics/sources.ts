/** Served drivers and custom sources by name, and their statistics as samples. */
import { invalidArgument, suggest } from "../core/arguments.js";
import { InvalidArgumentError, TimeoutError } from "../core/errors.js";
import { waitFor } from "../core/waiter.js";
import {
  FAMILIES,
  familyOf,
  INFO,
  KINDS,
  kindOfDriver,
  LABEL_VALUES,
  type Metric,
  type MetricsKind,
  UP,
} from "./metrics-table.js";

/** ms for statistics; shorter than timeouts of HTTP clients and OpenTelemetry exports. */
export const STATS_TIME = 5_000;
/** ms for a client that has to connect, to see whether a server is there. */
const CONNECT_TIME = 500;
/** There are about a dozen reasons. */
const MAX_LABEL_VALUES = 64;

/** A client, server, worker, broker or proxy. */
export interface MetricsDriver {
  stats(): object | Promise<object>;
}

/** A custom source with a driver's statistics. */
export interface MetricsSource {
  /** `queue`, `forwarder`, `streamer` and `proxy` have the statistics of a `SocketProxy`. */
  readonly kind: MetricsKind;
  stats(): object | Promise<object>;
  /** Why the source is not ready, if so. Default: by `state` of its statistics. */
  unready?(): string | undefined | Promise<string | undefined>;
}

/** The name becomes the label `proxy`, `broker`, `client` … of the metrics. */
export type MetricsSourcesByName = Readonly<Record<string, MetricsDriver | MetricsSource>>;

/** A function is called per request, so sources may come and go. */
export type MetricsSources = MetricsSourcesByName | (() => MetricsSourcesByName);

export interface NamedSource {
  readonly name: string;
  readonly kind: MetricsKind;
  readonly given: object;
  stats(): object | Promise<object>;
  /** `undefined` when ready. */
  unready(): string | undefined | Promise<string | undefined>;
}

interface KnownDriver extends MetricsDriver {
  readonly driverName?: string;
  readonly closed?: boolean;
  readonly draining?: boolean;
  readonly endpoints?: unknown;
  readonly endpoint?: unknown;
  readonly lastEndpoint?: unknown;
  ready?(options: { readonly timeout: number }): Promise<void>;
}

/** @throws InvalidArgumentError `EINVAL` for anything but a driver or a source, with its name */
export function namedSources(sources: MetricsSources): readonly NamedSource[] {
  const byName = typeof sources === "function" ? sources() : sources;
  if (typeof byName !== "object" || byName === null)
    throw invalidArgument("Metrics sources must be an object by name", byName);
  return Object.entries(byName).map(([name, given]) => namedSource(name, given));
}

function namedSource(name: string, given: MetricsDriver | MetricsSource): NamedSource {
  const known = given as KnownDriver & Partial<MetricsSource>;
  if (typeof given !== "object" || given === null || typeof given.stats !== "function")
    throw new InvalidArgumentError(
      `Metrics source ${name}: expected a driver, or an object with kind and stats()`,
    );
  const { driverName } = known;
  const kind = driverName === undefined ? known.kind : kindOfDriver(driverName);
  if (kind === undefined || !KINDS.includes(kind))
    throw new InvalidArgumentError(
      driverName === undefined
        ? `Metrics source ${name}: unknown kind ${String(kind)}${suggest(kind, KINDS)}`
        : `Metrics source ${name}: ${driverName} has no metrics`,
    );
  return {
    name,
    kind,
    given,
    stats: () => given.stats(),
    unready: async () => {
      if (driverName !== undefined) return unreadyDriver(known, kind);
      return known.unready === undefined ? unreadiness(await given.stats()) : known.unready();
    },
  };
}

/** A custom source's answer may never come. */
export class StatsReader<T = object> {
  /** A source is called again only after its answer. */
  readonly #asked = new Map<string, { readonly given: object; readonly read: Promise<T> }>();

  /**
   * Concurrent reads share one call.
   *
   * @param ms timeout @param signal ends the wait with the reader
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; errors of the source
   */
  async read(
    { name, given, stats }: Pick<NamedSource, "name" | "given"> & { stats(): T | Promise<T> },
    ms: number,
    signal?: AbortSignal,
  ): Promise<T> {
    const asked = this.#asked.get(name);
    if (asked?.given === given) return asked.read;
    const answer = Promise.resolve(stats()).finally(() => {
      if (this.#asked.get(name)?.given === given) this.#asked.delete(name);
    });
    const late = (): TimeoutError => new TimeoutError("ETIMEDOUT", "no answer in time");
    const read = waitFor(answer, { timeout: ms, signal }, late);
    this.#asked.set(name, { given, read });
    return read;
  }
}

/** Brokers have no state. */
export function unreadiness(stats: unknown): string | undefined {
  const state = (stats as { readonly state?: unknown } | null | undefined)?.state;
  if (typeof state !== "string") return undefined;
  return state === "running" || state === "paused" ? undefined : state;
}

/** The state of a driver that takes nothing new. */
export function endingOf({ closed, draining }: Pick<KnownDriver, "closed" | "draining">): string | undefined {
  if (closed === true) return "closed";
  return draining === true ? "draining" : undefined;
}

async function unreadyDriver(driver: KnownDriver, kind: MetricsKind): Promise<string | undefined> {
  const ending = endingOf(driver);
  if (ending !== undefined) return ending;
  const { ready } = FAMILIES[familyOf(kind)];
  if (ready === "bound") return isBound(driver) ? undefined : "not bound";
  if (ready === "open" || driver.ready === undefined) return undefined;
  return driver.ready({ timeout: CONNECT_TIME }).then(
    () => undefined,
    () => "not connected",
  );
}

function isBound({ endpoints, endpoint, lastEndpoint }: KnownDriver): boolean {
  if (typeof endpoints === "object" && endpoints !== null)
    return Object.values(endpoints).some(
      (each) => each !== null && each !== undefined && String(each) !== "",
    );
  const bound = endpoint === undefined ? lastEndpoint : endpoint;
  return bound !== null;
}

/** @param sources why each is not ready; empty: nothing is open yet @returns a text of one line per source */
export function readinessOf(sources: readonly (readonly [name: string, why: string | undefined])[]): {
  readonly ready: boolean;
  readonly text: string;
} {
  const ready = sources.length > 0 && sources.every(([, why]) => why === undefined);
  const lines = sources.map(([name, why]) => `${name}: ${why ?? "ready"}\n`);
  return { ready, text: lines.length === 0 ? "nothing is running yet\n" : lines.join("") };
}

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

type Labels = Readonly<Record<string, string>>;

/**
 * Samples in table order, without unknown values.
 *
 * @param source its `stats` are `undefined` if they could not be read @throws what a getter of the statistics throws
 */
export function samplesOf(
  source: Pick<NamedSource, "name" | "kind"> & { readonly stats: unknown },
): Sample[] {
  const { name, kind, stats } = source;
  const { label, metrics } = FAMILIES[familyOf(kind)];
  const samples: Sample[] = [
    { name: INFO.name, labels: { name, kind }, value: 1 },
    { name: UP.name, labels: { name, kind }, value: stats === undefined ? 0 : 1 },
  ];
  for (const metric of metrics) {
    walk(stats, metric.path.split("."), { [label]: name }, (value, labels) => {
      samples.push(...samplesFor(metric, value, labels));
    });
  }
  return samples;
}

export function byName(samples: readonly Sample[]): ReadonlyMap<string, readonly Sample[]> {
  const found = new Map<string, Sample[]>();
  for (const sample of samples) {
    const same = found.get(sample.name);
    if (same === undefined) found.set(sample.name, [sample]);
    else same.push(sample);
  }
  return found;
}

function walk(
  value: unknown,
  segments: readonly string[],
  labels: Labels,
  found: (value: unknown, labels: Labels) => void,
): void {
  const [segment, ...rest] = segments;
  if (segment === undefined) {
    found(value, labels);
    return;
  }
  if (typeof value !== "object" || value === null) return;
  const members = value as Readonly<Record<string, unknown>>;
  const label = /^\{(\w+)\}$/.exec(segment)?.[1];
  const names =
    label === undefined
      ? [segment]
      : (LABEL_VALUES[label] ?? Object.keys(members).slice(0, MAX_LABEL_VALUES));
  for (const name of names) {
    if (!Object.hasOwn(members, name)) continue;
    walk(members[name], rest, label === undefined ? labels : { ...labels, [label]: name }, found);
  }
}

function samplesFor({ name, type, states, inMs }: Metric, value: unknown, labels: Labels): readonly Sample[] {
  if (states !== undefined) {
    if (typeof value !== "string" || !states.includes(value)) return [];
    return states.map((state) => ({ name, labels: { ...labels, state }, value: state === value ? 1 : 0 }));
  }
  const number = typeof value === "boolean" ? Number(value) : value;
  if (typeof number !== "number" || !Number.isFinite(number)) return [];
  if (type === "counter" && number < 0) return []; // The registry would throw.
  return [{ name, labels, value: inMs === true ? number / 1_000 : number }];
}
