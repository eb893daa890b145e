/**
 * Rows of statistics. A row has a member of a driver's `stats()`: the type of its value, and its metric.
 *
 *   export const GATE = {
 *     received: counter("Received requests."),
 *     dropped: byReason<"refused" | "overflow">("Dropped requests."),
 *     peer: unexported<string | undefined>(),
 *   };
 *   export type GateStats = StatisticsOf<typeof GATE>;
 *
 * Drivers import only the types, so they do not load the rows; src/metrics does. A row has a docstring if its help is
 * not enough. Names and units of metrics follow Prometheus: base units, `_total` for counters.
 */

declare const VALUE: unique symbol;

/** A metric without its family's prefix. */
export interface MetricRow {
  readonly type: "counter" | "gauge";
  readonly help: string;
  /** Default: the member's name, in snake case. */
  readonly name?: string | undefined;
  /** The value is an object: one sample per member, whose name is the label's value. */
  readonly label?: string;
  /** One sample each, 1 for the current state. */
  readonly states?: readonly string[];
  /** Exported in seconds. */
  readonly inMs?: true;
}

/** @typeParam T of the value. With neither a metric nor rows, it is not exported. */
export interface Row<T = unknown> {
  readonly metric?: MetricRow;
  /** Of a group. */
  readonly rows?: Rows;
  readonly [VALUE]?: T;
}

export type Rows = Readonly<Record<string, Row>>;

type ValueOf<Cell> = Cell extends Row<infer T> ? T : never;

/** The statistics of a table, whose keys are their members. */
export type StatisticsOf<Table extends Rows> = { readonly [K in keyof Table]: ValueOf<Table[K]> };

export function counter(help: string, name?: string): Row<number> {
  return { metric: { type: "counter", help, name } };
}

export function gauge(help: string, name?: string): Row<number> {
  return { metric: { type: "gauge", help, name } };
}

/** No sample if the value is unknown. */
export function optionalGauge(help: string, name?: string): Row<number | undefined> {
  return gauge(help, name);
}

/** A gauge that is 0 or 1. */
export function flag(help: string, name?: string): Row<boolean> {
  return { metric: { type: "gauge", help, name } };
}

/** A duration, in ms in the statistics. */
export function milliseconds(help: string, name: string): Row<number> {
  return { metric: { type: "gauge", help, name: `${name}_seconds`, inMs: true } };
}

export function states<State extends string>(help: string, values: readonly State[]): Row<State> {
  return { metric: { type: "gauge", help, states: values } };
}

/** Counters by reason. */
export function byReason<Reason extends string = string>(
  help: string,
  name?: string,
): Row<Readonly<Record<Reason, number>>> {
  return { metric: { type: "counter", help, name, label: "reason" } };
}

/** Gauges by a label. */
export function gauges<Key extends string = string>(
  label: string,
  help: string,
  name: string,
): Row<Readonly<Record<Key, number>>> {
  return { metric: { type: "gauge", help, name, label } };
}

/** Nested statistics: {@link StatisticsOf}, without its name in declarations. */
export function group<Table extends Rows>(
  rows: Table,
): Row<{ readonly [K in keyof Table]: ValueOf<Table[K]> }> {
  return { rows };
}

/** A {@link group} that may be absent. */
export function optionalGroup<Table extends Rows>(
  rows: Table,
): Row<{ readonly [K in keyof Table]: ValueOf<Table[K]> } | undefined> {
  return { rows };
}

export function unexported<T>(): Row<T> {
  return {};
}
