/**
 * Metrics, health and readiness of drivers and proxies over HTTP.
 *
 * @module
 */
export type { MetricsFamily, MetricsKind } from "./metrics-table.js";
export { type MetricsServer, type ServeMetricsOptions, serveMetrics } from "./pages.js";
export type { MetricsDriver, MetricsSource, MetricsSources, MetricsSourcesByName } from "./sources.js";
