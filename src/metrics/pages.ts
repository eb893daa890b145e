/**
 * HTTP pages for metrics and health.
 *
 *   GET /metrics   200  Prometheus's text
 *   GET /healthz   200  while the event loop runs
 *   GET /readyz    200  every source is ready; 503 before, while it drains, and after
 *   GET /peers     200  lists of peers as JSON, if enabled; ?source=NAME&list=NAME: those peers
 *
 * Only this file loads prom-client.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type * as PromClient from "prom-client";
import { describe, thrownText } from "../core/arguments.js";
import { boundedServer, parseListenAddress, serveAt, shut } from "../core/http-server.js";
import { thisProcess } from "../core/packages.js";
import { Once } from "../core/waiter.js";
import { peerListsOf } from "../sockets/internal.js";
import { BUILD, FAMILIES, INFO, labelsOf, type Metric, type MetricsFamily, UP } from "./metrics-table.js";
import {
  byName,
  type MetricsSources,
  type NamedSource,
  namedSources,
  readinessOf,
  type Sample,
  STATS_TIME,
  StatsReader,
  samplesOf,
} from "./sources.js";

/** ms between samples of the event loop's delay. */
const LOOP_RESOLUTION = 20;

/** Read by undocumented calls, with which Node.js 20 may end the process; `nodejs_active_resources` has the same counts. */
const UNSAFE = ["handles", "requests"].flatMap((what) => [
  `nodejs_active_${what}`,
  `nodejs_active_${what}_total`,
]);

export interface MetricsServer {
  /** Address, such as `http://127.0.0.1:9464`. */
  readonly url: string;
  /** Responses in flight have one second. A second call joins the first. */
  close(): Promise<void>;
}

export interface ServeMetricsOptions {
  /**
   * `/peers` lists peers of proxies and brokers for `shoal dashboard`: routing ids, addresses, socket types and queued
   * messages, up to 10,000 per socket. Default `false`, since readers of metrics may have no right to see peers.
   */
  readonly peers?: boolean;
}

/**
 * @param more enables /peers
 * @param unready why the process is not ready, apart from its sources
 * @throws as `serveMetrics`
 */
export async function startPages(
  address: string,
  sources: MetricsSources,
  unready: () => string | undefined = () => undefined,
  more: ServeMetricsOptions = {},
): Promise<MetricsServer> {
  const listening = parseListenAddress("Metrics", address);
  if (typeof sources !== "function") namedSources(sources); // Throws for anything but sources.
  const pages = new Pages(await Exposition.load(), sources, unready, more);
  const server = boundedServer(pages.answer).on("close", pages.end);
  const url = await serveAt(server, "Metrics", address, listening);
  const closing = new Once<void>();
  return { url, close: () => closing.call(() => shut(server)) };
}

class Pages {
  readonly #exposition: Exposition;
  readonly #sources: MetricsSources;
  readonly #unready: () => string | undefined;
  readonly #more: ServeMetricsOptions;
  readonly #reader = new StatsReader();
  readonly #readiness = new StatsReader<string | undefined>();
  readonly #ended = new AbortController();
  /** Shared by requests that arrive meanwhile. */
  #writing: Promise<string> | undefined;

  constructor(
    exposition: Exposition,
    sources: MetricsSources,
    unready: () => string | undefined,
    more: ServeMetricsOptions,
  ) {
    this.#more = more;
    this.#exposition = exposition;
    this.#sources = sources;
    this.#unready = unready;
  }

  /** A silent source does not hold the process. */
  readonly end = (): void => this.#ended.abort();

  readonly answer: RequestListener = (request, response) => {
    void this.#answer(request, response).catch((error: unknown) => {
      reply(response, 500, `the sources cannot be read: ${thrownText(error)}\n`);
    });
  };

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path, query] = (request.url ?? "").split("?", 2);
    switch (path) {
      case "/metrics": {
        this.#writing ??= this.#write().finally(() => {
          this.#writing = undefined;
        });
        reply(response, 200, await this.#writing, this.#exposition.contentType);
        return;
      }
      case "/healthz":
        reply(response, 200, "ok\n");
        return;
      case "/readyz": {
        const sources = namedSources(this.#sources);
        const { ready, text } = readinessOf(
          await Promise.all(
            sources.map(
              async (source) => [source.name, this.#unready() ?? (await this.#whyUnready(source))] as const,
            ),
          ),
        );
        reply(response, ready ? 200 : 503, text);
        return;
      }
      case "/peers": {
        if (this.#more.peers !== true) {
          reply(response, 404, "peers are off: set the option peers of serveMetrics\n");
          return;
        }
        const found = this.#peers(new URLSearchParams(query));
        if (found === undefined) reply(response, 404, "unknown list\n");
        else reply(response, 200, JSON.stringify(found), "application/json; charset=utf-8");
        return;
      }
      case "/":
        reply(response, 200, "/metrics\n/healthz\n/readyz\n");
        return;
      default:
        reply(response, 404, "unknown path: the pages are /metrics, /healthz and /readyz\n");
    }
  }

  #whyUnready({ name, given, unready }: NamedSource): Promise<string | undefined> {
    return this.#readiness
      .read({ name, given, stats: unready }, STATS_TIME, this.#ended.signal)
      .catch((error: unknown) => oneLine(`not read: ${thrownText(error)}`));
  }

  /** All lists with their lengths, or one list. */
  #peers(query: URLSearchParams): object | undefined {
    const sources = typeof this.#sources === "function" ? this.#sources() : this.#sources;
    const name = query.get("source");
    if (name !== null) {
      if (!Object.hasOwn(sources, name)) return undefined;
      const lists = peerListsOf(sources[name]);
      const list = query.get("list") ?? "";
      return Object.hasOwn(lists, list) ? { peers: lists[list]?.items() } : undefined;
    }
    const lengths = Object.entries(sources).map(([each, source]) => [
      each,
      Object.fromEntries(Object.entries(peerListsOf(source)).map(([list, { length }]) => [list, length])),
    ]);
    return { sources: Object.fromEntries(lengths) };
  }

  async #write(): Promise<string> {
    const failures: string[] = [];
    const samples = namedSources(this.#sources).map(async (source) => {
      try {
        const stats: unknown = await this.#reader.read(source, STATS_TIME, this.#ended.signal);
        if (typeof stats !== "object" || stats === null)
          throw new TypeError(`statistics must be an object; got ${describe(stats)}`);
        return samplesOf({ name: source.name, kind: source.kind, stats });
      } catch (error) {
        failures.push(`# ${oneLine(`${source.name}: not read: ${thrownText(error)}`)}\n`);
        return samplesOf({ name: source.name, kind: source.kind, stats: undefined });
      }
    });
    const text = await this.#exposition.text((await Promise.all(samples)).flat());
    return `${failures.join("")}${text}`;
  }
}

/** A line break would end a comment or a source's line. */
function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ");
}

function reply(
  response: ServerResponse,
  status: number,
  text: string,
  type = "text/plain; charset=utf-8",
): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, {
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(text),
    "Cache-Control": "no-store",
    "Shoal-Process": thisProcess().instance,
    "X-Content-Type-Options": "nosniff",
  });
  response.end(text); // node:http leaves out the body for HEAD.
}

/** Its observers cannot be removed. */
let ofProcess: PromClient.Registry | undefined;

/** Samples of sources and process as Prometheus's text. */
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
  async text(samples: readonly Sample[]): Promise<string> {
    const registry = new this.#client.Registry();
    const named = byName(samples);
    for (const metric of [INFO, UP]) this.#add(registry, metric, metric.labels, named);
    for (const [family, { metrics }] of Object.entries(FAMILIES))
      for (const metric of metrics)
        this.#add(registry, metric, labelsOf(family as MetricsFamily, metric), named);
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
