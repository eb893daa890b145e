/** The public function for the dashboard of a program. It loads its parts when called. */
import type { DashboardOptions, DashboardServer, DashboardSources } from "./options.js";

/**
 * Serves a page with live connections, rates, queues and drops of a program's sockets, drivers, proxies and cluster
 * nodes. The page loads nothing from other servers. Counters are read only while a client is connected.
 *
 *   const dashboard = await serveDashboard("127.0.0.1:9465", { orders: broker, feed: publisher });
 *
 * Anyone who reaches the address can read the page: use a local address, or an authenticating proxy in front.
 *
 * @param address HOST:PORT; without a host, as `:9465`, 127.0.0.1; `*:9465` means every address of the machine, port 0
 *   a free one
 * @throws InvalidArgumentError `EINVAL` for an address other than HOST:PORT, an unknown option or a bad value, or
 *   anything but sockets, drivers and sources
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
