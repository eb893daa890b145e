/** Samples of sources and process as Prometheus's text. Only this file loads prom-client. */
import type * as PromClient from "prom-client";
import { thisProcess } from "../core/built-file.js";
import { BUILD, FAMILIES, familyOf, INFO, labelsOf, type Metric, UP } from "./metrics-table.js";
import { byName, type SourceStats, samplesOf } from "./samples.js";

/** ms between samples of the event loop's delay. */
const LOOP_RESOLUTION = 20;

/** Read by undocumented calls, with which Node.js 20 may end the process; `nodejs_active_resources` has the same counts. */
const UNSAFE = ["handles", "requests"].flatMap((what) => [
  `nodejs_active_${what}`,
  `nodejs_active_${what}_total`,
]);

/** Its observers cannot be removed. */
let ofProcess: PromClient.Registry | undefined;

export class Exposition {
  readonly #client: typeof PromClient;
  readonly #process: PromClient.Registry;

  private constructor(client: typeof PromClient) {
    this.#client = client;
    ofProcess ??= processRegistry(client);
    this.#process = ofProcess;
  }

  static async load(): Promise<Exposition> {
    return new Exposition(await import("prom-client"));
  }

  get contentType(): string {
    return this.#process.contentType;
  }

  /** A new registry each time forgets removed sources. */
  async text(sources: readonly SourceStats[]): Promise<string> {
    const registry = new this.#client.Registry();
    const named = byName(sources.flatMap(samplesOf));
    for (const metric of [INFO, UP]) this.#add(registry, metric, metric.labels, named);
    for (const family of new Set(sources.map(({ kind }) => familyOf(kind))))
      for (const metric of FAMILIES[family].metrics)
        this.#add(registry, metric, labelsOf(family, metric), named);
    return `${await registry.metrics()}\n${await this.#process.metrics()}`;
  }

  #add(
    registry: PromClient.Registry,
    { name, help, type }: Omit<Metric, "path">,
    labels: readonly string[],
    named: ReturnType<typeof byName>,
  ): void {
    const samples = named.get(name);
    if (samples === undefined) return;
    const { Counter, Gauge } = this.#client;
    const metric = new (type === "counter" ? Counter : Gauge)({
      name,
      help,
      labelNames: [...labels],
      registers: [registry],
    });
    for (const sample of samples) metric.inc(sample.labels, sample.value);
  }
}

function processRegistry(client: typeof PromClient): PromClient.Registry {
  const registry = new client.Registry();
  client.collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOP_RESOLUTION });
  for (const name of UNSAFE) registry.removeSingleMetric(name);
  const { version } = thisProcess();
  const { name, help, labels } = BUILD;
  new client.Gauge({ name, help, labelNames: [...labels], registers: [registry] }).set({ version }, 1);
  return registry;
}
