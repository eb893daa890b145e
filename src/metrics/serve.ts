import { checkKeys } from "../core/arguments.js";
import type { MetricsServer, ServeMetricsOptions } from "./pages.js";
import type { MetricsSources } from "./sources.js";

/**
 * Serves `/metrics` (Prometheus's text), `/healthz` (200 while the event loop runs) and `/readyz` (200 when every
 * source is ready, else 503: a disconnected client, an unbound server, a draining or closed driver). Loads its parts
 * when called.
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
  const { startPages } = await import("./pages.js");
  return startPages(address, sources, undefined, options);
}
