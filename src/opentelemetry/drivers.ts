/** Exports statistics of drivers and proxies as OpenTelemetry metrics, by the table of docs/metrics.md. */
import {
  type BatchObservableResult,
  diag,
  type MeterProvider,
  metrics,
  type Observable,
} from "@opentelemetry/api";
import { checkKeys } from "../core/arguments.js";
import { FAMILIES, familyOf } from "../metrics/metrics-table.js";
import { type MetricsSources, namedSources, STATS_TIME, StatsReader, samplesOf } from "../metrics/sources.js";

export interface ObserveOptions {
  /** Default: the global provider. */
  readonly meterProvider?: MeterProvider;
}

export interface Observation extends Disposable {
  /** Further calls do nothing. */
  stop(): void;
}

/**
 * Exports statistics of drivers (clients, brokers, workers, cluster nodes) and proxies at each collection, under the
 * names of `serveMetrics` without `_total`, with the driver's name and kind as attributes.
 *
 * @param sources drivers by name; a function is called once for the instruments, and at each collection
 * @throws InvalidArgumentError `EINVAL` for a source without metrics, or an invalid option
 */
export function observeDrivers(sources: MetricsSources, options: ObserveOptions = {}): Observation {
  checkKeys("observeDrivers", options, ["meterProvider"]);
  const meter = (options.meterProvider ?? metrics.getMeterProvider()).getMeter("shoal");
  const instruments = new Map<string, Observable>();
  for (const family of new Set(namedSources(sources).map(({ kind }) => familyOf(kind))))
    for (const metric of FAMILIES[family].metrics) {
      const name = metric.name.replace(/_total$/, "");
      const create = metric.type === "counter" ? "createObservableCounter" : "createObservableGauge";
      instruments.set(metric.name, meter[create](name, { description: metric.help }));
    }
  const reader = new StatsReader();
  const observe = async (result: BatchObservableResult): Promise<void> => {
    // A silent or failed source does not hide others.
    await Promise.all(
      namedSources(sources).map(async (source) => {
        try {
          const stats = await reader.read(source, STATS_TIME);
          for (const { name, labels, value } of samplesOf({ name: source.name, kind: source.kind, stats })) {
            const instrument = instruments.get(name);
            if (instrument !== undefined) result.observe(instrument, value, labels);
          }
        } catch (error) {
          diag.error(`shoal: the statistics of ${source.name} could not be read`, error);
        }
      }),
    );
  };
  const observed = [...instruments.values()];
  if (observed.length > 0) meter.addBatchObservableCallback(observe, observed);
  const stop = (): void => {
    if (observed.length > 0) meter.removeBatchObservableCallback(observe, observed);
  };
  return { stop, [Symbol.dispose]: stop };
}
