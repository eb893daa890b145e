/** Metrics and health over HTTP: the front door. What it needs is loaded when it is opened. */
import type { MetricsKind } from "./metrics-table.js";

/** Something that runs and counts: a proxy, a broker. */
export interface MetricsSource {
  /** Its name among those of its process: the label `proxy`, `broker`, … */
  readonly name: string;
  /** What its accounts are like: `queue`, `forwarder`, `streamer` and `proxy` are those of a `SocketProxy`. */
  readonly kind: MetricsKind;
  /** Its accounts at this moment. */
  stats(): object;
  /** Why it is not to be given work now; `undefined` when it is. Default: what the `state` in its accounts says. */
  unready?(): string | undefined;
}

/** What serves metrics. */
export interface MetricsServer {
  /** Where, as `http://127.0.0.1:9464`. */
  readonly url: string;
  /** Ends it; responses under way have a second. Closing twice is closing once. */
  close(): Promise<void>;
}

/**
 * Serves `/metrics` (Prometheus's text), `/healthz` (200 as long as the event loop turns) and `/readyz` (200 when
 * everything runs, 503 before that, while it drains, and after). Loads the package `prom-client`.
 *
 *   const server = await serveMetrics("127.0.0.1:9464", () => [
 *     { name: "orders", kind: "queue", stats: () => proxy.stats() },
 *   ]);
 *
 * @param address HOST:PORT; `*:9464` is every address of the machine, port 0 one that is free
 * @param sources what runs at the time of a scrape; names should differ
 * @throws InvalidArgumentError `EINVAL` for what is no HOST:PORT
 * @throws TransportError `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL` and others, with the address as endpoint
 */
export async function serveMetrics(
  address: string,
  sources: () => readonly MetricsSource[],
): Promise<MetricsServer> {
  const { startPages } = await import("./pages.js");
  return startPages(address, sources);
}
