/** Converts statistics, perhaps of a remote program, to samples. Pure, and never throws. */
import {
  FAMILIES,
  familyOf,
  INFO,
  LABEL_VALUES,
  type Metric,
  type MetricsKind,
  UP,
} from "./metrics-table.js";

/** There are about a dozen reasons. */
const MAX_LABEL_VALUES = 64;

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface SourceStats {
  readonly name: string;
  readonly kind: MetricsKind;
  /** `undefined` if they could not be read. */
  readonly stats: unknown;
}

type Labels = Readonly<Record<string, string>>;

/** Samples in table order, without unknown values. */
export function samplesOf({ name, kind, stats }: SourceStats): Sample[] {
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
