/** What a program's spans and metrics are, kept in memory. */
import { context, propagation } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import * as metrics from "@opentelemetry/sdk-metrics";
import * as traces from "@opentelemetry/sdk-trace-base";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { type Instrumentation, instrument } from "../../../src/opentelemetry/index.js";

/** A point of a metric: its attributes and its value, or how many values a histogram has. */
export interface Point {
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly value: number;
}

export class Collector {
  readonly #spans = new traces.InMemorySpanExporter();
  readonly tracerProvider = new traces.BasicTracerProvider({
    spanProcessors: [new traces.SimpleSpanProcessor(this.#spans)],
  });
  readonly #metrics = new metrics.InMemoryMetricExporter(metrics.AggregationTemporality.CUMULATIVE);
  readonly #reader = new metrics.PeriodicExportingMetricReader({
    exporter: this.#metrics,
    exportIntervalMillis: 3_600_000,
  });
  readonly meterProvider = new metrics.MeterProvider({ readers: [this.#reader] });

  #instrumentation: Instrumentation | undefined = undefined;

  /** From now on all is reported to it. */
  on(options: Parameters<typeof instrument>[0]): void {
    this.off();
    const { tracerProvider, meterProvider } = this;
    this.#instrumentation = instrument({ tracerProvider, meterProvider, ...options });
  }

  off(): void {
    this.#instrumentation?.disable();
  }

  /** All that have ended, in the order of their ends. */
  get spans(): readonly traces.ReadableSpan[] {
    return this.#spans.getFinishedSpans();
  }

  /** The only one of a name. */
  span(name: string): traces.ReadableSpan {
    const [found, ...more] = this.spans.filter((span) => span.name === name);
    if (found === undefined || more.length > 0)
      throw new Error(
        `${more.length + (found ? 1 : 0)} spans are ${name}; there are ${this.spans.map((each) => each.name)}`,
      );
    return found;
  }

  async points(name: string): Promise<readonly Point[]> {
    this.#metrics.reset();
    await this.#reader.forceFlush();
    const last = this.#metrics.getMetrics().at(-1)?.scopeMetrics ?? [];
    const all = last.flatMap((scope) => scope.metrics);
    const found = all.find(({ descriptor }) => descriptor.name === name)?.dataPoints ?? [];
    return found.map(({ attributes, value }) => ({
      attributes,
      value: typeof value === "number" ? value : (value as { count: number }).count,
    }));
  }

  async close(): Promise<void> {
    this.off();
    await this.tracerProvider.shutdown();
    await this.meterProvider.shutdown();
  }
}

/** Once for a file: each test has a collector, which is on, and the globals of the API. */
export function useCollector(
  take: (collector: Collector) => void,
  options: Parameters<typeof instrument>[0] = {},
): void {
  let collector: Collector;
  beforeAll(() => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  });
  beforeEach(() => {
    collector = new Collector();
    collector.on(options);
    take(collector);
  });
  afterEach(() => collector.close());
  afterAll(() => {
    context.disable();
    propagation.disable();
  });
}
