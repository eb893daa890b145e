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
import type { IncomingMessage, ServerResponse } from "node:http";
import type * as PromClient from "prom-client";
import { checkKeys, describe, thrownText } from "../core/arguments.js";
import { boundedServer, parseListenAddress, serveAt, shut } from "../core/http-server.js";
import { thisProcess } from "../core/packages.js";
import { Once } from "../core/waiter.js";
import { peerViews, socketsOf } from "../sockets/internal.js";
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
 * Serves `/metrics` (Prometheus's text), `/healthz` (200 while the event loop runs) and `/readyz` (200 when every
 * source is ready, else 503: a disconnected client, an unbound server, a draining or closed driver).
 *
 *   const server = await serveMetrics("127.0.0.1:9464", { orders: broker, cache });
 *
 * @param address HOST:PORT; `*:9464` is every address of the machine, port 0 a free one
 * @throws InvalidArgumentError `EINVAL` for another address, an invalid option, or anything but drivers and sources
 * @throws TransportError `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL` and others, with the address as endpoint
 */
export async function serveMetrics(
  address: string,
  sources: MetricsSources,
  options: ServeMetricsOptions = {},
): Promise<MetricsServer> {
  checkKeys("serveMetrics", options, ["peers"]);
  return startPages(address, sources, undefined, options);
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
  { peers = false }: ServeMetricsOptions = {},
): Promise<MetricsServer> {
  const listening = parseListenAddress("Metrics", address);
  if (typeof sources !== "function") namedSources(sources); // Throws for anything but sources.
  const { contentType } = processRegistry(await import("prom-client"));
  const reader = new StatsReader();
  const readiness = new StatsReader<string | undefined>();
  const ended = new AbortController();
  /** Shared by requests that arrive meanwhile. */
  let writing: Promise<string> | undefined;
  const whyUnready = ({ name, given, unready: stats }: NamedSource): Promise<string | undefined> =>
    readiness
      .read({ name, given, stats }, STATS_TIME, ended.signal)
      .catch((error: unknown) => oneLine(`not read: ${thrownText(error)}`));
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const [path, query] = (request.url ?? "").split("?", 2);
    switch (path) {
      case "/metrics": {
        writing ??= metricsOf(sources, reader, ended.signal).finally(() => {
          writing = undefined;
        });
        reply(response, 200, await writing, contentType);
        return;
      }
      case "/healthz":
        reply(response, 200, "ok\n");
        return;
      case "/readyz": {
        const reasons = namedSources(sources).map(
          async (source) => [source.name, unready() ?? (await whyUnready(source))] as const,
        );
        const { ready, text } = readinessOf(await Promise.all(reasons));
        reply(response, ready ? 200 : 503, text);
        return;
      }
      case "/peers": {
        if (!peers) {
          reply(response, 404, "peers are off: set the option peers of serveMetrics\n");
          return;
        }
        const found = peersOf(sources, new URLSearchParams(query));
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
  };
  const server = boundedServer((request, response) => {
    void answer(request, response).catch((error: unknown) => {
      reply(response, 500, `the sources cannot be read: ${thrownText(error)}\n`);
    });
  }).on("close", () => ended.abort()); // A silent source does not hold the process.
  const url = await serveAt(server, "Metrics", address, listening);
  const closing = new Once<void>();
  return { url, close: () => closing.call(() => shut(server)) };
}

/** All lists with their lengths, or one list. */
function peersOf(given: MetricsSources, query: URLSearchParams): object | undefined {
  const sources = typeof given === "function" ? given() : given;
  const name = query.get("source");
  if (name !== null) {
    if (!Object.hasOwn(sources, name)) return undefined;
    const sockets = socketsOf(sources[name]);
    const list = query.get("list") ?? "";
    const socket = Object.hasOwn(sockets, list) ? sockets[list] : undefined;
    return socket && { peers: peerViews(socket) };
  }
  const lengths = Object.entries(sources).map(([each, source]) => [
    each,
    Object.fromEntries(
      Object.entries(socketsOf(source)).map(([list, socket]) => [list, socket.stats().peers ?? 0]),
    ),
  ]);
  return { sources: Object.fromEntries(lengths) };
}

async function metricsOf(sources: MetricsSources, reader: StatsReader, signal: AbortSignal): Promise<string> {
  const failures: string[] = [];
  const samples = namedSources(sources).map(async (source) => {
    try {
      const stats: unknown = await reader.read(source, STATS_TIME, signal);
      if (typeof stats !== "object" || stats === null)
        throw new TypeError(`statistics must be an object; got ${describe(stats)}`);
      return samplesOf({ name: source.name, kind: source.kind, stats });
    } catch (error) {
      failures.push(`# ${oneLine(`${source.name}: not read: ${thrownText(error)}`)}\n`);
      return samplesOf({ name: source.name, kind: source.kind, stats: undefined });
    }
  });
  const text = await expositionOf((await Promise.all(samples)).flat());
  return `${failures.join("")}${text}`;
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
export async function expositionOf(samples: readonly Sample[]): Promise<string> {
  const client = await import("prom-client");
  // A new one each time forgets removed sources.
  const registry = new client.Registry();
  const named = byName(samples);
  const add = ({ name, help, type }: Omit<Metric, "path">, labels: readonly string[]): void => {
    const found = named.get(name);
    if (found === undefined) return;
    const options = { name, help, labelNames: [...labels], registers: [registry] };
    const metric = type === "counter" ? new client.Counter(options) : new client.Gauge(options);
    for (const sample of found) metric.inc(sample.labels, sample.value);
  };
  for (const metric of [INFO, UP]) add(metric, metric.labels);
  for (const [family, { metrics }] of Object.entries(FAMILIES))
    for (const metric of metrics) add(metric, labelsOf(family as MetricsFamily, metric));
  return `${await registry.metrics()}\n${await processRegistry(client).metrics()}`;
}

function processRegistry(client: typeof PromClient): PromClient.Registry {
  if (ofProcess !== undefined) return ofProcess;
  const registry = new client.Registry();
  ofProcess = registry;
  client.collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOP_RESOLUTION });
  for (const name of UNSAFE) registry.removeSingleMetric(name);
  const { version } = thisProcess();
  const { name, help, labels } = BUILD;
  new client.Gauge({ name, help, labelNames: [...labels], registers: [registry] }).set({ version }, 1);
  return registry;
}
