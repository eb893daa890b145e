/** Metrics and health over HTTP: the public function. What it needs is loaded when it is called. */
import { checkKeys } from "../core/arguments.js";
import type { MetricsServer } from "./pages.js";
import type { MetricsSources } from "./sources.js";

/** Options of {@link serveMetrics}. */
export interface ServeMetricsOptions {
  /**
   * Whether `/traces` answers with the traces of sampled messages, for `shoal dashboard`: some 4 messages are sampled each second while
   * somebody asks. It has the names of topics and services. Default `false`.
   */
  readonly traces?: boolean;
  /**
   * Whether `/peers` answers with the peers of proxies and brokers, for `shoal dashboard`: their routing ids, addresses, socket types and what waits for
   * them; 10,000 of each socket at most. Default `false`, since not all readers of metrics are to know who is connected.
   */
  readonly peers?: boolean;
}

/**
 * Serves `/metrics` (Prometheus's text), `/healthz` (200 as long as the event loop turns) and `/readyz` (200 when every
 * source is ready, else 503: a client or worker that is not connected, a server that is not bound, a driver that drains
 * or is closed).
 *
 *   const server = await serveMetrics("127.0.0.1:9464", { orders: broker, cache });
 *
 * @param address HOST:PORT; `*:9464` is every address of the machine, port 0 one that is free
 * @throws InvalidArgumentError `EINVAL` for an address that is not HOST:PORT, an unknown option, and for what is not a driver or a source
 * @throws TransportError `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL` and others, with the address as endpoint
 */
export async function serveMetrics(
  address: string,
  sources: MetricsSources,
  options: ServeMetricsOptions = {},
): Promise<MetricsServer> {
  checkKeys("serveMetrics", options, ["traces", "peers"]);
  const { startPages } = await import("./pages.js");
  return startPages(address, sources, undefined, options);
}
