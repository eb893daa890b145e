import type { DashboardSources } from "./local.js";
import type { DashboardOptions, DashboardServer } from "./server.js";

/**
 * Serves a page with live connections, rates, queues and drops of a program's sockets, drivers, proxies and cluster
 * nodes, read only while a client is connected. The page loads nothing from other servers.
 *
 *   const dashboard = await serveDashboard("127.0.0.1:9465", { orders: broker, feed: publisher });
 *
 * Anyone who reaches the address can read the page: use a local address, or an authenticating proxy.
 *
 * @param address HOST:PORT; `:9465` is 127.0.0.1, `*:9465` every address of the machine, port 0 a free one
 * @throws InvalidArgumentError `EINVAL` for another address, an invalid option, or anything but sockets, drivers and
 *   sources
 * @throws TransportError `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL` and others, with the address as endpoint
 */
export async function serveDashboard(
  address: string,
  sources: DashboardSources,
  options: DashboardOptions = {},
): Promise<DashboardServer> {
  const [{ startDashboard }, { LocalSubject }] = await Promise.all([
    import("./server.js"),
    import("./local.js"),
  ]);
  return startDashboard(address, [new LocalSubject(sources)], options);
}
